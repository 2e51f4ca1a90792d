/** Recorded values of plugins whose key lies on a token, that key without a token, and every way to damage a value. */
import {
  constants,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  privateDecrypt,
  type JsonWebKey,
  type KeyObject,
} from 'node:crypto'
import { readFileSync } from 'node:fs'
import { KmsError } from '../../src/ports/errors.js'
import type { ForeignDecoder, NativeCiphertext, StoredValue } from '../../src/ports/foreign.js'
import type { TokenStep } from './token_objects.js'

/** One of these holds the bytes: `aes` and `secret` in hexadecimal. */
export interface RecordedKey {
  readonly label: string
  /** CKA_ID in hexadecimal. */
  readonly id: string
  readonly aes?: string
  readonly secret?: string
  readonly rsa?: JsonWebKey
}

export interface TokenValue {
  readonly name: string
  readonly stored: StoredValue
  readonly plaintext: Buffer
  /** The name of its key in the recording. */
  readonly opensWith: string
  /** Which generation of gose's CBC tag. */
  readonly tag: 'a' | 'b' | 'c' | undefined
}

/** As it stands in the file; bytes in base64. */
export interface RecordedValue {
  readonly api: string
  readonly ciphertext: string
  readonly keyId?: string
  readonly annotations?: Readonly<Record<string, string>>
  readonly plaintext: string
  readonly note: string
  readonly opensWith?: string
  readonly tag?: 'a' | 'b' | 'c'
}

/** @param format Its name, which is that of the file. */
export function recorded(format: string): {
  readonly key: Readonly<Record<string, RecordedKey>>
  readonly values: readonly TokenValue[]
} {
  const path = new URL(`../vectors/foreign/${format}.json`, import.meta.url)
  const { key, values } = JSON.parse(readFileSync(path, 'utf8')) as {
    readonly key: Readonly<Record<string, RecordedKey>>
    readonly values: readonly RecordedValue[]
  }
  return { key, values: valuesOf(values) }
}

export function valuesOf(values: readonly RecordedValue[]): TokenValue[] {
  return values.map((value) => {
    const plaintext = Buffer.from(value.plaintext, 'base64')
    const annotations = Object.entries(value.annotations ?? {})
    return {
      name: `${value.api}, ${value.note}, ${plaintext.length} bytes`,
      stored: {
        ciphertext: Buffer.from(value.ciphertext, 'base64'),
        keyId: value.keyId,
        annotations: Object.fromEntries(
          annotations.map(([name, text]) => [name, Buffer.from(text, 'base64')]),
        ),
      },
      plaintext,
      opensWith: value.opensWith ?? 'kek',
      tag: value.tag,
    }
  })
}

/** Puts a key on a token with the right to decrypt, or to sign, and no other. */
export function importStep({ label, id, aes, secret, rsa }: RecordedKey): TokenStep {
  if (aes !== undefined) return { do: 'importAes', label, id, value: aes, encrypt: false, decrypt: true }
  if (secret !== undefined) return { do: 'importSecret', label, id, value: secret, verify: false }
  return { do: 'importRsa', label, id, key: rsa ?? {} }
}

/** A token's answers to the questions of a format, by Node's own cryptography: fast enough for thousands. */
export class KeysInMemory {
  readonly #kek: RecordedKey
  readonly #mac: Buffer
  readonly #rsa: KeyObject | undefined
  readonly #opened = new Map<string, Buffer>()
  #tries = 0

  constructor(kek: RecordedKey, mac?: RecordedKey) {
    this.#kek = kek
    this.#mac = Buffer.from(mac?.secret ?? '', 'hex')
    this.#rsa = kek.rsa && createPrivateKey({ key: kek.rsa, format: 'jwk' })
  }

