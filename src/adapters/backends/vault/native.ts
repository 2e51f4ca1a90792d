/** What is sent to the Transit engine to decrypt what another plugin had it encrypt, and what does the answer hold? */
import { KmsError } from '../../../ports/errors.js'
import type { NativeCiphertext } from '../../../ports/foreign.js'
import { base64At, malformed, objectAt, type JsonObject } from '../remote/json_answer.js'
import { kekName } from './key.js'
import type { VaultSettings } from './settings.js'
import { CIPHERTEXT, base64Of } from './transit.js'

/**
 * The request for bytes that are a ciphertext of Transit, `vault:v<version>:<base64>`, from the first to the last. The
 * key is the configured one, whatever they say; so is the `context` of a derived one. `associatedData` is ours alone:
 * what another plugin bound comes with the ciphertext.
 *
 * @throws {KmsError} `ERR_DECRYPTION_FAILED`: they are none; `ERR_KEY_UNKNOWN`: they are of a key of another name.
 */
export function nativeBody({ bytes, aad, keyName }: NativeCiphertext, settings: VaultSettings): JsonObject {
  const kek = kekName(settings)
  if (keyName !== undefined && keyName !== settings.keyName) {
    throw new KmsError('ERR_KEY_UNKNOWN', `${kek} is not the key ${JSON.stringify(keyName)}`)
  }
  const ciphertext = Buffer.from(bytes).toString('latin1')
  const [, , base64] = CIPHERTEXT.exec(ciphertext) ?? []
  if (base64 === undefined)
    throw new KmsError('ERR_DECRYPTION_FAILED', 'the value is no ciphertext of Transit')
  return {
    ciphertext,
    ...(aad === undefined ? {} : { associated_data: Buffer.from(aad).toString('base64') }),
    ...(settings.context === undefined ? {} : { context: base64Of(settings.context) }),
  }
}

/**
 * What an answer to decrypt holds, of any length; the caller owns and wipes it.
 *
 * @throws {KmsError} `ERR_BACKEND_RESPONSE`: there is none.
 */
export function plaintextIn(body: JsonObject, service: string): Uint8Array {
  const plaintext = base64At(objectAt(body, 'data'), 'plaintext')
  if (plaintext === undefined) throw malformed(service, 'no plaintext')
  return plaintext
}
