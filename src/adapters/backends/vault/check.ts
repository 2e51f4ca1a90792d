/** What does `kmsplugin check` say about the login, the key and what our token may do? Changes nothing on the server. */
import type { BackendDeps } from '../backend.js'
import { asKmsError } from '../../../ports/errors.js'
import type { Finding } from '../../../ports/operations.js'
import { errorOf } from './errors.js'
import type { Line } from './check_line.js'
import { policyLines } from './check_policy.js'
import { authLines, tokenLines } from './check_token.js'
import { assertUsable, kekName, readKey, type TransitKey } from './key.js'
import { VaultSession } from './session.js'
import type { VaultSettings } from './settings.js'

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
