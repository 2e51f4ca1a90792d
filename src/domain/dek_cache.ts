/** Unwrapped DEKs that are held for opening, each under its wrapped form. */
import { createHash } from 'node:crypto'
import type { Clock } from '../ports/clock.js'
import type { WrappedDek } from '../ports/key_wrapper.js'
import type { Dek } from './dek.js'
import { ExpiringCache, type CachePolicy } from './expiring_cache.js'

export class DekCache {
  readonly #deks: ExpiringCache<Dek>

  constructor(policy: CachePolicy, clock: Clock) {
    this.#deks = new ExpiringCache(policy, clock)
  }

  get size(): number {
    return this.#deks.size
  }

  get(wrapped: WrappedDek): Dek | undefined {
    return this.#deks.size === 0 ? undefined : this.#deks.get(nameOf(wrapped))
  }

  /** Holds `dek`. Call it only after an envelope under it has authenticated: what is held is trusted. */
  put(dek: Dek): void {
    this.#deks.put(nameOf(dek.wrapped), dek)
  }

  sweep(): void {
    this.#deks.sweep()
  }

  clear(): void {
    this.#deks.clear()
  }
}

/** SHA-256 over the key id behind its length, then the wrapped DEK: attackers choose both, so no two may collide. */
function nameOf(wrapped: WrappedDek): string {
  const hash = createHash('sha256').update(Buffer.of(wrapped.keyId.length)).update(wrapped.keyId, 'ascii')
  return hash.update(wrapped.bytes).digest('base64')
}
