/**
 * A second implementation of docs/envelope.md, written from its byte table alone.
 *
 * Rule: imports nothing of src and shares no helper with it, so that a mistake would have to be made twice.
 */
import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto'

export interface Fields {
  readonly magic: Uint8Array
  readonly version: number
  readonly suite: number
  readonly keyId: Uint8Array
  readonly wrapped: Uint8Array
  readonly salt: Uint8Array
  readonly commitment: Uint8Array
  readonly iv: Uint8Array
  readonly ciphertext: Uint8Array
  readonly tag: Uint8Array
}

/** What the length fields say, where that is not the truth. */
export interface Lies {
  readonly keyIdLength?: number
  readonly wrappedLength?: number
  readonly ciphertextLength?: number
}

export interface Recipe {
  readonly suite: 1 | 2
  readonly keyId: string
  readonly wrapped: Uint8Array
  readonly dek: Uint8Array
  readonly salt: Uint8Array
  readonly iv: Uint8Array
  readonly plaintext: Uint8Array
}

/** The envelope of `recipe`, and its fields. */
export function referenceSeal(recipe: Recipe): { fields: Fields; bytes: Buffer } {
  const { suite, keyId, wrapped, dek, salt, iv, plaintext } = recipe
  const keyBytes = suite === 1 ? 32 : 64
  const info = Buffer.concat([Buffer.from('kmsplugin/v1'), Buffer.from([suite]), Buffer.from(keyId)])
  const okm = hkdfSha512(dek, salt, info, keyBytes + 32)
  const key = okm.subarray(0, keyBytes)
  const shape = {
    magic: Buffer.from('934b4d53', 'hex'),
    version: 1,
    suite,
    keyId: Buffer.from(keyId),
    wrapped,
    salt,
    commitment: okm.subarray(keyBytes),
    iv,
  }
  const ciphertextLength = suite === 1 ? plaintext.length : 16 * Math.floor(plaintext.length / 16) + 16
  const aad = layOutHeader(shape, { ciphertextLength })
  const fields = { ...shape, ...(suite === 1 ? gcm(key, iv, aad, plaintext) : cbc(key, iv, aad, plaintext)) }
  return { fields, bytes: layOut(fields) }
}

/** The fields in their order, with whatever lengths they have and whatever the length fields are made to say. */
export function layOut(fields: Fields, lies: Lies = {}): Buffer {
  const header = layOutHeader(fields, { ciphertextLength: fields.ciphertext.length, ...lies })
  return Buffer.concat([header, fields.ciphertext, fields.tag])
}

/** The fields of a well-formed envelope; `undefined` for everything else. */
export function dissect(bytes: Uint8Array): (Fields & { readonly aad: Uint8Array }) | undefined {
  const b = Buffer.from(bytes)
  if (b.length < 7 || b.toString('hex', 0, 5) !== '934b4d5301') return undefined
  const suite = b[5]!
  if (suite !== 1 && suite !== 2) return undefined
  const [ivLength, tagLength] = suite === 1 ? [12, 16] : [16, 32]

  const keyIdAt = 7
  const wrappedLengthAt = keyIdAt + b[6]!
  if (b.length < wrappedLengthAt + 2) return undefined
  const wrappedAt = wrappedLengthAt + 2
  const wrappedLength = b[wrappedLengthAt]! * 256 + b[wrappedLengthAt + 1]!
  if (wrappedLength < 1 || wrappedLength > 640) return undefined
  const saltAt = wrappedAt + wrappedLength
  const commitmentAt = saltAt + 32
  const ciphertextLengthAt = commitmentAt + 32
  const ivAt = ciphertextLengthAt + 4
  const ciphertextAt = ivAt + ivLength
  if (b.length < ciphertextAt) return undefined
  const ciphertextLength = b.readUInt32BE(ciphertextLengthAt)
  if (b.length !== ciphertextAt + ciphertextLength + tagLength) return undefined
  if (suite === 1 && ciphertextLength > 1048576) return undefined
  if (suite === 2 && (ciphertextLength < 16 || ciphertextLength % 16 > 0 || ciphertextLength > 1048592))
    return undefined

  const keyId = b.subarray(keyIdAt, wrappedLengthAt)
  const [backend = '', prints = '', ...more] = String.fromCharCode(...keyId).split(':')
  const isPrint = (text: string) => text.length === 26 && !/[^a-z2-7]/.test(text)
  const isBackend = /^[a-z]/.test(backend) && backend.length <= 32 && !/[^a-z0-9]/.test(backend)
  const isPrints = prints.split('.').length === 2 && prints.split('.').every(isPrint)
  if (more.length > 0 || !isBackend || !isPrints) return undefined

  return {
    magic: b.subarray(0, 4),
    version: 1,
    suite,
    keyId,
    wrapped: b.subarray(wrappedAt, saltAt),
    salt: b.subarray(saltAt, commitmentAt),
    commitment: b.subarray(commitmentAt, ciphertextLengthAt),
    iv: b.subarray(ivAt, ciphertextAt),
    ciphertext: b.subarray(ciphertextAt, ciphertextAt + ciphertextLength),
    tag: b.subarray(ciphertextAt + ciphertextLength),
    aad: b.subarray(0, ciphertextAt),
  }
}

