/** A CryptoKey with its versions, as Cloud KMS keeps it: real AES-256-GCM, and ciphertexts that find their version. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { FakeAnswer } from './fake_server.js'
import { googleError, stateAnswer } from './gcp_errors.js'

/** Takes the place of an answer that went well. */
export type Lie = (answer: FakeAnswer) => FakeAnswer

/** Hexadecimal digits of a version that was there before. */
export interface VersionWish {
  readonly secret: string
  readonly mark: string
}

interface Version {
  readonly secret: Buffer
  /** In ciphertexts. */
  readonly mark: Buffer
  /** `ENABLED`, `DISABLED` and so on. */
  state: string
}

/** With IV and tag, a ciphertext is 80 bytes longer than its plaintext, as those of the real service are. */
const HEADER_BYTES = 52
const MARK_BYTES = HEADER_BYTES - 3
const IV_BYTES = 12
const TAG_BYTES = 16
const GCM = { authTagLength: TAG_BYTES } as const

export class FakeCryptoKey {
  readonly name: string
  readonly versions: Version[] = []
  /** Counted from 1; 0: there is none. */
  primary = 0
  purpose = 'ENCRYPT_DECRYPT'
  protectionLevel = 'HSM'
  /** What the service calls the key, where that is not how it was asked. */
  answeredName: string
  /** Checksums as JSON numbers, which protobuf allows. */
  hasNumbers = false
  /** The primary that the next encryptions use, whatever is said: a change that has not spread yet. */
  readonly stalePrimaries: number[] = []
  isDeleted = false

  constructor(name: string) {
    this.name = name
    this.answeredName = name
    this.rotate()
  }

  rotate(wish?: VersionWish): void {
    const secret = wish === undefined ? randomBytes(32) : Buffer.from(wish.secret, 'hex')
    const mark = wish === undefined ? randomBytes(MARK_BYTES) : Buffer.from(wish.mark, 'hex')
    this.versions.push({ secret, mark, state: 'ENABLED' })
    this.primary = this.versions.length
  }

  /** Takes the place of what was made at its birth. */
  restore(wishes: readonly VersionWish[]): void {
    this.versions.length = 0
    for (const wish of wishes) this.rotate(wish)
  }

  setState(version: number, state: string): void {
    this.versions[version - 1]!.state = state
  }

  call(method: string, name: string, body: Readonly<Record<string, unknown>>): FakeAnswer {
    if (name !== this.name || this.isDeleted)
      return googleError(404, 'NOT_FOUND', `CryptoKey ${name} not found.`)
    if (method === 'get') return { status: 200, body: this.#resource() }
    const bytes = fieldsOf(body)
    if ('status' in bytes) return bytes
    return method === 'encrypt' ? this.#encrypt(bytes) : this.#decrypt(bytes)
  }

  #resource(): object {
    const { primary, protectionLevel } = this
    const version = this.versions[primary - 1]
    const algorithm = 'GOOGLE_SYMMETRIC_ENCRYPTION'
    const state = version?.state
    const shown = {
      name: this.#versionName(primary),
      state,
      protectionLevel,
      algorithm,
      createTime: '2026-01-01T00:00:00Z',
    }
    return {
      name: this.answeredName,
      ...(version === undefined ? {} : { primary: shown }),
      purpose: this.purpose,
      createTime: '2026-01-01T00:00:00Z',
      versionTemplate: { protectionLevel, algorithm },
      destroyScheduledDuration: '2592000s',
    }
  }

  #encrypt({ plaintext, aad, hasPlaintextCrc, hasAadCrc }: Fields): FakeAnswer {
    const number = this.stalePrimaries.shift() ?? this.primary
    const version = this.versions[number - 1]
    if (version === undefined)
      return googleError(400, 'FAILED_PRECONDITION', `${this.name} has no primary version.`)
    if (version.state !== 'ENABLED') return stateAnswer(this.#versionName(number), version.state)
    const header = Buffer.concat([Buffer.of(0x0a, 0x24, 0x00), version.mark])
    const iv = randomBytes(IV_BYTES)
    const cipher = createCipheriv('aes-256-gcm', version.secret, iv, GCM).setAAD(Buffer.concat([header, aad]))
    const ciphertext = Buffer.concat([
      header,
      iv,
      cipher.update(plaintext),
      cipher.final(),
      cipher.getAuthTag(),
    ])
    const body = {
      name: this.#versionName(number),
      ciphertext: ciphertext.toString('base64'),
      ciphertextCrc32c: this.#int64(ciphertext),
      ...(hasPlaintextCrc ? { verifiedPlaintextCrc32c: true } : {}),
      ...(hasAadCrc ? { verifiedAdditionalAuthenticatedDataCrc32c: true } : {}),
      protectionLevel: this.protectionLevel,
    }
    return { status: 200, body }
  }

