/**
 * Tells bad data from a bad device when the backend's answer does not: SoftHSM answers a tampered wrapped DEK
 * with CKR_GENERAL_ERROR, the code of a dying HSM.
 */
import type { Clock } from '../ports/clock.js'
import { KmsError } from '../ports/errors.js'
import type { CallOptions, KeyWrapper, WrappedDek } from '../ports/key_wrapper.js'
import { SingleFlight } from './single_flight.js'

/** A key wrapper that remembers one wrapped DEK which its KEK is known to open. */
export interface CanariedKeyWrapper extends KeyWrapper {
  /** The last wrapped DEK that unwrapped; `undefined` since the start of the process. */
  readonly knownGood: WrappedDek | undefined
}

/**
 * On `ERR_UNWRAP_AMBIGUOUS` unwraps the known-good DEK: if that works the data is bad (`ERR_DECRYPTION_FAILED`),
 * else the backend is (`ERR_BACKEND_UNAVAILABLE`). Any number of bad values share one such canary. Without a
 * known-good DEK the ambiguous error stands.
 */
export function canaried(inner: KeyWrapper, clock: Clock, timeoutMs: number): CanariedKeyWrapper {
  let knownGood: WrappedDek | undefined
  const canary = new SingleFlight<boolean>(clock, timeoutMs)

  const opensKnownGood = async (good: WrappedDek, options: CallOptions): Promise<boolean> =>
    canary.join('canary', options, async (o) => {
      try {
        ;(await inner.unwrap(good, o)).fill(0)
        return true
      } catch {
        return false
      }
    })

  return {
    backend: inner.backend,
    get knownGood() {
      return knownGood
    },
    recognizes: (keyId) => inner.recognizes(keyId),
    currentKeyId: async (options) => inner.currentKeyId(options),
    wrap: async (dek, options) => inner.wrap(dek, options),
    close: async () => inner.close(),

    async unwrap(wrapped, options) {
      try {
        const dek = await inner.unwrap(wrapped, options)
        knownGood = wrapped
        return dek
      } catch (error) {
        if (!(error instanceof KmsError) || error.code !== 'ERR_UNWRAP_AMBIGUOUS' || knownGood === undefined)
          throw error
        throw (await opensKnownGood(knownGood, options))
          ? new KmsError(
              'ERR_DECRYPTION_FAILED',
              `${error.message}; a known-good DEK opens, so the data is bad`,
            )
          : new KmsError('ERR_BACKEND_UNAVAILABLE', `${error.message}; a known-good DEK does not open either`)
      }
    },
  }
}