  /** @throws {KmsError} as a token's key wrapper does. */
  answer(question: NativeCiphertext): Uint8Array {
    const { algorithm, bytes, iv = Buffer.alloc(0), tag = Buffer.alloc(0), aad, keyName } = question
    if (algorithm === 'HMAC-SHA256') return createHmac('sha256', this.#mac).update(bytes).digest()
    const { id, label, aes } = this.#kek
    if (keyName !== undefined && keyName !== `id:${id}` && keyName !== `label:${label}`) {
      throw new KmsError('ERR_KEY_UNKNOWN', 'another key')
    }
    if (algorithm === 'RSA-OAEP-256') return this.#oaep(bytes)
    const key = Buffer.from(aes ?? '', 'hex')
    try {
      if (algorithm === 'AES-CBC') {
        const decipher = createDecipheriv(`aes-${8 * key.length}-cbc`, key, iv).setAutoPadding(false)
        return Buffer.concat([decipher.update(bytes), decipher.final()])
      }
      const decipher = createDecipheriv(`aes-${8 * key.length}-gcm` as 'aes-256-gcm', key, iv)
      decipher.setAAD(aad ?? Buffer.alloc(0)).setAuthTag(tag)
      return Buffer.concat([decipher.update(bytes), decipher.final()])
    } catch {
      throw new KmsError('ERR_DECRYPTION_FAILED', 'refused')
    }
  }

  #oaep(bytes: Uint8Array): Buffer {
    const name = Buffer.from(bytes).toString('base64')
    const known = this.#opened.get(name)
    if (known !== undefined) return Buffer.from(known)
    if (this.#rsa === undefined) throw new KmsError('ERR_KEY_UNKNOWN', 'no RSA key')
    // RSA is slow: of thousands of altered ciphertexts some are really tried, and all are none that it opened.
    this.#tries += 1
    if (this.#opened.size > 0 && this.#tries % 50 > 0) throw new KmsError('ERR_DECRYPTION_FAILED', 'refused')
    try {
      const padding = constants.RSA_PKCS1_OAEP_PADDING
      const opened = privateDecrypt({ key: this.#rsa, padding, oaepHash: 'sha256' }, bytes)
      this.#opened.set(name, Buffer.from(opened))
      return opened
    } catch {
      throw new KmsError('ERR_DECRYPTION_FAILED', 'refused')
    }
  }
}

/** Opens as the core does, a nested value by the one of `others` that knows it. */
export function openInMemory(
  decoder: ForeignDecoder,
  value: StoredValue,
  keys: KeysInMemory,
  others: readonly ForeignDecoder[] = [],
): Buffer {
  const plan = decoder.plan(value)
  const answers = plan.questions.map((question) => {
    if (!('ciphertext' in question)) return keys.answer(question)
    const other = others.find((each) => each.recognize(question) !== undefined)
    if (other === undefined) throw new KmsError('ERR_VALUE_FOREIGN', 'nobody knows it')
    return openInMemory(other, question, keys)
  })
  return Buffer.from(plan.finish(answers))
}

/** With each byte changed in two ways, cut at each place, and with one byte more. */
export function damaged(bytes: Uint8Array): Buffer[] {
  const all: Buffer[] = [Buffer.concat([bytes, Buffer.of(0)]), Buffer.concat([bytes, Buffer.from('A')])]
  for (let at = 0; at < bytes.length; at += 1) {
    for (const bits of [0x01, 0x20]) {
      const copy = Buffer.from(bytes)
      copy.writeUInt8(copy.readUInt8(at) ^ bits, at)
      all.push(copy)
    }
    all.push(Buffer.from(bytes.subarray(0, at)))
  }
  return all
}

/** How often `attempt` came to which end: a code, `opened` for `plaintext` itself, `WRONG` for any other bytes. */
export function tally<T>(
  cases: readonly T[],
  plaintext: Buffer,
  attempt: (one: T) => Buffer,
): Readonly<Record<string, number>> {
  const ends: Record<string, number> = {}
  for (const one of cases) {
    const end = endOf(() => attempt(one), plaintext)
    ends[end] = (ends[end] ?? 0) + 1
  }
  return ends
}

function endOf(attempt: () => Buffer, plaintext: Buffer): string {
  try {
    return attempt().equals(plaintext) ? 'opened' : 'WRONG'
  } catch (error) {
    if (error instanceof KmsError) return error.code
    throw error
  }
}
