/**
 * How does the text that the service calls `ciphertext` fit into the bytes of a wrapped DEK, and back?
 *
 * The text is a JWE in compact serialization (RFC 7516 section 3.1): five parts in base64url with dots between them.
 * We keep a format byte, then each of the first four parts behind its length as a 16-bit big-endian number, then the
 * fifth. A JWE authenticates its header as the text that it came in, so {@link textOfBytes} gives back that very text.
 */
import { WRAPPED_DEK_MAX_BYTES } from '../../../ports/key_wrapper.js'
import { isObject, malformed } from '../remote/json_answer.js'

const COMPACT_JWE = 0x01
const PARTS = 5

/** What the service takes at most. */
const FOREIGN_MAX_CHARACTERS = 5464

/** In the order of their parts, as messages name them; `dir` encryption has no encrypted key. */
const names = ['header', 'encrypted key', 'initialization vector', 'ciphertext', 'tag'] as const
const mayBeEmpty = new Set(['encrypted key'])

/**
 * @returns At most 640 bytes.
 * @throws {KmsError} `ERR_BACKEND_RESPONSE`: no compact JWE, not in the one way to write it, or longer.
 */
export function bytesOfText(text: string, service: string): Uint8Array {
  const parts = text.split('.')
  if (parts.length !== PARTS) throw malformed(service, 'a ciphertext that is no JWE of five parts')
  const raw = parts.map((part, i) => {
    const bytes = Buffer.from(part, 'base64url')
    const name = names[i] ?? ''
    if (bytes.toString('base64url') !== part) throw malformed(service, `a JWE whose ${name} is no base64url`)
    if (part === '' && !mayBeEmpty.has(name)) throw malformed(service, `a JWE without ${name}`)
    return bytes
  })
  if (!isHeader(raw[0])) throw malformed(service, 'a JWE whose header does not name its algorithms')
  const bytes = Buffer.concat([Buffer.of(COMPACT_JWE), ...raw.flatMap(framed)])
  if (bytes.length <= WRAPPED_DEK_MAX_BYTES) return bytes
  throw malformed(service, `a JWE of ${bytes.length} bytes, and an envelope takes ${WRAPPED_DEK_MAX_BYTES}`)
}

/** The text again, letter for letter; `undefined` for bytes that {@link bytesOfText} does not make. */
export function textOfBytes(bytes: Uint8Array): string | undefined {
  let rest = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (rest.length > WRAPPED_DEK_MAX_BYTES || rest[0] !== COMPACT_JWE) return undefined
  rest = rest.subarray(1)
  const raw: Buffer[] = []
  while (raw.length < PARTS - 1) {
    if (rest.length < 2) return undefined
    const end = 2 + rest.readUInt16BE()
    if (rest.length < end) return undefined
    raw.push(rest.subarray(2, end))
    rest = rest.subarray(end)
  }
  raw.push(rest)
  const isWhole = raw.every((part, i) => part.length > 0 || mayBeEmpty.has(names[i] ?? ''))
  return isWhole && isHeader(raw[0]) ? raw.map((part) => part.toString('base64url')).join('.') : undefined
}

/** The text that another program kept as it was; `undefined` for bytes that have not the form of a compact JWE. */
export function textOfForeign(bytes: Uint8Array): string | undefined {
  if (bytes.length > FOREIGN_MAX_CHARACTERS) return undefined
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
  return /^[\w-]+\.[\w-]*(\.[\w-]+){3}$/.test(text) ? text : undefined
}

/** The last part needs no length: it ends with the bytes. */
function framed(part: Buffer, i: number): Buffer[] {
  if (i === PARTS - 1) return [part]
  const length = Buffer.alloc(2)
  length.writeUInt16BE(Math.min(part.length, 0xffff))
  return [length, part]
}

function isHeader(bytes: Buffer | undefined): boolean {
  try {
    const header: unknown = JSON.parse((bytes ?? Buffer.alloc(0)).toString('utf8'))
    return isObject(header) && typeof header['alg'] === 'string' && typeof header['enc'] === 'string'
  } catch {
    return false
  }
}
