/** What does `kmsplugin check` say about a key on a PKCS#11 token? */
import { asKmsError, type KmsErrorCode } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import type { Finding } from '../../../ports/operations.js'
import type { HostClient } from './host_client.js'
import { checkModuleFile } from './module_file.js'
import { openPinFile } from './pin_file.js'
import { pinPathOf, type Pkcs11Settings } from './settings.js'
import { keyIdOfKek } from './wrapper.js'

/** Attributes that are not as `keygen` makes them but do not keep the key from working, and what each means. */
const warnings: readonly (readonly [attribute: string, good: boolean, text: string])[] = [
  ['CKA_SENSITIVE', true, 'its value can be read in the clear by whoever is logged in'],
  ['CKA_EXTRACTABLE', false, 'it can be taken off the token'],
  ['CKA_WRAP', false, 'with it, other keys can be taken off the token and decrypted'],
  ['CKA_UNWRAP', false, 'with it, chosen keys can be put on the token'],
  [
    'CKA_MODIFIABLE',
    false,
    'its CKA_ID can be edited, and with another CKA_ID old values are not recognized',
  ],
]

/**
 * Module file, PIN file, token and KEK, in this order; what a failed one hides is left out.
 *
 * @param host Not used before; the caller closes it.
 */
export async function checkToken(
  key: string,
  settings: Pkcs11Settings,
  host: HostClient,
  options: CallOptions,
): Promise<readonly Finding[]> {
  const subject = (setting: string): string => `keys.${key}.${setting}`
  const module = await finding(subject('module'), async () => {
    return `${await checkModuleFile(settings.module)} is not writable by others`
  })
  const pin = await finding(subject('pin'), async () => {
    const { handle } = await openPinFile(pinPathOf(settings))
    await handle.close()
    return `${pinPathOf(settings)} is readable by its owner alone`
  })
  if (module.level === 'error' || pin.level === 'error') return [module, pin]
  return [module, pin, ...(await checkKek(subject, settings, host, options))]
}

async function checkKek(
  subject: (setting: string) => string,
  { tokenLabel, keyLabel }: Pkcs11Settings,
  host: HostClient,
  options: CallOptions,
): Promise<readonly Finding[]> {
  const found = { level: 'ok', subject: subject('tokenLabel'), text: `logged in to "${tokenLabel}"` } as const
  try {
    const { identity, facts } = await host.call({ op: 'inspect' }, options)
    const token = { ...found, text: `logged in to "${tokenLabel}": ${String(facts['token'])}` }
    const kek = {
      level: 'ok',
      subject: subject('keyLabel'),
      text: `"${keyLabel}" is an AES-256 key that may encrypt and decrypt: ${keyIdOfKek(identity)}`,
    } as const
    const weak = warnings
      .filter(([attribute, good]) => facts[attribute] !== good)
      .map(([attribute, , text]): Finding => {
        const value = String(facts[attribute] ?? 'not known')
        return { ...kek, level: 'warning', text: `"${keyLabel}" has ${attribute} ${value}: ${text}` }
      })
    return [token, kek, ...weak]
  } catch (thrown) {
    const { code, message } = asKmsError(thrown)
    const setting = settingAtFault(code)
    const failure: Finding = { level: 'error', subject: subject(setting), text: message }
    return setting === 'keyLabel' ? [found, failure] : [failure]
  }
}

function settingAtFault(code: KmsErrorCode): keyof Pkcs11Settings {
  if (code === 'ERR_LOGIN_REFUSED') return 'pin'
  if (code === 'ERR_CONFIG_INVALID') return 'module'
  return code.startsWith('ERR_KEY_') ? 'keyLabel' : 'tokenLabel'
}

async function finding(subject: string, look: () => Promise<string>): Promise<Finding> {
  try {
    return { level: 'ok', subject, text: await look() }
  } catch (thrown) {
    return { level: 'error', subject, text: asKmsError(thrown).message }
  }
}
