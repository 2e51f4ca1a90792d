/** What does `kmsplugin check` say of a key in Cloud KMS, before its round trip? Changes nothing. */
import { asKmsError } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import type { Finding } from '../../../ports/operations.js'
import type { KmsClient } from './client.js'
import { readCredentials } from './credentials_file.js'
import { credentialsPlace } from './credentials_place.js'
import type { Operation } from './errors.js'
import type { GcpSettings } from './settings.js'

type Env = Readonly<Record<string, string | undefined>>

/** @param at `keys.NAME`. */
export async function checkCredentials(settings: GcpSettings, env: Env, at: string): Promise<Finding> {
  const subject = `${at}.credentials`
  try {
    const place = await credentialsPlace(settings.credentials, env)
    if (place === undefined) {
      return { level: 'ok', subject, text: 'no file: the metadata server of this machine is asked' }
    }
    const { credentials } = await readCredentials(place)
    return { level: 'ok', subject, text: `${place.path} (${place.named}): ${credentials.type}` }
  } catch (error) {
    return { level: 'error', subject, text: asKmsError(error).message }
  }
}

/** Only what a round trip does not tell: rights that are missing, all at once, and how the key is protected. */
export async function checkKey(
  client: KmsClient,
  at: string,
  isPrimary: boolean,
  options: CallOptions,
): Promise<readonly Finding[]> {
  const subject = `${at}.keyName`
  const wanted: readonly Operation[] = isPrimary ? ['read', 'encrypt', 'decrypt'] : ['read', 'decrypt']
  const missing = await client.missingPermissions(wanted, options)
  if (missing.length > 0) {
    const text = `the identity of the plugin lacks ${missing.join(', ')} on the key, or there is no such key; docs/gcp.md has the role to grant`
    return [{ level: 'error', subject, text }]
  }
  const { version, protectionLevel, algorithm } = await client.primary(options)
  return [{ level: 'ok', subject, text: `primary version ${version}, ${protectionLevel}, ${algorithm}` }]
}
