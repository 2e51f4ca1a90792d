/**
 * Which PINs has a token refused, and whose turn is it to log in?
 *
 * A Luna locks its users out, perhaps for good, after ten wrong PINs in a row. So a wrong PIN is tried once, however
 * many keys lie on one token, however often their processes are replaced and, with a state folder, however often the
 * plugin starts. That is why this memory belongs to the whole program and not to one wrapper. docs/adr/0008-pin-guard.md
 * has the rules and the reasons.
 */
import { randomBytes } from 'node:crypto'
import { asKmsError } from '../../../ports/errors.js'
import type { Logger } from '../../../ports/logger.js'
import { FINGERPRINT, LoginStore, NOTHING, type PinRecord } from './login_store.js'
import type { LoginGrant, LoginVerdict } from './shared/messages.js'

/** Bytes of salt: NIST SP 800-132 asks for 16 or more. */
const SALT_BYTES = 16

/** Leave to try a PIN. Whoever has it ends it by `settle` or `abandon`; the first one counts. */
export interface LoginTry {
  readonly grant: LoginGrant
  /** The token said no, and the verdict follows; resolves when no restart takes this PIN for one never tried. */
  tokenRefused(): Promise<void>
  /** How it ended; resolves when that cannot be forgotten any more. */
  settle(verdict: LoginVerdict): Promise<void>
  /** It ended without an answer, and may have reached the token; resolves as `tokenRefused` does. */
  abandon(): Promise<void>
}

/** One login at a time has it. */
interface Turn {
  /** No other process logs in, so that we may save. */
  readonly hasLock: boolean
  /** Of the key that logs in. */
  readonly logger: Logger
  readonly end: () => void
}

export class LoginMemory {
  readonly #store: LoginStore | undefined
  #known: PinRecord = NOTHING
  /** The disk has all of {@link #known}, so what is gone from there was released by somebody. */
  #isSaved = true
  /** In the life of this program, so that a failed login which the token counts is explained. */
  #hasSeenRefusal = false
  /** Identity of the PIN file that opened the token last. Never on the disk. */
  #goodPin: string | undefined
  #oneShot = false
  #lastTurn: Promise<unknown> = Promise.resolve()
  #isSavingAgain = false
  readonly #problems = new Set<string>()

  constructor(store: LoginStore | undefined) {
    this.#store = store
  }

  /** The file that an operator deletes to have refused PINs tried again; `undefined` where only a restart does that. */
  get file(): string | undefined {
    return this.#isSaved && this.#known.refused.length > 0 ? this.#store?.path : undefined
  }

