/** What does `kmsplugin check` say about the login, the key and what our token may do? Changes nothing on the server. */
import type { BackendDeps } from '../backend.js'
import { asKmsError } from '../../../ports/errors.js'
import type { Finding } from '../../../ports/operations.js'
import { isObject, objectAt, type JsonObject } from '../remote/json_answer.js'
import { errorOf } from './errors.js'
import { assertUsable, kekName, readKey, type TransitKey } from './key.js'
import { VaultSession } from './session.js'
import type { VaultSettings } from './settings.js'

type Level = Finding['level']
type Line = readonly [Level, string]

/** Login, key and policy, in this order; a failed one hides those after it. */
export async function checkVault(settings: VaultSettings, deps: BackendDeps): Promise<readonly Finding[]> {
  const session = new VaultSession(settings, deps)
  const at = `keys.${deps.key}`
  const findings: Finding[] = []
  const parts: readonly (readonly [string, () => Promise<readonly Line[]>])[] = [
    [`${at}.auth`, async () => [...(await tokenLines(session, settings)), ...authLines(settings)]],
    [`${at}.keyName`, async () => keyLines(await keyOf(session, settings), settings)],
    [`${at}.policy`, async () => policyLines(session, settings, deps.isPrimary)],
  ]
  try {
    for (const [subject, look] of parts) {
      findings.push(...(await look()).map(([level, text]) => ({ level, subject, text })))
    }
  } catch (thrown) {
    const subject = parts[new Set(findings.map((finding) => finding.subject)).size]?.[0] ?? at
    findings.push({ level: 'error', subject, text: asKmsError(thrown).message })
  } finally {
    await session.close()
  }
  return findings
}

async function tokenLines(session: VaultSession, { auth }: VaultSettings): Promise<Line[]> {
  const reply = await session.ask({ method: 'GET', path: 'auth/token/lookup-self' }, {})
  if (reply.status !== 200) {
    throw errorOf({ service: session.service, path: 'auth/token/lookup-self', kek: 'the token' }, reply)
  }
  const data = objectAt(reply.body, 'data')
  const { ttl, renewable, period, num_uses: uses } = data
  const isEndless = ttl === 0 && typeof data['expire_time'] !== 'string'
  const life = isEndless
    ? 'without end'
    : `for ${String(ttl)} s, ${renewable === true ? 'renewable' : 'not renewable'}`
  const lines: Line[] = [
    ['ok', `logged in to ${session.service} by ${auth.method}; the token holds ${life}${periodText(period)}`],
  ]
  const isRoot = Array.isArray(data['policies']) && data['policies'].includes('root')
  if (isRoot)
    lines.push([
      'warning',
      'the token is a root token: it may do everything, and makes a missing key instead of failing',
    ])
  if (auth.method === 'token' && !isEndless && renewable !== true) {
    lines.push([
      'warning',
      `the token ends in ${String(ttl)} s and cannot be renewed: somebody must replace it before (Vault Agent does)`,
    ])
  } else if (auth.method === 'token' && !isEndless && !isPositive(period)) {
    lines.push([
      'warning',
      `the token can be renewed up to its maximum only; use a periodic one, or replace the file in time${maxText(data)}`,
    ])
  }
  if (isPositive(uses))
    lines.push(['warning', `the token ends after ${String(uses)} more requests: make one without num_uses`])
  return lines
}

function periodText(period: unknown): string {
  return isPositive(period) ? `, by a period of ${String(period)} s` : ''
}

function maxText(data: JsonObject): string {
  const max = data['explicit_max_ttl']
  return isPositive(max) ? ` (explicit_max_ttl ${String(max)} s)` : ''
}

function authLines({ auth }: VaultSettings): Line[] {
  if (auth.method !== 'kubernetes') return []
  const text =
    'with the auth method kubernetes Vault asks kube-apiserver before it lets us in, and kube-apiserver may wait for us when the cluster starts; if that is this cluster, use jwt, cert or approle'
  return [['warning', text]]
}