/** The plaintext of an envelope under `dek`; `undefined` when it is refused. */
export function referenceOpen(bytes: Uint8Array, dek: Uint8Array): Buffer | undefined {
  const fields = dissect(bytes)
  if (fields === undefined) return undefined
  const { suite, iv, aad, ciphertext, tag } = fields
  const keyBytes = suite === 1 ? 32 : 64
  const info = Buffer.concat([Buffer.from('kmsplugin/v1'), Buffer.from([suite]), fields.keyId])
  const okm = hkdfSha512(dek, fields.salt, info, keyBytes + 32)
  if (!okm.subarray(keyBytes).equals(fields.commitment)) return undefined
  if (suite === 1) {
    const decipher = createDecipheriv('aes-256-gcm', okm.subarray(0, 32), iv, { authTagLength: 16 })
    decipher.setAAD(aad).setAuthTag(tag)
    try {
      return Buffer.concat([decipher.update(ciphertext), decipher.final()])
    } catch {
      return undefined
    }
  }
  if (!cbcTag(okm.subarray(0, 32), iv, aad, ciphertext).equals(tag)) return undefined
  const decipher = createDecipheriv('aes-256-cbc', okm.subarray(32, 64), iv).setAutoPadding(false)
  const padded = Buffer.concat([decipher.update(ciphertext), decipher.final()])
  return padded.subarray(0, padded.length - padded.at(-1)!)
}

/** RFC 5869 with SHA-512, from HMAC. */
export function hkdfSha512(
  ikm: Uint8Array,
  salt: Uint8Array,
  info: Uint8Array,
  length: number,
): Buffer<ArrayBuffer> {
  const prk = createHmac('sha512', salt).update(ikm).digest()
  const blocks: Buffer[] = []
  let previous: Buffer = Buffer.alloc(0)
  while (blocks.length * 64 < length) {
    const counter = Buffer.from([blocks.length + 1])
    previous = createHmac('sha512', prk)
      .update(Buffer.concat([previous, info, counter]))
      .digest()
    blocks.push(previous)
  }
  return Buffer.concat(blocks).subarray(0, length)
}

function layOutHeader(fields: Omit<Fields, 'ciphertext' | 'tag'>, lies: Lies): Buffer {
  const { keyId, wrapped } = fields
  const wrappedLength = lies.wrappedLength ?? wrapped.length
  const ciphertextLength = Buffer.alloc(4)
  ciphertextLength.writeUInt32BE(lies.ciphertextLength ?? 0)
  return Buffer.concat([
    fields.magic,
    Buffer.from([fields.version, fields.suite, lies.keyIdLength ?? keyId.length]),
    keyId,
    Buffer.from([wrappedLength >> 8, wrappedLength & 0xff]),
    wrapped,
    fields.salt,
    fields.commitment,
    ciphertextLength,
    fields.iv,
  ])
}

function gcm(key: Uint8Array, iv: Uint8Array, aad: Uint8Array, plaintext: Uint8Array) {
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(aad)
  return { ciphertext: Buffer.concat([cipher.update(plaintext), cipher.final()]), tag: cipher.getAuthTag() }
}

/** RFC 7518 section 5.2.2.1, with the padding of RFC 5652 section 6.3 made by hand. */
function cbc(key: Uint8Array, iv: Uint8Array, aad: Uint8Array, plaintext: Uint8Array) {
  const padding = 16 - (plaintext.length % 16)
  const padded = Buffer.concat([plaintext, Buffer.alloc(padding, padding)])
  const cipher = createCipheriv('aes-256-cbc', key.subarray(32), iv).setAutoPadding(false)
  const ciphertext = Buffer.concat([cipher.update(padded), cipher.final()])
  return { ciphertext, tag: cbcTag(key.subarray(0, 32), iv, aad, ciphertext) }
}

function cbcTag(macKey: Uint8Array, iv: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Buffer {
  const al = Buffer.alloc(8)
  al.writeUInt32BE(aad.length * 8, 4)
  const whole = createHmac('sha512', macKey)
    .update(Buffer.concat([aad, iv, ciphertext, al]))
    .digest()
  return whole.subarray(0, 32)
}
