/** The Transit engine: keys with versions, encrypt and decrypt. (OpenBao 2.6: builtin/logical/transit, keysutil/policy.go.) */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  generateKeyPairSync,
  hkdfSync,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  type KeyObject,
} from 'node:crypto'
import type { FakeAnswer } from '../fake_server.js'
import { data, failed, refused } from './reply.js'

export type KeyType =
  'aes128-gcm96' | 'aes256-gcm96' | 'chacha20-poly1305' | 'rsa-2048' | 'rsa-4096' | 'ed25519' | 'hmac'

export interface KeyWish {
  readonly type?: KeyType
  readonly derived?: boolean
  readonly exportable?: boolean
  readonly deletionAllowed?: boolean
}

interface Version {
  readonly secret: Buffer
  readonly pair: { readonly privateKey: KeyObject; readonly publicKey: KeyObject } | undefined
  readonly createdMs: number
}

export interface FakeKey {
  readonly type: KeyType
  readonly derived: boolean
  exportable: boolean
  deletionAllowed: boolean
  readonly versions: Map<number, Version>
  latest: number
  minDecryption: number
  minEncryption: number
  softDeleted: boolean
}

export type Body = Readonly<Record<string, unknown>>

/** Thrown and turned into an answer by {@link Transit}. */
class Refusal extends Error {}

export class Transit {
  readonly #nowMs: () => number
  readonly #keys = new Map<string, FakeKey>()

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  get(name: string): FakeKey | undefined {
    return this.#keys.get(name)
  }

  create(name: string, wish: KeyWish = {}): FakeKey {
    const { type = 'aes256-gcm96', derived = false, exportable = false, deletionAllowed = false } = wish
    const key: FakeKey = {
      ...{ type, derived, exportable, deletionAllowed, softDeleted: false },
      versions: new Map(),
      ...{ latest: 0, minDecryption: 1, minEncryption: 0 },
    }
    this.#keys.set(name, key)
    this.rotate(name)
    return key
  }

