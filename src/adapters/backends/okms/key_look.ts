/** Which service key do the settings name now? By its id, or by a label that must name one key alone. */
import { KmsError } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import type { OkmsClient } from './client.js'
import { stateError, type ServiceKey } from './service_key.js'
import type { OkmsSettings } from './settings.js'

/** Ids in a message; a label on more keys than this is a mistake all the same. */
const MAX_NAMED = 5

/**
 * The key, in whatever state where it is named by its id.
 *
 * @throws {KmsError} `ERR_KEY_NOT_FOUND`, `ERR_KEY_DISABLED` or `ERR_KEY_UNUSABLE`: not exactly one active key has the
 * label; what {@link OkmsClient} throws.
 */
export async function lookAtKey(
  { keyId, keyLabel }: OkmsSettings,
  client: OkmsClient,
  options: Pick<CallOptions, 'signal'>,
): Promise<ServiceKey> {
  if (keyId !== undefined) return client.key(keyId, options)
  const isNamed = ({ name }: ServiceKey) => name === keyLabel
  const active = (await client.keys('active', options))
    // The service was asked for active ones; what it says of each key counts more.
    .filter((key) => isNamed(key) && stateError(key, client.service) === undefined)
  const [key, ...others] = active
  if (key !== undefined && others.length === 0) return key
  const label = `the label ${JSON.stringify(keyLabel)}`
  if (key !== undefined) {
    const text = `${active.length} active keys of ${client.service} have ${label}: ${idsOf(active)}; rename all but one, or name the key by keyId`
    throw new KmsError('ERR_KEY_UNUSABLE', text)
  }
  const any = (await client.keys('all', options)).filter(isNamed)
  const wrong = any.map((one) => stateError(one, client.service)).find((error) => error !== undefined)
  if (wrong === undefined) {
    const text = `no key of ${client.service} that the client certificate may see has ${label}; check keyLabel and okmsId, and that okms:apikms:serviceKey/get is allowed on the key`
    throw new KmsError('ERR_KEY_NOT_FOUND', text)
  }
  const text = `no active key has ${label}, and ${any.length} others have it (${idsOf(any)}): ${wrong.message}`
  throw new KmsError(wrong.code, text)
}

function idsOf(keys: readonly ServiceKey[]): string {
  const ids = keys.slice(0, MAX_NAMED).map(({ id }) => id)
  return [...ids, ...(keys.length > MAX_NAMED ? ['…'] : [])].join(', ')
}
