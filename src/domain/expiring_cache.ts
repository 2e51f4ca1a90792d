/** Secrets that are held for reuse: bounded in number and in time. */
import { randomInt } from 'node:crypto'
import type { Clock } from '../ports/clock.js'

/** Both bounds hold; nothing is cached for ever. */
export interface CachePolicy {
  /** How long an entry is held at most; 0: not at all. Also how long a revoked KEK can still be read through us. */
  readonly timeoutMs: number
  readonly maxEntries: number
}

/** Entries leave up to this share of the timeout early, so that those made together do not expire together. */
const JITTER_SHARE = 0.1

interface Entry<T> {
  readonly value: T
  readonly expiresAtMs: number
}

export class ExpiringCache<T> {
  readonly #policy: CachePolicy
  readonly #clock: Clock
  /** In the order of last use: the first is the one to drop. */
  readonly #entries = new Map<string, Entry<T>>()

  constructor(policy: CachePolicy, clock: Clock) {
    this.#policy = policy
    this.#clock = clock
  }

  get size(): number {
    return this.#entries.size
  }

  get(name: string): T | undefined {
    const entry = this.#entries.get(name)
    if (entry === undefined) return undefined
    this.#entries.delete(name)
    if (this.#clock.nowMs() >= entry.expiresAtMs) return undefined
    this.#entries.set(name, entry)
    return entry.value
  }

  /** Holds `value`, unless one of this name is held: that one keeps its end, since use does not prolong it. */
  put(name: string, value: T): void {
    const { timeoutMs, maxEntries } = this.#policy
    if (timeoutMs === 0 || maxEntries === 0) return
    if (this.get(name) !== undefined) return
    const earlyMs = randomInt(Math.floor(timeoutMs * JITTER_SHARE) + 1)
    this.#entries.set(name, { value, expiresAtMs: this.#clock.nowMs() + timeoutMs - earlyMs })
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
