/** What should an operator know about the service key before relying on it? Encrypts nothing and changes nothing. */
import { asKmsError } from '../../../ports/errors.js'
import type { Finding } from '../../../ports/operations.js'
import type { BackendDeps } from '../backend.js'
import { OkmsClient } from './client.js'
import { lookAtKey } from './key_look.js'
import { assertUsable, type ServiceKey } from './service_key.js'
import type { OkmsSettings } from './settings.js'

export async function checkOkmsKey(settings: OkmsSettings, deps: BackendDeps): Promise<readonly Finding[]> {
  const subject = `keys.${deps.key}.${settings.keyId === undefined ? 'keyLabel' : 'keyId'}`
  const client = new OkmsClient(settings, deps)
  try {
    const signal = AbortSignal.timeout(2 * deps.callTimeoutMs)
    const key = await lookAtKey(settings, client, { signal })
    return [verdict(key, client.service, deps, subject), ...warnings(key, settings, subject)]
  } catch (error) {
    return [{ level: 'error', subject, text: asKmsError(error).message }]
  } finally {
    client.close()
  }
}

function verdict(key: ServiceKey, service: string, { isPrimary }: BackendDeps, subject: string): Finding {
  const operations = ['encrypt', 'decrypt'].every((one) => key.operations.includes(one))
  const evidence = [
    row('state', key.state ?? 'not told', 'active', key.state === undefined || key.state === 'active'),
    row('type', key.type, 'oct', key.type === 'oct'),
    row('operations', key.operations.join(', '), 'encrypt, decrypt', operations),
  ]
  try {
    assertUsable(key, service, isPrimary)
    const text = `key ${key.id} at ${service}, protection level ${key.protectionLevel}; okms:apikms:serviceKey/encrypt, /decrypt and /get on it are all that the identity of the certificate needs`
    return { level: 'ok', subject, text, evidence }
  } catch (error) {
    return { level: 'error', subject, text: asKmsError(error).message, evidence }
  }
}

/** Whether it applies, what to say. */
function warnings(key: ServiceKey, { keyId }: OkmsSettings, subject: string): Finding[] {
  const rows: readonly (readonly [boolean, string])[] = [
    [
      keyId === undefined,
      `whoever gives this label to another key takes old values out of reach, until an entry under \`keys\` has keyId: ${key.id}`,
    ],
    [
      key.size !== undefined && key.size < 256,
      `the key has ${key.size ?? ''} bits and protects DEKs of 256; a key of size 256 is as strong as they are`,
    ],
    [key.state === undefined, 'the service does not tell the state of the key'],
    [
      ['deactivated', 'compromised'].includes(key.state ?? ''),
      `the key is ${key.state ?? ''}; the service may refuse to open old values, and it can be deleted for ever`,
    ],
  ]
  return rows.filter(([applies]) => applies).map(([, text]) => ({ level: 'warning' as const, subject, text }))
}

function row(attribute: string, value: string, wanted: string, isGood: boolean) {
  return { name: attribute, value, wanted, verdict: isGood ? 'ok' : 'refused' }
}
