/** What does `kmsplugin check` say about one token and the KEK on it? */
import { asKmsError, type KmsErrorCode } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import type { Finding } from '../../../ports/operations.js'
import type { Hsm } from './hsm.js'
import type { Evidence, HsmResult } from './shared/messages.js'
import { checkModuleFile } from './module_file.js'
import { openPinFile } from './pin_file.js'
import type { Pkcs11Settings } from './settings.js'
import { keyQueryOf, type TokenPlace } from './targets.js'
import { keyName, tokenName } from './shared/token_name.js'
import { keyIdOfKek } from './wrapper.js'

/** What an attribute means that does not keep the key from being used. */
const meanings: Readonly<Record<string, string>> = {
  CKA_SENSITIVE: 'its value can be read in the clear by whoever is logged in',
  CKA_EXTRACTABLE: 'it can be taken off the token',
  CKA_PRIVATE: 'it can be used without a login',
  CKA_ENCRYPT: 'beside wrapping, it lets a caller encrypt what another tool decrypts',
  CKA_DECRYPT: 'a key that also unwraps lets a caller turn wrapped keys into plaintext',
  CKA_WRAP: 'with it, other keys can be taken off the token and decrypted',
  CKA_UNWRAP: 'with it, chosen keys can be put on the token',
  CKA_SIGN: 'it has one more use than a KEK needs',
  CKA_VERIFY: 'it has one more use than a KEK needs',
  CKA_DERIVE: 'keys derived from it may tell what it encrypts',
  CKA_MODIFIABLE: 'its CKA_ID can be edited, and with another CKA_ID old values are not recognized',
  CKA_LOCAL: 'it was not made on this token, so that others may know it',
  CKA_ALWAYS_SENSITIVE: 'its value could be read in the clear once',
  CKA_NEVER_EXTRACTABLE: 'it could be taken off the token once',
}

/** What one token showed. */
export interface TokenCheck {
  readonly findings: readonly Finding[]
  /** What is compared over all tokens of a key; `undefined` unless it showed its KEK. */
  readonly shown:
    | { readonly keyId: string; readonly hmacKey: string | undefined; readonly token: string | undefined }
    | undefined
}

/**
 * Module file, PIN file, token and KEK, in this order; what a failed one hides is left out.
 *
 * @param key Where the token stands in the config, `keys.hsm` or `keys.hsm.tokens.1`, and whether the KEK has to wrap.
 * @param hsm That token alone. Not used before; the caller closes it.
 */
export async function checkToken(
  { at, isPrimary }: { readonly at: string; readonly isPrimary: boolean },
  settings: Pkcs11Settings,
  place: TokenPlace,
  hsm: Hsm,
  options: CallOptions,
): Promise<TokenCheck> {
  const module = await finding(`${at}.module`, async () => {
    return `${await checkModuleFile(place.module)} is not writable by others`
  })
  const pin = await finding(`${at}.pin`, async () => {
    const { handle } = await openPinFile(place.pinPath)
    await handle.close()
    return `${place.pinPath} is readable by its owner alone`
  })
  if (module.level === 'error' || pin.level === 'error') return { findings: [module, pin], shown: undefined }
  const kek = `${keyName(keyQueryOf(settings))} on ${tokenName(place.token)}`
  try {
    const result = await hsm.call({ op: 'inspect' }, options)
    const findings = [
      module,
      pin,
      ...tokenFindings(at, place, result),
      ...kekFindings(`${at}.key`, kek, result, isPrimary),
    ]
    const { identity, sealing, inspection } = result
    const hmacKey = sealing?.companionCheck && Buffer.from(sealing.companionCheck).toString('hex')
    return { findings, shown: { keyId: keyIdOfKek(identity), hmacKey, token: inspection?.tokenIdentity } }
  } catch (thrown) {
    const { code, message } = asKmsError(thrown)
    const failure: Finding = { level: 'error', subject: `${at}${settingAtFault(code)}`, text: message }
    const isKek = code.startsWith('ERR_KEY_')
    return { findings: [module, pin, ...(isKek ? [loggedIn(at, place)] : []), failure], shown: undefined }
  }
}

/**
 * Whether all tokens of a key hold one KEK, with one HMAC key, and are several; nothing for one token, or while a token has
 * not shown its KEK.
 */
