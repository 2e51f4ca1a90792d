/** Wraps DEKs by Cloud KMS: with the primary version of a key, and back with whichever version did it. */
import { KmsError } from '../../../ports/errors.js'
import type { NativeCiphertext } from '../../../ports/foreign.js'
import { kekPart, type KeyId } from '../../../ports/key_id.js'
import {
  DEK_BYTES,
  type CallOptions,
  type KeyWrapper,
  type Recognition,
  type WrappedDek,
} from '../../../ports/key_wrapper.js'
import type { KmsClient } from './client.js'
import { keyNameMistake } from './key_name.js'
import { aadOf, BACKEND, keyIdOfVersion, kekPartOf, readForm, writeForm, type Kek } from './wrapped_form.js'

/** A rotation spreads within a minute, and until then one server says this and the next one that. */
const MAX_ENCRYPTIONS = 3

/** Nobody rotates so often; a bound for the search. */
const MAX_SEARCHED = 10_000

export class GcpKeyWrapper implements KeyWrapper {
  readonly backend = BACKEND
  readonly #client: KmsClient
  readonly #kek: Kek
  readonly #kekPart: string
  /** The version that wrapped, or was primary, the last time that we heard. */
  #primary: number | undefined
  /** Whether Cloud KMS has confirmed that there is such a key. */
  #isSeen = false
  #highest = 0

  constructor(client: KmsClient, kek: Kek) {
    this.#client = client
    this.#kek = kek
    this.#kekPart = kekPartOf(kek)
  }

  async currentKeyId(options: CallOptions): Promise<KeyId> {
    return keyIdOfVersion(this.#kek, await this.#readPrimary(options))
  }

  recognizes(keyId: KeyId): Recognition {
    if (!this.#isSeen) return 'unknown'
    return kekPart(keyId) === this.#kekPart ? 'yes' : 'no'
  }

  /** The version is bound before it is known: when a rotation came in between, once more with the one that was named. */
  async wrap(dek: Uint8Array, options: CallOptions): Promise<WrappedDek> {
    let expected = this.#primary ?? (await this.#readPrimary(options))
    for (let i = 0; i < MAX_ENCRYPTIONS; i += 1) {
      const form = await this.#client.encrypt(dek, aadOf(this.#kek, expected), options)
      this.#sawPrimary(form.version)
      if (form.version === expected)
        return { keyId: keyIdOfVersion(this.#kek, expected), bytes: writeForm(form) }
      expected = form.version
    }
    const text = `Cloud KMS wraps with another version of ${this.#kek.key} at each call; wait until the change of its primary version has spread`
    throw new KmsError('ERR_BACKEND_RESPONSE', text)
  }

  /** Needs no look at the key first: its name says whether it made the key id. */
  async unwrap(wrapped: WrappedDek, options: CallOptions): Promise<Uint8Array> {
    if (kekPart(wrapped.keyId) !== this.#kekPart) {
      throw new KmsError('ERR_KEY_UNKNOWN', `${this.#kek.key} did not make the key id ${wrapped.keyId}`)
    }
    const form = readForm(wrapped.bytes)
    if (form === undefined) throw failed('is none of Cloud KMS')
    const { version, ciphertext } = form
    if (keyIdOfVersion(this.#kek, version) !== wrapped.keyId) throw this.#otherVersion(wrapped.keyId)
    const dek = await this.#client.decrypt(ciphertext, aadOf(this.#kek, version), options)
    this.#saw(version)
    if (dek.length === DEK_BYTES) return dek
    dek.fill(0)
    throw failed(`holds ${dek.length} bytes, not ${DEK_BYTES}`)
  }

  /**
   * `bytes` is a ciphertext of Cloud KMS without additional authenticated data; it finds its version by itself. `keyName`
   * is the resource name of the key that made it, where that is known: with another key it is not even tried.
   *
   * @throws {KmsError} `ERR_KEY_UNKNOWN`: it was made with another key.
   */
  async decryptNative({ bytes, keyName }: NativeCiphertext, options: CallOptions): Promise<Uint8Array> {
    const { key } = this.#kek
    if (keyName === undefined || keyName === key) return this.#client.decrypt(bytes, undefined, options)
    const its = keyNameMistake(keyName) === undefined ? keyName : 'another key'
    throw new KmsError('ERR_KEY_UNKNOWN', `the value was made with ${its}, not with ${key}`)
  }

  async close(): Promise<void> {
    this.#client.close()
    return Promise.resolve()
  }

  async #readPrimary(options: CallOptions): Promise<number> {
    const { version } = await this.#client.primary(options)
    this.#sawPrimary(version)
    return version
  }

  #sawPrimary(version: number): void {
    this.#saw(version)
    this.#primary = version
  }

  #saw(version: number): void {
    this.#isSeen = true
    this.#highest = Math.max(this.#highest, version)
  }

  #otherVersion(keyId: KeyId): KmsError {
    const highest = Math.min(this.#highest, MAX_SEARCHED)
    const isOurs = Array.from({ length: highest }, (_, at) => at + 1).some(
      (version) => keyIdOfVersion(this.#kek, version) === keyId,
    )
    if (isOurs || highest === 0) return failed('belongs to another version than its key id')
    return new KmsError('ERR_KEY_UNKNOWN', `${this.#kek.key} has no version with the key id ${keyId}`)
  }
}

function failed(why: string): KmsError {
  return new KmsError('ERR_DECRYPTION_FAILED', `the wrapped DEK ${why}: it was altered`)
}