async function keyOf(session: VaultSession, settings: VaultSettings): Promise<TransitKey> {
  const path = `${settings.mount}/keys/${settings.keyName}`
  const reply = await session.ask({ method: 'GET', path }, {})
  if (reply.status !== 200) throw errorOf({ service: session.service, path, kek: kekName(settings) }, reply)
  const key = readKey(reply.body, settings, session.service)
  assertUsable(key, kekName(settings))
  return key
}

function keyLines(key: TransitKey, settings: VaultSettings): Line[] {
  const kek = kekName(settings)
  const { type, latestVersion, minDecryptionVersion } = key
  const warnings: readonly (readonly [boolean, string])[] = [
    [
      key.canBeExported,
      'can leave the server (exportable or allow_plaintext_backup, which cannot be taken back)',
    ],
    [
      key.canBeDeleted,
      'can be deleted (deletion_allowed), and every value under it with it; set it to false',
    ],
    [
      minDecryptionVersion > 1,
      `opens nothing that a version below ${minDecryptionVersion} wrapped (min_decryption_version)`,
    ],
    [type.includes('chacha20'), `is of type ${type}, which is not FIPS-approved; aes256-gcm96 is`],
    [
      type.startsWith('aes128'),
      `is of type ${type}: 128 bits protect DEKs of 256; aes256-gcm96 is as strong as they are`,
    ],
    [
      type.startsWith('rsa-'),
      `is of type ${type}: it wraps DEKs of which Vault cannot tell who made them; aes256-gcm96 can`,
    ],
    [
      settings.context !== undefined && !key.isDerived,
      'is not derived, so that `context` changes nothing but the key id',
    ],
  ]
  const isUnderivable = key.isDerived && settings.context === undefined
  return [
    ...(isUnderivable ? ([['error', `${kek} is a derived key: set \`context\``]] as const) : []),
    ['ok', `${kek} is of type ${type}, version ${latestVersion}: ${key.currentKeyId}`],
    ...warnings.flatMap(([holds, text]): Line[] => (holds ? [['warning', `${kek} ${text}`]] : [])),
  ]
}

/** The paths that we use, the capability that each needs, and those that no KMS plugin should have. */
async function policyLines(
  session: VaultSession,
  settings: VaultSettings,
  isPrimary: boolean,
): Promise<Line[]> {
  const { mount, keyName } = settings
  const needed: readonly (readonly [string, string])[] = [
    [`${mount}/keys/${keyName}`, 'read'],
    [`${mount}/decrypt/${keyName}`, 'update'],
    ...(isPrimary ? ([[`${mount}/encrypt/${keyName}`, 'update']] as const) : []),
  ]
  const encrypt = `${mount}/encrypt/${keyName}`
  const paths = [...new Set([...needed.map(([path]) => path), encrypt])]
  const path = 'sys/capabilities-self'
  // It is a POST that only answers.
  const reply = await session.ask({ method: 'POST', path, body: { paths } }, {})
  if (reply.status !== 200) throw errorOf({ service: session.service, path, kek: 'the policies' }, reply)
  const data = isObject(reply.body['data']) ? reply.body['data'] : reply.body
  const granted = (one: string): readonly unknown[] => (Array.isArray(data[one]) ? data[one] : [])
  const may = (one: string, capability: string) =>
    granted(one).includes(capability) || granted(one).includes('root')
  const missing = needed.filter(([one, capability]) => !may(one, capability))
  const extra = paths.filter((one) => granted(one).includes('root') || granted(one).includes('sudo'))
  const lines: Line[] = missing.map(([one, capability]) => [
    'error',
    `the policies of our token lack "${capability}" on ${one}; docs/vault.md has the policy to grant`,
  ])
  if (may(encrypt, 'create')) {
    const text = `our token may "create" at ${encrypt}: if the key is deleted while we wrap, Vault makes a new one; grant "update" alone`
    lines.push(['warning', text])
  }
  if (extra.length > 0)
    lines.push(['warning', `our token has root or sudo rights on ${extra.join(', ')}; it needs none`])
  if (lines.length === 0)
    lines.push(['ok', `our token may do what it needs on ${paths.length} paths, and may not create keys`])
  return lines
}

function isPositive(value: unknown): value is number {
  return typeof value === 'number' && value > 0
}
