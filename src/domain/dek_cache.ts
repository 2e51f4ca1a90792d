/** Unwrapped DEKs that are held for opening, each under its wrapped form. */
import type { Clock } from '../ports/clock.js'
import type { WrappedDek } from '../ports/key_wrapper.js'
import type { Dek } from './dek.js'
import { ExpiringCache, type CachePolicy } from './expiring_cache.js'
import { nameOfWrapped } from './wrapped_name.js'

export class DekCache {
  readonly #deks: ExpiringCache<Dek>

  constructor(policy: CachePolicy, clock: Clock) {
    this.#deks = new ExpiringCache(policy, clock)
  }

  get size(): number {
    return this.#deks.size
  }

  get(wrapped: WrappedDek): Dek | undefined {
    return this.#deks.size === 0 ? undefined : this.#deks.get(nameOfWrapped(wrapped))
  }

  /** Holds `dek`. Call it only after an envelope under it has authenticated: what is held is trusted. */
  put(dek: Dek): void {
    this.#deks.put(dek.name, dek)
  }

  sweep(): void {
    this.#deks.sweep()
  }

  clear(): void {
    this.#deks.clear()
  }
}
