/** Several keys that pass for one: the primary wraps, and each unwraps what it wrapped. */
import { asKmsError, KmsError } from '../ports/errors.js'
import { backendPart, type KeyId } from '../ports/key_id.js'
import type { CallOptions, KeyWrapper, Recognition, WrappedDek } from '../ports/key_wrapper.js'

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
   * Asks the key that made `wrapped`; where several hold that KEK, the next one when the first cannot serve.
   *
   * Fails with `ERR_KEY_UNKNOWN`, without asking any backend, when every key knows that it did not.
   *
   * @returns 32 bytes that the caller owns and wipes.
   */
  async unwrap(wrapped: WrappedDek, options: CallOptions): Promise<Uint8Array> {
    const failures: unknown[] = []
    for (const key of this.#all('yes', wrapped.keyId)) {
      try {
        return await key.wrapper.unwrap(wrapped, options)
      } catch (error) {
        // The KEK itself says that the data is bad: no other holder of it will say otherwise.
        if (error instanceof KmsError && error.fault === 'data') throw error
        failures.push(error)
      }
    }
    // A key that has not seen its KEK since the start looks at it first. The quickest decides: a key that hangs
    // must not hold up another.
    const unsure = this.#all('unknown', wrapped.keyId)
    try {
      return await Promise.any(unsure.map(async ({ wrapper }) => wrapper.unwrap(wrapped, options)))
    } catch (error) {
      failures.push(...(error instanceof AggregateError ? (error.errors as unknown[]) : [error]))
      throw worstOf(failures, wrapped.keyId)
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.primary, ...this.decryptOnly].map(async ({ wrapper }) => wrapper.close()))
  }

  /** The keys of the backend that made `keyId` which say so of it. */
  #all(recognition: Recognition, keyId: KeyId): readonly RingKey[] {
    return [this.primary, ...this.decryptOnly].filter(
      ({ wrapper }) => wrapper.backend === backendPart(keyId) && wrapper.recognizes(keyId) === recognition,
    )
  }
}

/** What to tell of several failures: that of the key which knew the DEK, else of one that could not look. */
function worstOf(failures: readonly unknown[], keyId: KeyId): KmsError {
  const errors = failures.map(asKmsError)
  const isUnknown = ({ code }: KmsError) => code === 'ERR_KEY_UNKNOWN'
  return (
    errors.find(({ fault }) => fault === 'data') ??
    errors.find((error) => !isUnknown(error)) ??
    new KmsError(
      'ERR_KEY_UNKNOWN',
      `no configured key has the key id ${keyId}; its entry under keys, or the identity of its KEK, has changed`,
    )
  )
}
