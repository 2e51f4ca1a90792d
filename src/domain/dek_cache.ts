/** Unwrapped DEKs that are held for opening: bounded in number and in time. */
import { createHash, randomInt } from 'node:crypto'
import type { Clock } from '../ports/clock.js'
import type { WrappedDek } from '../ports/key_wrapper.js'
import type { Dek } from './dek.js'

/** Both bounds hold; nothing is cached for ever. */
export interface DekCachePolicy {
  /** How long a DEK is held at most; 0: not at all. Also how long a revoked KEK can still be read through us. */
  readonly timeoutMs: number
  readonly maxEntries: number
}

/** Entries leave up to this share of the timeout early, so that those made together do not expire together. */
const JITTER_SHARE = 0.1

interface Entry {
  readonly dek: Dek
  readonly expiresAtMs: number
}

export class DekCache {
  readonly #policy: DekCachePolicy
  readonly #clock: Clock
  /** In the order of last use: the first is the one to drop. */
  readonly #entries = new Map<string, Entry>()

  constructor(policy: DekCachePolicy, clock: Clock) {
    this.#policy = policy
    this.#clock = clock
  }

  get size(): number {
    return this.#entries.size
  }

  get(wrapped: WrappedDek): Dek | undefined {
    if (this.#entries.size === 0) return undefined
    const name = nameOf(wrapped)
    const entry = this.#entries.get(name)
    if (entry === undefined) return undefined
    this.#entries.delete(name)
    if (this.#clock.nowMs() >= entry.expiresAtMs) return undefined
    this.#entries.set(name, entry)
    return entry.dek
  }

  /** Holds `dek`. Call it only after an envelope under it has authenticated: what is held is trusted. */
  put(dek: Dek): void {
    const { timeoutMs, maxEntries } = this.#policy
    if (timeoutMs === 0 || maxEntries === 0) return
    // One that is held keeps its end: use does not prolong it.
    if (this.get(dek.wrapped) !== undefined) return
    const earlyMs = randomInt(Math.floor(timeoutMs * JITTER_SHARE) + 1)
    this.#entries.set(nameOf(dek.wrapped), { dek, expiresAtMs: this.#clock.nowMs() + timeoutMs - earlyMs })
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= maxEntries) break
      this.#entries.delete(oldest)
    }
  }

  /** Drops what has expired, so that a key does not stay in memory because nobody asks for it. */
  sweep(): void {
    const nowMs = this.#clock.nowMs()
    for (const [name, entry] of this.#entries) {
      if (nowMs >= entry.expiresAtMs) this.#entries.delete(name)
    }
  }

  clear(): void {
    this.#entries.clear()
  }
}

/** SHA-256 over the key id behind its length, then the wrapped DEK: attackers choose both, so no two may collide. */
function nameOf(wrapped: WrappedDek): string {
  const hash = createHash('sha256').update(Buffer.of(wrapped.keyId.length)).update(wrapped.keyId, 'ascii')
  return hash.update(wrapped.bytes).digest('base64')
}
