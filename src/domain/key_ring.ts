/** Several keys that pass for one: the primary wraps, and each unwraps what it wrapped. */
import { KmsError } from '../ports/errors.js'
import { backendPart, type KeyId } from '../ports/key_id.js'
import type { CallOptions, KeyWrapper, WrappedDek } from '../ports/key_wrapper.js'

/** A wrapper under its configured name. */
export interface RingKey {
  readonly name: string
  readonly wrapper: KeyWrapper
  /** A wrapped DEK that this key has opened since the start of the process: what a probe can unwrap. */
  knownGood(): WrappedDek | undefined
}

export class KeyRing {
  readonly primary: RingKey
  /** Keys that only open what they sealed in the past. They are never asked to wrap. */
  readonly decryptOnly: readonly RingKey[]

  constructor(primary: RingKey, decryptOnly: readonly RingKey[]) {
    this.primary = primary
    this.decryptOnly = decryptOnly
  }

  async wrap(dek: Uint8Array, options: CallOptions): Promise<WrappedDek> {
    return this.primary.wrapper.wrap(dek, options)
  }

  /**
   * Asks the key that made `wrapped`, and no other.
   *
   * Fails with `ERR_KEY_UNKNOWN`, without asking any backend, when every key knows that it did not.
   *
   * @returns 32 bytes that the caller owns and wipes.
   */
  async unwrap(wrapped: WrappedDek, options: CallOptions): Promise<Uint8Array> {
    const key = await this.#keyOf(wrapped.keyId, options)
    return key.wrapper.unwrap(wrapped, options)
  }

  async close(): Promise<void> {
    await Promise.all(this.#all().map(async ({ wrapper }) => wrapper.close()))
  }

  #all(): readonly RingKey[] {
    return [this.primary, ...this.decryptOnly]
  }

  async #keyOf(keyId: KeyId, options: CallOptions): Promise<RingKey> {
    const known = this.#all().find(({ wrapper }) => wrapper.recognizes(keyId) === 'yes')
    if (known !== undefined) return known

    // A key that has not seen its KEK since the start cannot say no yet.
    const unsure = this.#all().filter(
      ({ wrapper }) => wrapper.backend === backendPart(keyId) && wrapper.recognizes(keyId) === 'unknown',
    )
    const failures = await Promise.all(
      unsure.map(async ({ wrapper }) => failureOf(wrapper.currentKeyId(options))),
    )
    const found = unsure.find(({ wrapper }) => wrapper.recognizes(keyId) === 'yes')
    if (found !== undefined) return found
    const failure = failures.find((error) => error !== undefined)
    if (failure !== undefined) throw failure
    throw new KmsError('ERR_KEY_UNKNOWN', `no configured key has the key id ${keyId}`)
  }
}

async function failureOf(call: Promise<unknown>): Promise<Error | undefined> {
  try {
    await call
    return undefined
  } catch (error) {
    return error instanceof Error ? error : new KmsError('ERR_INTERNAL', 'a key failed without an Error')
  }
}
