/** What does a JWE in compact serialisation hold (RFC 7516, section 7.1)? Read strictly, or an altered one might pass. */
import { KmsError } from '../../ports/errors.js'

export interface CompactJwe {
  /** The first part as it came: in base64url, and what is authenticated. */
  readonly headerText: string
  readonly header: Readonly<Record<string, unknown>>
  readonly encryptedKey: Buffer
  readonly iv: Buffer
  readonly ciphertext: Buffer
  readonly tag: Buffer
}

/** Base64url of `{"`: what every header begins with that has no spaces before its first member. */
const BEGINNING = 'eyJ'

/** Whether the bytes begin as a JWE does; nothing more. */
export function beginsLikeJwe(bytes: Uint8Array): boolean {
  return asciiOf(bytes.subarray(0, BEGINNING.length)) === BEGINNING
}

/** @throws {KmsError} `ERR_MALFORMED_ENVELOPE` for anything but five parts, each in the one way to write it. */
export function parseCompactJwe(bytes: Uint8Array): CompactJwe {
  const parts = asciiOf(bytes).split('.')
  const [headerText = '', encryptedKey = '', iv = '', ciphertext = '', tag = ''] = parts
  if (parts.length !== 5) throw malformed(`it has ${parts.length} parts, a compact JWE has 5`)
  return {
    headerText,
    header: headerOf(bytesOf(headerText)),
    encryptedKey: bytesOf(encryptedKey),
    iv: bytesOf(iv),
    ciphertext: bytesOf(ciphertext),
    tag: bytesOf(tag),
  }
}

/** Base64url without padding and without bits that say nothing: two texts of the same bytes would be two values. */
export function bytesOf(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64url')
  if (bytes.toString('base64url') !== text) throw malformed('a part is not in base64url')
  return bytes
}

/** @param text One line, without any of the bytes. */
export function malformed(text: string): KmsError {
  return new KmsError('ERR_MALFORMED_ENVELOPE', `this is no value of k8s-kms-plugin: ${text}`)
}

function headerOf(json: Buffer): Readonly<Record<string, unknown>> {
  let header: unknown
  try {
    header = JSON.parse(json.toString('utf8'))
  } catch {
    // No cause: a parser's message quotes the text.
    throw malformed('its header is no JSON')
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw malformed('its header is no JSON object')
  }
  return header as Readonly<Record<string, unknown>>
}

/** Bytes above 0x7f become letters that no part may hold. */
function asciiOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