  rotate(name: string): void {
    const key = this.#keys.get(name)
    if (key === undefined) throw new Error(`no key ${name}`)
    key.latest += 1
    const bits = key.type === 'rsa-4096' ? 4096 : 2048
    const pair = key.type.startsWith('rsa-') ? generateKeyPairSync('rsa', { modulusLength: bits }) : undefined
    key.versions.set(key.latest, { secret: randomBytes(32), pair, createdMs: this.#nowMs() })
  }

  /** A key that was made elsewhere: the secret of each of its versions, from 1 on. */
  adopt(name: string, secrets: readonly Buffer[]): FakeKey {
    const key = this.create(name)
    for (const [index, secret] of secrets.entries()) {
      if (index > 0) this.rotate(name)
      key.versions.set(index + 1, { secret, pair: undefined, createdMs: this.#nowMs() })
    }
    return key
  }

  delete(name: string): void {
    this.#keys.delete(name)
  }

  read(name: string): FakeAnswer {
    const key = this.#keys.get(name)
    if (key === undefined) return { status: 404, body: { errors: [] } }
    const { type, derived, latest, minDecryption, minEncryption, exportable, deletionAllowed } = key
    const canEncrypt = type !== 'ed25519' && type !== 'hmac'
    // Versions below the minimum are moved to an archive and not shown.
    const shown = [...key.versions].filter(([number]) => number >= minDecryption)
    return data({
      ...{ name, type, derived, exportable, allow_plaintext_backup: false, imported_key: false },
      ...{ deletion_allowed: deletionAllowed, soft_deleted: key.softDeleted, auto_rotate_period: 0 },
      ...{ latest_version: latest, min_available_version: 0 },
      ...{ min_decryption_version: minDecryption, min_encryption_version: minEncryption },
      ...{ supports_encryption: canEncrypt, supports_decryption: canEncrypt },
      ...{ supports_signing: !type.includes('-gcm96'), supports_derivation: type.includes('-gcm96') },
      // A key for MACs shows none.
      ...(type === 'hmac'
        ? {}
        : {
            keys: Object.fromEntries(shown.map(([number, version]) => [number, shownVersion(type, version)])),
          }),
    })
  }

  /** @param isCreate The token may create, and there is no such key: Vault then makes it. */
  encrypt(name: string, body: Body, isCreate: boolean): FakeAnswer {
    return answered(() => {
      const key =
        this.#keys.get(name) ??
        (isCreate ? this.create(name, { derived: hasText(body, 'context') }) : undefined)
      if (key === undefined) throw new Refusal('encryption key not found')
      if (typeof body['plaintext'] !== 'string') throw new Refusal('missing plaintext to encrypt')
      const plaintext = base64(body, 'plaintext')
      if (plaintext.toString('base64') !== body['plaintext']) {
        throw new Refusal('illegal base64 data at input byte 0')
      }
      this.#assertServes(key, body, 'encryption')
      const wanted = typeof body['key_version'] === 'number' ? body['key_version'] : 0
      if (wanted < 0) throw new Refusal('requested version for encryption is negative')
      if (wanted > key.latest) {
        throw new Refusal('requested version for encryption is higher than the latest key version')
      }
      if (wanted !== 0 && wanted < key.minEncryption) {
        throw new Refusal('requested version for encryption is less than the minimum encryption key version')
      }
      const number = wanted === 0 ? key.latest : wanted
      if (number < key.minDecryption) throw new Refusal('no such key version')
      const sealed = seal(key, number, plaintext, body)
      return data({ ciphertext: `vault:v${number}:${sealed.toString('base64')}`, key_version: number })
    })
  }

  decrypt(name: string, body: Body): FakeAnswer {
    return answered(() => {
      const text = typeof body['ciphertext'] === 'string' ? body['ciphertext'] : ''
      if (text === '') throw new Refusal('missing ciphertext to decrypt')
      const key = this.#keys.get(name)
      if (key === undefined) throw new Refusal('encryption key not found')
      this.#assertServes(key, body, 'decryption')
      if (!text.startsWith('vault:v')) throw new Refusal('invalid ciphertext: no prefix')
      const [version = '', encoded] = text.slice('vault:v'.length).split(':')
      if (encoded === undefined) throw new Refusal('invalid ciphertext: wrong number of fields')
      if (!/^-?[0-9]+$/.test(version))
        throw new Refusal('invalid ciphertext: version number could not be decoded')
      const number = Number(version) === 0 ? 1 : Number(version)
      if (number > key.latest) throw new Refusal('invalid ciphertext: version is too new')
      if (number < key.minDecryption) {
        throw new Refusal('ciphertext or signature version is disallowed by policy (too old)')
      }
      const bytes = Buffer.from(encoded, 'base64')
      if (bytes.toString('base64') !== encoded)
        throw new Refusal('invalid ciphertext: could not decode base64')
      const { pair } = key.versions.get(number)!
      if (pair === undefined)
        return data({ plaintext: openAead(key, number, bytes, body).toString('base64') })
      try {
        return data({
          plaintext: privateDecrypt({ key: pair.privateKey, ...OAEP }, bytes).toString('base64'),
        })
      } catch {
        return failed(500, 'failed to RSA decrypt the ciphertext: crypto/rsa: decryption error')
      }
    })
  }

  #assertServes({ type, softDeleted }: FakeKey, body: Body, what: string): void {
    if (hasText(body, 'associated_data') && type.startsWith('rsa-')) {
      throw new Refusal(`'[0].associated_data' provided for non-AEAD cipher suite ${type}`)
    }
    if (softDeleted) throw new Refusal('refusing to use soft-deleted key')
    if (type === 'ed25519' || type === 'hmac')
      throw new Refusal(`message ${what} not supported for key type ${type}`)
  }
}

const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }
const NONCE_BYTES = 12
const TAG_BYTES = 16

function answered(work: () => FakeAnswer): FakeAnswer {
  try {
    return work()
  } catch (error) {
    if (error instanceof Refusal) return refused(error.message)
    throw error
  }
}

function hasText(body: Body, name: string): boolean {
  return typeof body[name] === 'string' && body[name] !== ''
}

function base64(body: Body, name: string): Buffer {
  const text = body[name]
  return Buffer.from(typeof text === 'string' ? text : '', 'base64')
}

/** For AES and ChaCha20 seconds, for the others RFC 3339 in which Go cuts zeros at the end of the fraction. */
function shownVersion(type: KeyType, { createdMs }: Version): unknown {
  if (!/^(rsa|ed)/.test(type)) return Math.floor(createdMs / 1000)
  const creationTime = new Date(createdMs).toISOString().replace(/\.?0+Z$/, 'Z')
  return { creation_time: creationTime, name: type, public_key: 'a public key' }
}

function aeadKey(key: FakeKey, number: number, body: Body): Buffer {
  const { secret } = key.versions.get(number)!
  const bytes = key.type === 'aes128-gcm96' ? 16 : 32
  if (!key.derived) return secret.subarray(0, bytes)
  const context = base64(body, 'context')
  if (context.length === 0) {
    throw new Refusal(
      "missing 'context' for key derivation; the key was created using a derived key, which means additional, per-request information must be included in order to perform operations with the key",
    )
  }
  return Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), context, bytes))
}

function cipherName(type: KeyType): 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305' {
  if (type === 'aes128-gcm96') return 'aes-128-gcm'
  return type === 'chacha20-poly1305' ? type : 'aes-256-gcm'
}

function seal(key: FakeKey, number: number, plaintext: Buffer, body: Body): Buffer {
  const { pair } = key.versions.get(number)!
  if (pair !== undefined) return publicEncrypt({ key: pair.publicKey, ...OAEP }, plaintext)
  const nonce = randomBytes(NONCE_BYTES)
  const options = { authTagLength: TAG_BYTES }
  const cipher = createCipheriv(
    cipherName(key.type) as 'aes-256-gcm',
    aeadKey(key, number, body),
    nonce,
    options,
  )
  cipher.setAAD(base64(body, 'associated_data'))
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

function openAead(key: FakeKey, number: number, bytes: Buffer, body: Body): Buffer {
  const secret = aeadKey(key, number, body)
  if (bytes.length < NONCE_BYTES) throw new Refusal('invalid ciphertext length')
  const failure = key.type === 'chacha20-poly1305' ? 'chacha20poly1305' : 'cipher'
  if (bytes.length < NONCE_BYTES + TAG_BYTES) throw new Refusal(`${failure}: message authentication failed`)
  const options = { authTagLength: TAG_BYTES }
  const nonce = bytes.subarray(0, NONCE_BYTES)
  const decipher = createDecipheriv(cipherName(key.type) as 'aes-256-gcm', secret, nonce, options)
  decipher.setAAD(base64(body, 'associated_data')).setAuthTag(bytes.subarray(-TAG_BYTES))
  try {
    return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()])
  } catch {
    throw new Refusal(`${failure}: message authentication failed`)
  }
}
