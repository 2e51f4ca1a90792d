/** What is sent to the Transit engine to wrap and unwrap, and what do its answers hold? */
import { KmsError } from '../../../ports/errors.js'
import { DEK_BYTES, WRAPPED_DEK_MAX_BYTES } from '../../../ports/key_wrapper.js'
import { base64At, malformed, objectAt, textAt, type JsonObject } from '../remote/json_answer.js'
import type { VaultSettings } from './settings.js'

/** Of a wrapped DEK: this byte, then what Vault's ciphertext has in base64 behind `vault:v<version>:`. */
const FORMAT = 0x01

/** Vault opens no shorter one: a nonce and a tag, or an RSA block. */
const MIN_BYTES = 1 + 12 + 16

/** Its version and, in base64, what that version of the key made. */
export const CIPHERTEXT = /^vault:v([1-9][0-9]{0,9}):([A-Za-z0-9+/]+={0,2})$/

/** What binds a wrapped DEK beside the key. */
function bindings({ associatedData, context }: VaultSettings): Record<string, string> {
  return {
    ...(associatedData === undefined ? {} : { associated_data: base64Of(associatedData) }),
    ...(context === undefined ? {} : { context: base64Of(context) }),
  }
}

/** @param version Named, so that a rotation between reading the key and this cannot give it another key id. */
export function encryptBody(dek: Uint8Array, version: number, settings: VaultSettings): JsonObject {
  return { plaintext: Buffer.from(dek).toString('base64'), key_version: version, ...bindings(settings) }
}

/**
 * The wrapped DEK in an answer to encrypt.
 *
 * @throws {KmsError} `ERR_BACKEND_RESPONSE`: no ciphertext of that version.
 */
export function wrappedIn(body: JsonObject, version: number, service: string): Buffer {
  const data = objectAt(body, 'data')
  const [, prefix, base64 = ''] = CIPHERTEXT.exec(textAt(data, 'ciphertext') ?? '') ?? []
  const bytes = Buffer.from(base64, 'base64')
  const said = data['key_version'] ?? version
  if (Number(prefix) !== version || said !== version || bytes.toString('base64') !== base64) {
    throw malformed(service, `no ciphertext of version ${version}`)
  }
  const wrapped = Buffer.concat([Buffer.of(FORMAT), bytes])
  if (wrapped.length < MIN_BYTES || wrapped.length > WRAPPED_DEK_MAX_BYTES) {
    throw malformed(service, `a ciphertext of ${bytes.length} bytes`)
  }
  return wrapped
}

/** @throws {KmsError} `ERR_DECRYPTION_FAILED`: no bytes that {@link wrappedIn} made. */
export function assertWrapped(bytes: Uint8Array): void {
  if (bytes[0] === FORMAT && bytes.length >= MIN_BYTES && bytes.length <= WRAPPED_DEK_MAX_BYTES) return
  throw new KmsError('ERR_DECRYPTION_FAILED', 'the wrapped DEK is none that the vault backend made')
}

export function decryptBody(bytes: Uint8Array, version: number, settings: VaultSettings): JsonObject {
  const base64 = Buffer.from(bytes.subarray(1)).toString('base64')
  return { ciphertext: `vault:v${version}:${base64}`, ...bindings(settings) }
}

/**
 * The DEK in an answer to decrypt; the caller owns and wipes it.
 *
 * @throws {KmsError} `ERR_DECRYPTION_FAILED`: it is no DEK; `ERR_BACKEND_RESPONSE`: there is none.
 */
export function dekIn(body: JsonObject, service: string): Uint8Array {
  const dek = base64At(objectAt(body, 'data'), 'plaintext')
  if (dek === undefined) throw malformed(service, 'no plaintext')
  if (dek.length === DEK_BYTES) return dek
  const { length } = dek
  dek.fill(0)
  throw new KmsError('ERR_DECRYPTION_FAILED', `the wrapped DEK opens to ${length} bytes, so it is no DEK`)
}

/** A text of the config file as Transit wants it. */
export function base64Of(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64')
}
