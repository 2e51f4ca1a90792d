/** Asks the keys in the background whether they still work, so that Status, health and metrics never have to. */
import type { Clock } from '../ports/clock.js'
import { asKmsError, KmsError } from '../ports/errors.js'
import type { CallOptions, WrappedDek } from '../ports/key_wrapper.js'
import type { Logger } from '../ports/logger.js'
import type { Metrics } from '../ports/metrics.js'
import { withDeadline } from './deadline.js'
import type { Health } from './health.js'
import type { KeyRing, RingKey } from './key_ring.js'
import type { Publication } from './publication.js'
import type { SealingDeks } from './sealing_deks.js'

export interface ProbePolicy {
  /** Pause while the primary is healthy. */
  readonly intervalMs: number
  /** How long one probe may take, retries included. */
  readonly timeoutMs: number
  /** A new DEK is wrapped, verified and published when the last one is older. */
  readonly renewAfterMs: number
}

/** Pause after the first failed probe; it doubles up to {@link MAX_PAUSE_MS}. */
const FIRST_PAUSE_MS = 250

/** Before a first probe; that a key works then is said by others or goes without saying. */
const QUIET_BEFORE: readonly string[] = ['OK', 'untested', 'ERR_STARTING']

/** Back in service at most this long after the backend is. */
const MAX_PAUSE_MS = 1000

export class Probe {
  readonly #keys: KeyRing
  readonly #publication: Publication
  readonly #deks: SealingDeks
  readonly #health: Health
  readonly #policy: ProbePolicy
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #metrics: Metrics
  readonly #stopped = new AbortController()
  /** Keys that only open and whose last probe has not ended. */
  readonly #underWay = new Set<RingKey>()
  #pause = new AbortController()
  #failures = 0
  #lastRoundMs = -Infinity
  /** A request failed since the last round began. */
  #isHurried = false

  constructor(
    keys: KeyRing,
    publication: Publication,
    deks: SealingDeks,
    health: Health,
    policy: ProbePolicy,
    clock: Clock,
    logger: Logger,
    metrics: Metrics,
  ) {
    this.#keys = keys
    this.#publication = publication
    this.#deks = deks
    this.#health = health
    this.#policy = policy
    this.#clock = clock
    this.#logger = logger
    this.#metrics = metrics
  }

  /** Probes until {@link stop}. The first probe begins at once and proves the primary. */
  async run(onRound?: () => void): Promise<void> {
    while (!this.#isStopped()) {
      this.#isHurried = false
      await this.once()
      onRound?.()
      this.#pause = new AbortController()
      if (this.#isStopped()) return
      await this.#clock.sleep(this.#pauseMs(), this.#pause.signal)
      // However often requests fail, rounds keep their distance.
      const restMs = FIRST_PAUSE_MS - (this.#clock.nowMs() - this.#lastRoundMs)
      if (restMs > 0) await this.#clock.sleep(restMs, this.#stopped.signal)
    }
  }

  /** Ends {@link run}; a probe under way is abandoned. */
  stop(): void {
    this.#stopped.abort()
    this.#pause.abort()
  }

  /**
   * Has the next round come sooner, because a request has just failed: at once, but never within
   * {@link FIRST_PAUSE_MS} of the last one. Has no effect while probes fail, those are soon enough.
   */
  hurry(): void {
    this.#isHurried = true
    if (this.#failures === 0) this.#pause.abort()
  }

  /**
   * One round over all keys; resolves when that of the primary is known, so that a key that only opens and hangs
   * holds up nothing. Never rejects.
   */
  async once(): Promise<void> {
    for (const key of this.#keys.decryptOnly) void this.#probeDecryptOnly(key)
    await this.#probePrimary()
    this.#lastRoundMs = this.#clock.nowMs()
  }

  async #probePrimary(): Promise<void> {
    const error = await this.#tried(async (options) => {
      const keyId = await this.#keys.primary.wrapper.currentKeyId(options)
      const dek = this.#publication.dek
      const isCurrent =
        dek?.wrapped.keyId === keyId && this.#clock.nowMs() - dek.createdAtMs < this.#policy.renewAfterMs
      await (isCurrent ? this.#assertOpens(dek.wrapped, options) : this.#deks.renew(options))
    })
    this.#failures = error === undefined ? 0 : this.#failures + 1
    this.#record(this.#keys.primary, error)
  }

  /** What is sealed now must be openable now: a KEK that refuses its own wrapped DEK must not seal another value. */
  async #assertOpens(wrapped: WrappedDek, options: CallOptions): Promise<void> {
    try {
      ;(await this.#keys.unwrap(wrapped, options)).fill(0)
    } catch (error) {
      if (!(error instanceof KmsError) || error.fault !== 'data') throw error
      throw new KmsError(
        'ERR_KEY_UNUSABLE',
        `the primary KEK no longer opens what it wrapped: ${error.message}`,
      )
    }
  }

  async #probeDecryptOnly(key: RingKey): Promise<void> {
    const knownGood = key.knownGood()
    if (knownGood === undefined || this.#underWay.has(key)) return
    this.#underWay.add(key)
    const error = await this.#tried(async (options) => {
      ;(await key.wrapper.unwrap(knownGood, options)).fill(0)
    })
    this.#underWay.delete(key)
    this.#record(key, error)
  }

  async #tried(work: (options: CallOptions) => Promise<void>): Promise<KmsError | undefined> {
    const outer = { signal: this.#stopped.signal }
    try {
      await withDeadline(this.#clock, this.#clock.nowMs() + this.#policy.timeoutMs, outer, work)
      return undefined
    } catch (thrown) {
      return asKmsError(thrown)
    }
  }

  #record(key: RingKey, error: KmsError | undefined): void {
    if (this.#isStopped()) return
    const before = this.#health.report().keys.find(({ key: name }) => name === key.name)?.outcome
    this.#health.record(key.name, error)
    this.#metrics.probeFinished(key.name, error?.code ?? 'OK')
    if (error !== undefined && error.code !== before) {
      this.#logger.error('a key fails its probe', { key: key.name, code: error.code, reason: error.message })
    } else if (error === undefined && before !== undefined && !QUIET_BEFORE.includes(before)) {
      this.#logger.info('a key works', { key: key.name })
    }
  }

  #isStopped(): boolean {
    return this.#stopped.signal.aborted
  }

  #pauseMs(): number {
    if (this.#failures === 0) return this.#isHurried ? 0 : this.#policy.intervalMs
    return Math.min(FIRST_PAUSE_MS * 2 ** (this.#failures - 1), MAX_PAUSE_MS)
  }
}