export function compareTokens(subject: string, checks: readonly TokenCheck[]): Finding[] {
  if (checks.length < 2) return []
  const shown = checks.flatMap((check, at) => (check.shown === undefined ? [] : [{ ...check.shown, at }]))
  const keyIds = new Set(shown.map(({ keyId }) => keyId))
  const hmacKeys = new Set(shown.flatMap(({ hmacKey }) => hmacKey ?? []))
  const errors: string[] = []
  for (const { token, at } of shown) {
    const first = shown.find((other) => token !== undefined && other.token === token)
    if (first === undefined || first.at === at) continue
    errors.push(
      `tokens.${first.at} and tokens.${at} are one token, by label and serial number; leave one out`,
    )
  }
  if (keyIds.size > 1) {
    const list = shown.map(({ keyId, at }) => `tokens.${at} holds ${keyId}`).join(', ')
    errors.push(
      `the tokens of one key must hold one KEK: ${list}; copy the KEK, with its CKA_ID, or leave a token out`,
    )
  } else if (hmacKeys.size > 1) {
    const owners = shown.filter(({ hmacKey }) => hmacKey !== undefined).map(({ at }) => `tokens.${at}`)
    errors.push(
      `beside one KEK ${owners.join(', ')} hold different HMAC keys, so that one cannot open what another wraps; copy that of one, with its CKA_ID, to the others`,
    )
  }
  if (errors.length > 0) return errors.map((text) => ({ level: 'error', subject, text }))
  if (shown.length < checks.length) return []
  return [{ level: 'ok', subject, text: `${checks.length} tokens hold one KEK: ${[...keyIds].join()}` }]
}

function tokenFindings(at: string, place: TokenPlace, { inspection }: HsmResult): Finding[] {
  const ok = loggedIn(at, place)
  if (inspection === undefined) return [ok]
  const { token, tokenWarnings } = inspection
  const warnings = tokenWarnings.map((text): Finding => ({ ...ok, level: 'warning', text }))
  return [{ ...ok, text: `${ok.text}: ${token}` }, ...warnings]
}

function loggedIn(at: string, { token }: TokenPlace): Finding {
  return { level: 'ok', subject: `${at}.token`, text: `logged in to ${tokenName(token)}` }
}

function kekFindings(
  subject: string,
  kek: string,
  { identity, sealing, inspection }: HsmResult,
  isPrimary: boolean,
): Finding[] {
  const keyId = keyIdOfKek(identity)
  const rows = inspection?.evidence ?? []
  const evidence = rows.map(({ attribute, ...row }) => ({ name: attribute, ...row }))
  const known = (level: Finding['level'], text: string): Finding => ({ level, subject, text, evidence })
  const warnings = rows.filter(isWarning).map((row) => warningOf(subject, kek, row))
  if (sealing !== undefined && sealing.mechanism !== 'none') {
    const text = `${kek} is an ${identity.keyType} key that wraps with ${sealing.why}: ${keyId}`
    return [known('ok', text), ...warnings]
  }
  const why = sealing?.why ?? 'it cannot wrap'
  if (isPrimary) return [known('error', `${keyId}: ${why}`), ...warnings]
  return [known('warning', `${keyId} only opens old values, and could not wrap: ${why}`), ...warnings]
}

function isWarning({ verdict }: Evidence): boolean {
  return verdict === 'excepted' || verdict === 'advised'
}

function warningOf(subject: string, kek: string, { attribute, value, verdict }: Evidence): Finding {
  const meaning = meanings[attribute.split(' ', 1)[0] ?? ''] ?? 'this is not as a KEK should be'
  const allowed = verdict === 'excepted' ? ' (allowed by allowWeakKey)' : ''
  return { level: 'warning', subject, text: `${kek} has ${attribute} ${value}${allowed}: ${meaning}` }
}

/** Empty for what may be any of several; the message then names it. */
function settingAtFault(code: KmsErrorCode): string {
  if (code === 'ERR_LOGIN_REFUSED') return '.pin'
  if (code === 'ERR_CONFIG_INVALID') return ''
  return code.startsWith('ERR_KEY_') ? '.key' : '.token'
}

async function finding(subject: string, look: () => Promise<string>): Promise<Finding> {
  try {
    return { level: 'ok', subject, text: await look() }
  } catch (thrown) {
    return { level: 'error', subject, text: asKmsError(thrown).message }
  }
}
