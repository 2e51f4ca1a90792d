/** Finds the DEK that opens an envelope: from the cache, else by one unwrap for all who ask. */
import type { Clock } from '../ports/clock.js'
import { DEK_BYTES, type CallOptions, type WrappedDek } from '../ports/key_wrapper.js'
import { KmsError } from '../ports/errors.js'
import type { Metrics } from '../ports/metrics.js'
import { DekCache } from './dek_cache.js'
import { Dek } from './dek.js'
import type { CachePolicy } from './expiring_cache.js'
import type { KeyRing } from './key_ring.js'
import { SingleFlight } from './single_flight.js'

export class OpeningDeks {
  readonly #keys: KeyRing
  readonly #cache: DekCache
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #unwraps: SingleFlight<Dek>

  /** @param timeoutMs How long one unwrap may take, retries included. */
  constructor(keys: KeyRing, policy: CachePolicy, clock: Clock, timeoutMs: number, metrics: Metrics) {
    this.#keys = keys
    this.#cache = new DekCache(policy, clock)
    this.#clock = clock
    this.#metrics = metrics
    this.#unwraps = new SingleFlight(clock, timeoutMs)
  }

  /** A DEK that is held; no I/O. */
  held(wrapped: WrappedDek): Dek | undefined {
    const dek = this.#cache.get(wrapped)
    this.#metrics.dekCacheLookup(dek === undefined ? 'miss' : 'hit')
    return dek
  }

  /** Unwraps; fails as `KeyWrapper.unwrap` does. The DEK is not held until {@link keep}. */
  async unwrap(wrapped: WrappedDek, options: CallOptions): Promise<Dek> {
    // latin1 and the separator keep the two parts apart: a key id holds no space.
    const name = `${wrapped.keyId} ${Buffer.from(wrapped.bytes).toString('latin1')}`
    return this.#unwraps.join(name, options, async (flight) => {
      // A copy: the wrapped bytes are a view into a whole request, and this one is remembered.
      const copy = { keyId: wrapped.keyId, bytes: Uint8Array.from(wrapped.bytes) }
      const raw = await this.#keys.unwrap(copy, flight)
      try {
        if (raw.length !== DEK_BYTES) {
          throw new KmsError(
            'ERR_DECRYPTION_FAILED',
            `the wrapped DEK holds ${raw.length} bytes, not ${DEK_BYTES}`,
          )
        }
        return new Dek(raw, copy, this.#clock.nowMs())
      } finally {
        raw.fill(0)
      }
    })
  }

  /** Holds a DEK under which an envelope has authenticated, or which the backend has verified. */
  keep(dek: Dek): void {
    this.#cache.put(dek)
    this.#metrics.dekCacheSize(this.#cache.size)
  }

  sweep(): void {
    this.#cache.sweep()
    this.#metrics.dekCacheSize(this.#cache.size)
  }

  close(): void {
    this.#cache.clear()
  }
}
