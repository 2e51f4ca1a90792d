/** The keys of the fake OVHcloud KMS, and the JWE that they make: real AES-GCM, by RFC 7516 and RFC 7518. */
import { createCipheriv, createDecipheriv, randomBytes, randomUUID, type CipherGCMTypes } from 'node:crypto'

export interface FakeServiceKey {
  readonly id: string
  name: string
  readonly type: string
  readonly size: number
  readonly operations: readonly string[]
  readonly protectionLevel: string
  /** `undefined`: the fake does not tell it. */
  state: string | undefined
  readonly material: Buffer
}

export function makeServiceKey(change: Partial<FakeServiceKey> = {}): FakeServiceKey {
  const size = change.size ?? 256
  return {
    id: randomUUID(),
    name: 'kubernetes',
    type: 'oct',
    size,
    operations: ['encrypt', 'decrypt'],
    protectionLevel: 'HSM',
    state: 'active',
    material: randomBytes(size / 8),
    ...change,
  }
}

/** How a JWE is made: with the key itself, or with a key of its own that the key encrypts. */
export interface JweForm {
  readonly alg: 'dir' | 'gcmkw'
  /** More members of the header. */
  readonly header: Readonly<Record<string, string>>
}

interface Sealed {
  readonly iv: Buffer
  readonly data: Buffer
  readonly tag: Buffer
}

export function seal(
  key: FakeServiceKey,
  plaintext: Buffer,
  context: string | undefined,
  form: JweForm,
): string {
  const cek = form.alg === 'dir' ? key.material : randomBytes(32)
  const enc = `A${cek.length * 8}GCM`
  const wrapped = form.alg === 'dir' ? undefined : encrypt(key.material, cek, Buffer.alloc(0))
  const keyHeader =
    wrapped === undefined
      ? { alg: 'dir' }
      : { alg: `A${key.size}GCMKW`, iv: encode(wrapped.iv), tag: encode(wrapped.tag) }
  const header = encode(Buffer.from(JSON.stringify({ ...keyHeader, enc, kid: key.id, ...form.header })))
  const { iv, data, tag } = encrypt(cek, plaintext, aad(header, context))
  return [header, encode(wrapped?.data ?? Buffer.alloc(0)), encode(iv), encode(data), encode(tag)].join('.')
}

/** What {@link seal} has made with this key, to the last letter; `undefined` for anything else. */
export function unseal(key: FakeServiceKey, text: string, context: string | undefined): Buffer | undefined {
  try {
    const parts = text.split('.')
    const raw = parts.map((part) => Buffer.from(part, 'base64url'))
    if (parts.length !== 5 || raw.some((bytes, i) => encode(bytes) !== parts[i])) return undefined
    const [head, encryptedKey, iv, data, tag] = raw as [Buffer, Buffer, Buffer, Buffer, Buffer]
    const header = JSON.parse(head.toString('utf8')) as Record<string, string>
    const cek =
      header['alg'] === 'dir'
        ? key.material
        : decrypt(key.material, encryptedKey, bytesAt(header, 'iv'), bytesAt(header, 'tag'), Buffer.alloc(0))
    if (header['alg'] === 'dir' && encryptedKey.length > 0) return undefined
    return decrypt(cek, data, iv, tag, aad(parts[0]!, context))
  } catch {
    return undefined
  }
}

/** As a JWE with additional data has it in the JSON serialization; the compact one has no place for it. */
function aad(header: string, context: string | undefined): Buffer {
  return Buffer.from(context === undefined ? header : `${header}.${encode(Buffer.from(context))}`, 'ascii')
}

function encrypt(key: Buffer, plaintext: Buffer, additional: Buffer): Sealed {
  const iv = randomBytes(12)
  const cipher = createCipheriv(cipherFor(key), key, iv).setAAD(additional)
  const data = Buffer.concat([cipher.update(plaintext), cipher.final()])
  return { iv, data, tag: cipher.getAuthTag() }
}

function decrypt(key: Buffer, data: Buffer, iv: Buffer, tag: Buffer, additional: Buffer): Buffer {
  if (tag.length !== 16 || iv.length !== 12) throw new Error('no tag or vector of ours')
  const decipher = createDecipheriv(cipherFor(key), key, iv).setAAD(additional).setAuthTag(tag)
  return Buffer.concat([decipher.update(data), decipher.final()])
}

function cipherFor(key: Buffer): CipherGCMTypes {
  return `aes-${key.length * 8}-gcm` as CipherGCMTypes
}

function bytesAt(header: Record<string, string>, name: string): Buffer {
  return Buffer.from(header[name] ?? '', 'base64url')
}

function encode(bytes: Buffer): string {
  return bytes.toString('base64url')
}
