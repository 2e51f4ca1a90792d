/** A value of another plugin, opened as the plugin opens it, without the service round it. */
import { erased, type Format } from '../../src/adapters/formats/format.js'
import type { StoredValue } from '../../src/ports/foreign.js'
import type { KeyWrapper } from '../../src/ports/key_wrapper.js'
import { open } from './cloud_values.js'

/** @throws {KmsError} Of the format or the backend. */
export async function openForeign<Options>(
  format: Format<Options>,
  options: Options,
  value: Pick<StoredValue, 'ciphertext'> & Partial<StoredValue>,
  wrapper: KeyWrapper,
): Promise<Uint8Array> {
  const whole = { keyId: undefined, annotations: {}, ...value }
  const decoder = erased(format).decoder(options, { allowUnauthenticated: true })
  return open(decoder, wrapper, whole, { deadlineMs: Infinity })
}
