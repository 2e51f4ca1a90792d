/**
 * Tells bad data from a bad device when the backend's answer does not: SoftHSM answers a tampered wrapped DEK
 * with CKR_GENERAL_ERROR, the code of a dying HSM.
 */
import type { Clock } from '../ports/clock.js'
import { KmsError } from '../ports/errors.js'
import type { NativeCiphertext } from '../ports/foreign.js'
import type { CallOptions, KeyWrapper, WrappedDek } from '../ports/key_wrapper.js'
import { withLayer } from './key_wrapper_layer.js'
import { SingleFlight } from './single_flight.js'

/** A key wrapper that remembers one wrapped DEK which its KEK is known to open. */
export interface CanariedKeyWrapper extends KeyWrapper {
  /** The last wrapped DEK that unwrapped; `undefined` since the start of the process. */
  readonly knownGood: WrappedDek | undefined
}

/**
 * On `ERR_UNWRAP_AMBIGUOUS` repeats the last call that is known to succeed: if it still does the data is bad
 * (`ERR_DECRYPTION_FAILED`), else the backend is (`ERR_BACKEND_UNAVAILABLE`). Any number of bad values share one such
 * canary. Before any success the ambiguous error stands.
 */
export function canaried(inner: KeyWrapper, clock: Clock, timeoutMs: number): CanariedKeyWrapper {
  let knownGood: WrappedDek | undefined
  let repeatGood: ((options: CallOptions) => Promise<Uint8Array>) | undefined
  const canary = new SingleFlight<boolean>(clock, timeoutMs)

  const stillOpens = async (repeat: typeof repeatGood, options: CallOptions): Promise<boolean> =>
    canary.join('canary', options, async (o) => {
      try {
        ;(await repeat?.(o))?.fill(0)
        return true
      } catch {
        return false
      }
    })

  const judged = async (error: unknown, options: CallOptions): Promise<unknown> => {
    const isAmbiguous = error instanceof KmsError && error.code === 'ERR_UNWRAP_AMBIGUOUS'
    if (!isAmbiguous || repeatGood === undefined) return error
    const { message } = error
    return (await stillOpens(repeatGood, options))
      ? new KmsError(
          'ERR_DECRYPTION_FAILED',
          `${message}; what is known to be good opens, so the data is bad`,
        )
      : new KmsError('ERR_BACKEND_UNAVAILABLE', `${message}; what is known to be good does not open either`)
  }

  const layered = withLayer(inner, async (operation, options, call) => {
    try {
      return await call(options)
    } catch (error) {
      throw operation === 'unwrap' || operation === 'decryptNative' ? await judged(error, options) : error
    }
  })
  const plainDecrypt = inner.decryptNative?.bind(inner)
  const layeredDecrypt = layered.decryptNative?.bind(layered)
  return {
    ...layered,
    get knownGood() {
      return knownGood
    },
    async unwrap(wrapped, options) {
      const dek = await layered.unwrap(wrapped, options)
      knownGood = wrapped
      repeatGood = async (o) => inner.unwrap(wrapped, o)
      return dek
    },
    ...(plainDecrypt !== undefined &&
      layeredDecrypt !== undefined && {
        async decryptNative(ciphertext, options) {
          const plaintext = await layeredDecrypt(ciphertext, options)
          if (repeatGood === undefined) {
            const copy = copyOf(ciphertext)
            repeatGood = async (o) => plainDecrypt(copy, o)
          }
          return plaintext
        },
      }),
  }
}

/** What is given to a call are views into a request; this is remembered. */
function copyOf(ciphertext: NativeCiphertext): NativeCiphertext {
  const copied = (value: unknown): unknown => (value instanceof Uint8Array ? Uint8Array.from(value) : value)
  return Object.fromEntries(
    Object.entries(ciphertext).map(([name, value]) => [name, copied(value)]),
  ) as unknown as NativeCiphertext
}
