/** Wraps DEKs with AES-256-GCM under a key from a file. */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto'
import { KmsError } from '../../../ports/errors.js'
import { kekPart, type KeyId } from '../../../ports/key_id.js'
import { DEK_BYTES, type KeyWrapper, type Recognition, type WrappedDek } from '../../../ports/key_wrapper.js'
import { keyIdOf } from '../identity.js'
import { readKeyFile, type LocalKey, type LocalKeySet } from './key_file.js'

const FORMAT = 0x01
const IV_BYTES = 12
const TAG_BYTES = 16
/** Format 1 ‖ IV 12 ‖ encrypted DEK 32 ‖ tag 16. */
const WRAPPED_BYTES = 1 + IV_BYTES + DEK_BYTES + TAG_BYTES
const GCM = { authTagLength: TAG_BYTES } as const

/** Re-reads the file whenever it changes, so a new first key in it is a rotation. */
export class LocalKeyWrapper implements KeyWrapper {
  readonly backend = 'local'
  readonly #path: string
  #known: LocalKeySet | undefined

  constructor(path: string) {
    this.#path = path
  }

  async currentKeyId(): Promise<KeyId> {
    const set = await this.#read()
    return keyIdOfLocal(set, this.#current(set))
  }

  recognizes(keyId: KeyId): Recognition {
    const [key] = this.#known?.keys ?? []
    if (this.#known === undefined || key === undefined) return 'unknown'
    return kekPart(keyIdOfLocal(this.#known, key)) === kekPart(keyId) ? 'yes' : 'no'
  }

  async wrap(dek: Uint8Array): Promise<WrappedDek> {
    const set = await this.#read()
    const current = this.#current(set)
    const keyId = keyIdOfLocal(set, current)
    const iv = randomBytes(IV_BYTES)
    const cipher = createCipheriv('aes-256-gcm', current.key, iv, GCM).setAAD(aadOf(keyId))
    const encrypted = cipher.update(dek)
    cipher.final()
    return { keyId, bytes: Buffer.concat([Buffer.of(FORMAT), iv, encrypted, cipher.getAuthTag()]) }
  }

  async unwrap(wrapped: WrappedDek): Promise<Uint8Array> {
    const set = await this.#read()
    const key = set.keys.find((candidate) => keyIdOfLocal(set, candidate) === wrapped.keyId)
    if (key === undefined)
      throw new KmsError('ERR_KEY_UNKNOWN', `${this.#path} holds no key ${wrapped.keyId}`)
    if (!key.enabled) throw new KmsError('ERR_KEY_DISABLED', `key ${key.id} of ${this.#path} is disabled`)
    const bytes = Buffer.from(wrapped.bytes)
    if (bytes.length !== WRAPPED_BYTES || bytes[0] !== FORMAT) throw altered()
    const iv = bytes.subarray(1, 1 + IV_BYTES)
    const decipher = createDecipheriv('aes-256-gcm', key.key, iv, GCM).setAAD(aadOf(wrapped.keyId))
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
    const dek = decipher.update(bytes.subarray(1 + IV_BYTES, -TAG_BYTES))
    try {
      decipher.final()
      return dek
    } catch {
      dek.fill(0)
      throw altered()
    }
  }

  async close(): Promise<void> {
    this.#known = undefined
    return Promise.resolve()
  }

  async #read(): Promise<LocalKeySet> {
    this.#known = await readKeyFile(this.#path, this.#known)
    return this.#known
  }

  #current(set: LocalKeySet): LocalKey {
    const current = set.keys.find(({ enabled }) => enabled)
    if (current === undefined) throw new KmsError('ERR_KEY_DISABLED', `no key of ${this.#path} is enabled`)
    return current
  }
}

/**
 * KEK: the file's id. Version: the key's id and a check value of the key itself, so that a copied id over another
 * key is another key id. The check value is HMAC-SHA-256 under the key: it does not tell the key.
 */
export function keyIdOfLocal(set: LocalKeySet, key: LocalKey): KeyId {
  const checkValue = createHmac('sha256', key.key)
    .update('kmsplugin local key check v1')
    .digest()
    .subarray(0, 8)
  return keyIdOf('local', [set.id], [key.id, checkValue])
}

function aadOf(keyId: KeyId): Buffer {
  return Buffer.from(`kmsplugin/v1 dek ${keyId}`, 'ascii')
}

function altered(): KmsError {
  return new KmsError('ERR_DECRYPTION_FAILED', 'the wrapped DEK failed authentication under the local key')
}