  /**
   * Whether an operator, or a login that worked, took away what {@link file} named. A folder that went as a whole, or
   * was made anew, releases nothing: what is known is saved again soon.
   */
  async isReleased(signal: AbortSignal, logger: Logger): Promise<boolean> {
    if (this.#store === undefined) return false
    const fate = await this.#store.fate()
    if (fate === 'deleted' && this.#isSaved) return true
    // Nobody waits for it: the lock may be another's for long.
    if (fate === 'lost' || !this.#isSaved) void this.#saveAgain(signal, logger)
    return false
  }

  /** This program is a command: no login of it takes a try from a plugin that runs beside it. */
  spareTries(): void {
    this.#oneShot = true
  }

  /**
   * Waits until nobody else logs in to this token, and writes down that somebody is about to.
   *
   * @param pinIdentity Of the PIN file as it was opened for this login.
   * @param logger Of the key that logs in.
   * @returns `undefined` when the signal came first.
   */
  async begin(pinIdentity: string, signal: AbortSignal, logger: Logger): Promise<LoginTry | undefined> {
    const turn = await this.#turn(signal, logger)
    if (turn === undefined) return undefined
    await this.#recall(turn)
    const { refused, unsettled } = this.#known
    const mark = async (): Promise<boolean> => this.#remember({ refused, unsettled: true }, turn)
    // A PIN that opened the token in our life is marked when something goes wrong: no slow disk holds up its return.
    const isProven = this.#goodPin === pinIdentity && !unsettled && refused.length === 0
    let marked = isProven ? undefined : mark()
    const isRemembered = isProven || (await marked) === true
    const grant: LoginGrant = {
      salt: refused.at(-1)?.slice(0, 2 * SALT_BYTES) ?? randomBytes(SALT_BYTES).toString('hex'),
      refused,
      ifCountLow: this.#ifCountLow(
        unsettled,
        isRemembered || this.#hasSeenRefusal || this.#goodPin === pinIdentity,
      ),
    }
    const beMarked = async (): Promise<void> => {
      marked ??= mark()
      await marked
    }
    let isOver = false
    const endOnce = async (work: () => Promise<void>): Promise<void> => {
      if (isOver) return
      isOver = true
      try {
        await work()
      } finally {
        turn.end()
      }
    }
    return {
      grant,
      tokenRefused: async () => (isOver ? undefined : beMarked()),
      settle: async (verdict) =>
        endOnce(async () => {
          await marked
          await this.#recall(turn)
          await this.#remember(this.#after(verdict, pinIdentity, unsettled), turn)
        }),
      abandon: async () => endOnce(beMarked),
    }
  }

  #ifCountLow(unsettled: boolean, wouldKnow: boolean): LoginGrant['ifCountLow'] {
    if (this.#oneShot) return 'spare'
    if (unsettled) return 'unanswered'
    return wouldKnow ? 'try' : 'unremembered'
  }

  #after(verdict: LoginVerdict, pinIdentity: string, wasUnsettled: boolean): PinRecord {
    const { refused } = this.#known
    switch (verdict.type) {
      case 'loggedIn':
        if (verdict.untried === true) return { refused, unsettled: wasUnsettled }
        this.#goodPin = pinIdentity
        return NOTHING
      case 'pinRefused': {
        const { fingerprint } = verdict
        // Nothing was tried now; what an earlier try came to is as open as before.
        if (refused.includes(fingerprint)) return { refused, unsettled: wasUnsettled }
        if (!FINGERPRINT.test(fingerprint)) return { refused, unsettled: true }
        this.#hasSeenRefusal = true
        return { refused: [...refused, fingerprint], unsettled: false }
      }
      case 'barred':
        return { refused, unsettled: false }
      case 'notTried':
      case 'noPin':
        return { refused, unsettled: wasUnsettled }
    }
  }

  /** What the folder lost, once for all who find out. */
  async #saveAgain(signal: AbortSignal, logger: Logger): Promise<void> {
    if (this.#isSavingAgain) return
    this.#isSavingAgain = true
    const turn = await this.#turn(signal, logger)
    if (turn !== undefined) {
      await this.#recall(turn)
      await this.#remember(this.#known, turn)
      turn.end()
    }
    this.#isSavingAgain = false
  }

  /** First among the processes of this program, then among all; `undefined` when the signal came first. */
  async #turn(signal: AbortSignal, logger: Logger): Promise<Turn | undefined> {
    const before = this.#lastTurn
    let endTurn = (): void => undefined
    this.#lastTurn = new Promise<void>((resolve) => {
      endTurn = resolve
    })
    await before
    const unlock = await this.#lock(signal, logger)
    const end = (): void => {
      unlock?.()
      endTurn()
    }
    if (!signal.aborted) return { hasLock: unlock !== undefined, logger, end }
    end()
    return undefined
  }

  async #lock(signal: AbortSignal, logger: Logger): Promise<(() => void) | undefined> {
    try {
      return await this.#store?.lock(signal)
    } catch (thrown) {
      this.#complain(thrown, logger)
      return undefined
    }
  }

  async #recall({ logger }: Turn): Promise<void> {
    if (this.#store === undefined) return
    try {
      const { refused, unsettled } = this.#known
      const found = await this.#store.read(logger)
      if ((await this.#store.fate()) === 'lost') this.#isSaved = false
      // What was there is not known any more: as if it were a login without an answer.
      if (found === undefined) this.#known = { refused, unsettled: true }
      else if (this.#isSaved) this.#known = found
      else {
        const both = [...new Set([...found.refused, ...refused])]
        this.#known = { refused: both, unsettled: found.unsettled || unsettled }
      }
    } catch (thrown) {
      this.#isSaved = false
      this.#complain(thrown, logger)
    }
  }

  /** @returns Whether the next process will know it, too. */
  async #remember(record: PinRecord, { hasLock, logger }: Turn): Promise<boolean> {
    this.#known = record
    this.#isSaved = false
    if (this.#store === undefined || !hasLock) return false
    try {
      await this.#store.save(record)
      this.#isSaved = true
      this.#problems.clear()
      return true
    } catch (thrown) {
      this.#complain(thrown, logger)
      return false
    }
  }

  /** Once for each reason: a disk that is full must not fill the log, nor stop the plugin. */
  #complain(thrown: unknown, logger: Logger): void {
    const { message } = asKmsError(thrown)
    // The message of a failed system call names a file of the moment.
    const reason = thrown instanceof Error && 'syscall' in thrown ? message.replace(/,.*$/s, '') : message
    if (this.#problems.has(reason)) return
    this.#problems.add(reason)
    logger.warn('refused PINs are not remembered across restarts: mend server.stateDir', { reason })
  }
}

const memories = new Map<string, LoginMemory>()

/**
 * The one memory of a token in this program.
 *
 * @param tokenIdentity As the HSM process tells it, so that two names of one token share it.
 * @param stateDir `server.stateDir`; `undefined`: remembered until the program ends.
 */
export function loginMemoryOf(tokenIdentity: string, stateDir: string | undefined): LoginMemory {
  const name = JSON.stringify([tokenIdentity, stateDir])
  const known = memories.get(name)
  if (known !== undefined) return known
  const made = new LoginMemory(stateDir === undefined ? undefined : new LoginStore(stateDir, tokenIdentity))
  memories.set(name, made)
  return made
}