  #decrypt({ ciphertext, aad }: Fields): FakeAnswer {
    const invalid = googleError(400, 'INVALID_ARGUMENT', 'Decryption failed: the ciphertext is invalid.')
    const header = ciphertext.subarray(0, HEADER_BYTES)
    const at = this.versions.findIndex(({ mark }) => mark.equals(header.subarray(3)))
    const version = this.versions[at]
    if (version === undefined || ciphertext.length < HEADER_BYTES + IV_BYTES + TAG_BYTES) return invalid
    if (version.state !== 'ENABLED') return stateAnswer(this.#versionName(at + 1), version.state)
    const iv = ciphertext.subarray(HEADER_BYTES, HEADER_BYTES + IV_BYTES)
    const decipher = createDecipheriv('aes-256-gcm', version.secret, iv, GCM)
    decipher.setAAD(Buffer.concat([header, aad])).setAuthTag(ciphertext.subarray(-TAG_BYTES))
    try {
      const start = decipher.update(ciphertext.subarray(HEADER_BYTES + IV_BYTES, -TAG_BYTES))
      const plaintext = Buffer.concat([start, decipher.final()])
      const body = {
        ...(plaintext.length === 0 ? {} : { plaintext: plaintext.toString('base64') }),
        plaintextCrc32c: this.#int64(plaintext),
        ...(at + 1 === this.primary ? { usedPrimary: true } : {}),
        protectionLevel: this.protectionLevel,
      }
      return { status: 200, body }
    } catch {
      return invalid
    }
  }

  #versionName(number: number): string {
    return `${this.name}/cryptoKeyVersions/${number}`
  }

  #int64(bytes: Buffer): string | number {
    const value = castagnoli(bytes)
    return this.hasNumbers ? value : String(value)
  }
}

interface Fields {
  readonly plaintext: Buffer
  readonly ciphertext: Buffer
  readonly aad: Buffer
  readonly hasPlaintextCrc: boolean
  readonly hasAadCrc: boolean
}

/** The bytes of a request, unless a checksum of it is wrong. */
function fieldsOf(body: Readonly<Record<string, unknown>>): Fields | FakeAnswer {
  const names = ['plaintext', 'ciphertext', 'additionalAuthenticatedData'] as const
  const [plaintext, ciphertext, aad] = names.map((name) => bytesAt(body[name]))
  for (const [at, name] of names.entries()) {
    const told = body[`${name}Crc32c`]
    const bytes = [plaintext, ciphertext, aad][at]!
    if (told !== undefined && Number(told) !== castagnoli(bytes)) {
      const field = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
      const text = `The checksum in field ${field}_crc32c did not match the data in field ${field}.`
      return googleError(400, 'INVALID_ARGUMENT', text)
    }
  }
  return {
    plaintext: plaintext!,
    ciphertext: ciphertext!,
    aad: aad!,
    hasPlaintextCrc: body['plaintextCrc32c'] !== undefined,
    hasAadCrc: body['additionalAuthenticatedDataCrc32c'] !== undefined,
  }
}

function bytesAt(value: unknown): Buffer {
  return typeof value === 'string' ? Buffer.from(value, 'base64') : Buffer.alloc(0)
}

/** CRC32C by long division, most significant bit first: another way than that of the code under test. */
export function castagnoli(bytes: Uint8Array): number {
  let rest = 0xffffffffn
  for (const byte of bytes) {
    rest ^= BigInt(mirrored(byte, 8)) << 24n
    for (let bit = 0; bit < 8; bit += 1) {
      rest = rest & 0x80000000n ? ((rest << 1n) ^ 0x1edc6f41n) & 0xffffffffn : rest << 1n
    }
  }
  return mirrored(Number(rest ^ 0xffffffffn), 32)
}

function mirrored(value: number, bits: number): number {
  let result = 0
  for (let bit = 0; bit < bits; bit += 1) {
    result = result * 2 + (Math.floor(value / 2 ** bit) % 2)
  }
  return result
}
