/** What does `kmsplugin check` say about the login, the vault and the key in it? Changes nothing. */
import { asKmsError, type KmsErrorCode } from '../../../ports/errors.js'
import type { EvidenceRow, Finding } from '../../../ports/operations.js'
import type { BackendDeps } from '../backend.js'
import { assertUsable, kekName, keyIdOfVersion, type AzureKey } from './key.js'
import type { AzureSettings } from './settings.js'
import { Vault } from './vault.js'

/** An operator who runs a command waits longer than kube-apiserver does. */
const COMMAND_TIMEOUT_MS = 15_000

/** Sooner than this, an end that nobody has planned for is near. */
const EXPIRY_WARNING_MS = 30 * 86_400_000

const NEEDED: readonly string[] = ['wrapKey', 'unwrapKey']

export async function checkAzure(settings: AzureSettings, deps: BackendDeps): Promise<readonly Finding[]> {
  const at = `keys.${deps.key}`
  const vault = new Vault(settings, { ...deps, callTimeoutMs: COMMAND_TIMEOUT_MS })
  const options = { signal: AbortSignal.timeout(2 * COMMAND_TIMEOUT_MS) }
  const findings: Finding[] = []
  try {
    await vault.logIn(options)
    findings.push({ level: 'ok', subject: `${at}.auth`, text: `logged in by ${settings.auth.method}` })
    const key = await vault.readKey(settings.keyVersion?.toLowerCase(), options)
    findings.push(...keyFindings(`${at}.keyName`, key, settings, deps.isPrimary, Date.now()))
  } catch (thrown) {
    const { code, message } = asKmsError(thrown)
    findings.push({ level: 'error', subject: `${at}${settingAtFault(code)}`, text: message })
  } finally {
    vault.close()
  }
  return findings
}

/** @param nowMs Milliseconds since 1970. */
export function keyFindings(
  subject: string,
  key: AzureKey,
  settings: AzureSettings,
  isPrimary: boolean,
  nowMs: number,
): readonly Finding[] {
  const evidence = evidenceOf(key, nowMs)
  const kek = kekName(settings, key.version)
  const warnings = evidence
    .filter(({ verdict }) => verdict === 'advised')
    .map(({ name, value, wanted }): Finding => {
      const text = `${kek} has ${name} ${value}${wanted === '' ? '' : `, not ${wanted}`}: ${meanings[name] ?? ''}`
      return { level: 'warning', subject, text }
    })
  if (settings.keyVersion !== undefined) {
    const text = `${kek} is pinned: a rotation in Azure changes nothing until keyVersion is moved`
    warnings.push({ level: 'warning', subject, text })
  }
  try {
    const algorithm = assertUsable(key, settings, isPrimary ? NEEDED : ['unwrapKey'])
    const keyId = keyIdOfVersion(settings, key.version)
    const text = `${kek} is ${key.kty} and wraps with ${algorithm}: ${keyId}`
    return [
      { level: 'ok', subject, text, evidence },
      ...dateFindings(subject, kek, key, isPrimary, nowMs),
      ...warnings,
    ]
  } catch (thrown) {
    return [{ level: 'error', subject, text: asKmsError(thrown).message, evidence }, ...warnings]
  }
}

/** Outside its dates a key does not wrap, and still unwraps. */
function dateFindings(
  subject: string,
  kek: string,
  { notBeforeMs = -Infinity, expiresMs = Infinity }: AzureKey,
  isPrimary: boolean,
  nowMs: number,
): Finding[] {
  const level = isPrimary ? 'error' : 'warning'
  if (expiresMs <= nowMs) {
    return [{ level, subject, text: `${kek} expired on ${day(expiresMs)} and wraps no more; rotate it` }]
  }
  if (notBeforeMs > nowMs) {
    return [{ level, subject, text: `${kek} does not wrap before ${day(notBeforeMs)}` }]
  }
  if (expiresMs - nowMs > EXPIRY_WARNING_MS) return []
  const text = `${kek} expires on ${day(expiresMs)}; rotate it before, since it wraps no more then`
  return [{ level: 'warning', subject, text }]
}

/** What an attribute means that does not keep the key from being used. */
const meanings: Readonly<Record<string, string>> = {
  kty: 'software of Azure guards it; RSA-HSM (Premium vaults) and Managed HSMs keep it in an HSM',
  key_ops: 'it has more uses than a KEK needs',
  exportable: 'it can be released from the vault',
  recoveryLevel:
    'whoever may purge it can destroy it, and all that it wrapped, at once; turn purge protection on',
}

function evidenceOf(key: AzureKey, nowMs: number): EvidenceRow[] {
  const { kty, operations = NEEDED, isEnabled, isExportable, recoveryLevel, notBeforeMs, expiresMs } = key
  const row = (
    name: string,
    value: string,
    wanted: string,
    isGood: boolean,
    otherwise = 'advised',
  ): EvidenceRow => ({
    name,
    value,
    wanted,
    verdict: isGood ? 'ok' : otherwise,
  })
  const isWithinDates = (notBeforeMs ?? -Infinity) <= nowMs && nowMs < (expiresMs ?? Infinity)
  const dates = [notBeforeMs, expiresMs].map((ms) => (ms === undefined ? 'none' : day(ms))).join(', ')
  const hasNeeded = NEEDED.every((one) => operations.includes(one))
  return [
    row('enabled', String(isEnabled), 'true', isEnabled, 'refused'),
    row('kty', kty, 'RSA-HSM', kty.endsWith('-HSM')),
    row(
      'key_ops',
      operations.join(','),
      NEEDED.join(','),
      hasNeeded && operations.length === NEEDED.length,
      hasNeeded ? 'advised' : 'refused',
    ),
    row('nbf, exp', dates, 'now is between', isWithinDates, 'refused'),
    row('exportable', String(isExportable), 'false', !isExportable),
    row('recoveryLevel', recoveryLevel, 'Recoverable', !recoveryLevel.includes('Purgeable')),
  ]
}

function day(ms: number): string {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? 'an unknown day' : date.toISOString().slice(0, 10)
}

function settingAtFault(code: KmsErrorCode): string {
  if (code === 'ERR_LOGIN_REFUSED') return '.auth'
  if (code === 'ERR_CONFIG_INVALID') return ''
  return code.startsWith('ERR_KEY_') ? '.keyName' : '.vaultUrl'
}
