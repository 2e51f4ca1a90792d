/** How is one token of several doing: is it up or set aside, and when is it looked at again? */
import type { Clock } from '../../../ports/clock.js'
import { asKmsError, type KmsError, type KmsErrorCode } from '../../../ports/errors.js'
import type { Logger } from '../../../ports/logger.js'
import type { ShownKek } from './common_kek.js'
import type { Hsm } from './hsm.js'
import type { HsmRequest, HsmResult } from './shared/messages.js'

/** Before the first look at a token that was set aside; doubled with every look in vain. */
const FIRST_PAUSE_MS = 250
const MAX_PAUSE_MS = 5000

/** Longer than the start of an HSM process may take. */
const LOOK_TIMEOUT_MS = 15_000

export interface MemberOptions {
  /** For messages. */
  readonly name: string
  /** The highest is asked first. */
  readonly weight: number
  /** That token alone. The group closes it. */
  readonly hsm: Hsm
  /** Told `false` at once, and every change from then on. */
  readonly onHealth: (isUp: boolean) => void
}

/** What the group makes of the KEK that a token shows: why it is not to be used, or nothing. */
export type Judge = (member: GroupMember, result: HsmResult) => KmsError | undefined

/** What says that the KEK may not wrap there, while it may well unwrap. */
const sealingFailures: readonly KmsErrorCode[] = ['ERR_KEY_UNUSABLE', 'ERR_ACCESS_DENIED']

/**
 * Neither up nor set aside until the group knows its KEK. While it is set aside it is looked at in the background,
 * 250 ms after and then doubling to 5 s, each with up to half of it taken off at random. The pauses begin anew only when
 * it has wrapped or unwrapped: one that answers looks and fails at work does not come back four times a second.
 *
 * A look asks how the KEK wraps only where that matters: for the probe of a key that seals, and since it could not wrap.
 */
export class GroupMember {
  readonly name: string
  readonly weight: number
  readonly hsm: Hsm
  /** The KEK that its label led to last. */
  shown: ShownKek | undefined
  /** Which call of the group was its last one: those of one weight take turns. */
  lastTurn = 0
  readonly #options: MemberOptions
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #judge: Judge
  readonly #closing = new AbortController()
  #isUp = false
  /** Ends the looks; set while it is set aside. */
  #watch: AbortController | undefined
  #toldCode: string | undefined
  #cannotWrap = false
  #pauses = 0
  #looking: Promise<HsmResult> | undefined

  constructor(options: MemberOptions, clock: Clock, logger: Logger, judge: Judge) {
    this.name = options.name
    this.weight = options.weight
    this.hsm = options.hsm
    this.#options = options
    this.#clock = clock
    this.#logger = logger
    this.#judge = judge
    options.onHealth(false)
  }

  get isUp(): boolean {
    return this.#isUp
  }

  /**
   * Has it show its KEK; all who ask meanwhile share one look.
   *
   * @param seals Whether it has to be able to wrap.
   * @throws {KmsError} what the token answers, or what the group has against its KEK.
   */
  async look(seals = this.#cannotWrap): Promise<HsmResult> {
    this.#looking ??= this.#identify(seals).finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  /** Looks at it in the background while it is up: the calls may all go to others. */
  verify(seals: boolean): void {
    if (!this.#isUp) return
    void this.look(seals).catch((error: unknown) => this.setAside(asKmsError(error), seals))
  }

  /** @param sealing Whether it failed at what needs a KEK that wraps. */
  setAside(error: KmsError, sealing = false): void {
    if (this.#closing.signal.aborted) return
    if (sealing && sealingFailures.includes(error.code)) this.#cannotWrap = true
    if (this.#toldCode !== error.code) {
      const { code, message: reason } = error
      this.#logger.warn('token set aside', { token: this.name, code, reason })
      this.#toldCode = code
    }
    if (this.#watch !== undefined) return
    this.#setUp(false)
    this.#watch = new AbortController()
    void this.#watchUntil(this.#watch.signal)
  }

  /** It did what it was asked, whether it was up before or asked for want of others. */
  served(op: HsmRequest['op'], result: HsmResult): void {
    if (!this.#isUp && this.#vouches(op, result)) this.takeBack()
    if (op !== 'identify') this.#pauses = 0
  }

  takeBack(): void {
    if (this.#isUp || this.#closing.signal.aborted) return
    if (this.#watch !== undefined) this.#logger.info('token is back', { token: this.name })
    this.#watch?.abort()
    this.#watch = undefined
    this.#toldCode = undefined
    this.#cannotWrap = false
    this.#setUp(true)
  }

  /** Safe to call twice. */
  async close(): Promise<void> {
    this.#closing.abort()
    this.#watch?.abort()
    await this.hsm.close()
  }

  async #watchUntil(over: AbortSignal): Promise<void> {
    // A call may take it back meanwhile.
    const isOver = (): boolean => over.aborted
    while (!isOver()) {
      await this.#clock.sleep(this.#nextPauseMs(), over)
      if (isOver()) return
      try {
        const result = await this.look()
        if (!isOver() && this.#vouches('identify', result)) this.takeBack()
      } catch (error) {
        if (!isOver()) this.setAside(asKmsError(error))
      }
    }
  }

  /** Whether this success means that it can do again what it failed at. */
  #vouches(op: HsmRequest['op'], { sealing }: HsmResult): boolean {
    if (op === 'wrap' || !this.#cannotWrap) return true
    return op === 'identify' && sealing !== undefined && sealing.mechanism !== 'none'
  }

  async #identify(seals: boolean): Promise<HsmResult> {
    const deadlineMs = this.#clock.nowMs() + LOOK_TIMEOUT_MS
    const result = await this.hsm.call(
      { op: 'identify', seals },
      { deadlineMs, signal: this.#closing.signal },
    )
    const objection = this.#judge(this, result)
    if (objection !== undefined) throw objection
    return result
  }

  #nextPauseMs(): number {
    const pauseMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#pauses)
    this.#pauses += 1
    return pauseMs * (1 - Math.random() / 2)
  }

  #setUp(isUp: boolean): void {
    if (this.#isUp === isUp) return
    this.#isUp = isUp
    this.#options.onHealth(isUp)
  }
}
