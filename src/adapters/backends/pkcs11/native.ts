/**
 * What is a token asked when another program had one of its keys encrypt, and which answers are believed?
 *
 * `keyName` of the question is `label:…` (CKA_LABEL) or `id:…` (CKA_ID in hexadecimal). For `HMAC-SHA256` it says which
 * secret key of the token makes the MAC. For all others it says what the key of the settings has to be called, or to
 * have as its CKA_ID: if it is another, the value is another key's. A name of any other form is one that a cloud gave the
 * key before it came to the token, which says nothing here.
 */
import { KmsError } from '../../../ports/errors.js'
import type { NativeAlgorithm, NativeCiphertext } from '../../../ports/foreign.js'
import type { DecryptRequest, NativeKeyQuery } from './shared/messages.js'

/**
 * Of all that is asked: less than a message to the HSM process holds, which ends at a longer one. kube-apiserver has 32
 * bytes encrypted, so what is longer than this was made by nobody.
 */
const MAX_BYTES = 48 * 1024
const BLOCK_BYTES = 16
const TAG_BYTES = 16
const MAC_BYTES = 32
const RSA_BYTES: readonly number[] = [256, 384, 512]

interface Form {
  /** Whether bytes, IV and tag are as long as the algorithm makes them. */
  fits(ciphertext: NativeCiphertext): boolean
  /** Whether the token may have answered so many bytes to this question. */
  gives(bytes: number, request: DecryptRequest): boolean
}

/** @param paddingBytes What of the modulus is padding at least (RFC 8017, sections 7.1 and 7.2). */
function rsa(paddingBytes: number): Form {
  return {
    fits: ({ bytes }) => RSA_BYTES.includes(bytes.length),
    gives: (bytes, request) => bytes <= request.bytes.length - paddingBytes,
  }
}

const forms: Readonly<Record<NativeAlgorithm, Form>> = {
  'AES-GCM': {
    fits: ({ iv, tag }) => (iv?.length === 12 || iv?.length === 16) && tag?.length === TAG_BYTES,
    gives: (bytes, request) => bytes === request.bytes.length - TAG_BYTES,
  },
  'AES-CBC': {
    fits: ({ bytes, iv }) =>
      iv?.length === BLOCK_BYTES && bytes.length > 0 && bytes.length % BLOCK_BYTES === 0,
    gives: (bytes, request) => bytes === request.bytes.length,
  },
  'HMAC-SHA256': {
    fits: ({ keyName }) => Object.keys(keyQueryOf(keyName)).length > 0,
    gives: (bytes) => bytes === MAC_BYTES,
  },
  RSA1_5: rsa(11),
  'RSA-OAEP-256': rsa(66),
}

/**
 * @throws {KmsError} `ERR_DECRYPTION_FAILED` for bytes that the algorithm does not make: they never reach the token,
 * whose answer to them would say nothing. `ERR_INTERNAL` without an algorithm.
 */
export function nativeRequest(ciphertext: NativeCiphertext): DecryptRequest {
  const { algorithm, bytes, iv, tag, aad, keyName } = ciphertext
  if (algorithm === undefined) throw new KmsError('ERR_INTERNAL', 'a token has to be told the algorithm')
  const sizes = [bytes, iv, tag, aad].map((part) => part?.length ?? 0)
  // A message holds a text in two bytes a character as soon as one of them is not in Latin-1.
  const totalBytes = sizes.reduce((sum, size) => sum + size, Buffer.byteLength(keyName ?? '', 'utf16le'))
  if (totalBytes > MAX_BYTES || !forms[algorithm].fits(ciphertext)) {
    throw new KmsError('ERR_DECRYPTION_FAILED', `the value has no form that ${algorithm} makes`)
  }
  return {
    op: 'decrypt',
    algorithm,
    bytes: tag === undefined ? bytes : Buffer.concat([bytes, tag]),
    ...(iv === undefined ? {} : { iv }),
    ...(aad === undefined ? {} : { aad }),
    key: keyQueryOf(keyName),
  }
}

/**
 * The answer in memory of its own, which the caller wipes; `answer` is wiped here.
 *
 * @throws {KmsError} `ERR_BACKEND_RESPONSE` when it is longer or shorter than the algorithm allows.
 */
export function nativePlaintext(request: DecryptRequest, answer: Uint8Array): Uint8Array {
  try {
    if (!forms[request.algorithm].gives(answer.length, request)) {
      const text = `the HSM process answered ${answer.length} bytes to ${request.algorithm} over ${request.bytes.length}`
      throw new KmsError('ERR_BACKEND_RESPONSE', text)
    }
    const plaintext = Buffer.allocUnsafeSlow(answer.length)
    plaintext.set(answer)
    return plaintext
  } finally {
    answer.fill(0)
  }
}

function keyQueryOf(keyName: string | undefined): NativeKeyQuery {
  if (keyName === undefined) return {}
  const [, kind, name = ''] = /^(label|id):(.+)$/s.exec(keyName) ?? []
  if (kind === 'label') return { label: name }
  if (kind === 'id' && /^(?:[0-9a-f]{2})+$/i.test(name)) return { ckaId: Buffer.from(name, 'hex') }
  return {}
}
