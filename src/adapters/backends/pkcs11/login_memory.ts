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

/** Leave to try a PIN. Whoever has it ends it by one of the two; the first one counts. */
export interface LoginTry {
  readonly grant: LoginGrant
  /** How it ended; resolves when that cannot be forgotten any more. */
  settle(verdict: LoginVerdict): Promise<void>
  /** It ended without an answer, and may have reached the token. */
  abandon(): void
}

export class LoginMemory {
  readonly #store: LoginStore | undefined
  readonly #logger: Logger
  #known: PinRecord = NOTHING
  /** The disk has all of {@link #known}, so what is gone from there was released by somebody. */
  #isSaved = true
  /** In the life of this program, so that a failed login which the token counts is explained. */
  #hasSeenRefusal = false
  /** Identity of the PIN file that opened the token last. Never on the disk. */
  #goodPin: string | undefined
  #oneShot = false
  #lastTurn: Promise<unknown> = Promise.resolve()
  readonly #problems = new Set<string>()

  constructor(store: LoginStore | undefined, logger: Logger) {
    this.#store = store
    this.#logger = logger
  }

  /** The file that an operator deletes to have refused PINs tried again; `undefined` where only a restart does that. */
  get file(): string | undefined {
    return this.#isSaved && this.#known.refused.length > 0 ? this.#store?.path : undefined
  }

  /** This program is a command: no login of it takes a try from a plugin that runs beside it. */
  spareTries(): void {
    this.#oneShot = true
  }

  /**
   * Waits until nobody else logs in to this token, and writes down that somebody is about to.
   *
   * @param pinIdentity Of the PIN file as it was opened for this login.
   * @returns `undefined` when the signal came first.
   */
  async begin(pinIdentity: string, signal: AbortSignal): Promise<LoginTry | undefined> {
    const endTurn = await this.#turn()
    const unlock = await this.#lock(signal)
    const end = (): void => {
      unlock?.()
      endTurn()
    }
    if (signal.aborted) {
      end()
      return undefined
    }
    await this.#recall()
    const { refused, unsettled } = this.#known
    // A PIN that opened the token in our life is marked in memory alone: no slow disk holds up its return.
    const isProven = this.#goodPin === pinIdentity && !unsettled && refused.length === 0
    const isRemembered = isProven || (await this.#remember({ refused, unsettled: true }, unlock !== undefined))
    const grant: LoginGrant = {
      salt: refused.at(-1)?.slice(0, 2 * SALT_BYTES) ?? randomBytes(SALT_BYTES).toString('hex'),
      refused,
      ifCountLow: this.#ifCountLow(
        unsettled,
        isRemembered || this.#hasSeenRefusal || this.#goodPin === pinIdentity,
      ),
    }
    let isOver = false
    return {
      grant,
      settle: async (verdict) => {
        if (isOver) return
        isOver = true
        try {
          await this.#recall()
          await this.#remember(this.#after(verdict, pinIdentity, unsettled), unlock !== undefined)
        } finally {
          end()
        }
      },
      abandon: () => {
        if (isOver) return
        isOver = true
        if (isProven) {
          this.#known = { ...this.#known, unsettled: true }
          this.#isSaved = false
        }
        end()
      },
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
        return { refused, unsettled: wasUnsettled }
    }
  }

  /** The turn of one process among those of this program. */
  async #turn(): Promise<() => void> {
    const before = this.#lastTurn
    let end = (): void => undefined
    this.#lastTurn = new Promise<void>((resolve) => {
      end = resolve
    })
    await before
    return end
  }

  async #lock(signal: AbortSignal): Promise<(() => void) | undefined> {
    try {
      return await this.#store?.lock(signal)
    } catch (thrown) {
      this.#complain(thrown)
      return undefined
    }
  }

  async #recall(): Promise<void> {
    if (this.#store === undefined) return
    try {
      const { refused, unsettled } = this.#known
      const found = await this.#store.read()
      // What was there is not known any more: as if it were a login without an answer.
      if (found === undefined) this.#known = { refused, unsettled: true }
      else if (this.#isSaved) this.#known = found
      else {
        const both = [...new Set([...found.refused, ...refused])]
        this.#known = { refused: both, unsettled: found.unsettled || unsettled }
      }
    } catch (thrown) {
      this.#isSaved = false
      this.#complain(thrown)
    }
  }

  /** @returns Whether the next process will know it, too. */
  async #remember(record: PinRecord, hasLock: boolean): Promise<boolean> {
    this.#known = record
    this.#isSaved = false
    if (this.#store === undefined || !hasLock) return false
    try {
      await this.#store.save(record)
      this.#isSaved = true
      this.#problems.clear()
      return true
    } catch (thrown) {
      this.#complain(thrown)
      return false
    }
  }

  /** Once for each reason: a disk that is full must not fill the log, nor stop the plugin. */
  #complain(thrown: unknown): void {
    const { message } = asKmsError(thrown)
    // The message of a failed system call names a file of the moment.
    const reason = thrown instanceof Error && 'syscall' in thrown ? message.replace(/,.*$/s, '') : message
    if (this.#problems.has(reason)) return
    this.#problems.add(reason)
    this.#logger.warn('refused PINs are not remembered across restarts: mend server.stateDir', { reason })
  }
}

const memories = new Map<string, LoginMemory>()

export interface LoginMemoryPlace {
  /** Real path of the module. */
  readonly module: string
  /** What tells the tokens of one module apart. */
  readonly tokenName: string
  /** `server.stateDir`; `undefined`: remembered until the program ends. */
  readonly stateDir: string | undefined
}

/** The one memory of a token in this program. */
export function loginMemoryOf(
  { module, tokenName, stateDir }: LoginMemoryPlace,
  logger: Logger,
): LoginMemory {
  const name = JSON.stringify([module, tokenName, stateDir])
  const known = memories.get(name)
  if (known !== undefined) return known
  const store = stateDir === undefined ? undefined : new LoginStore(stateDir, module, tokenName, logger)
  const made = new LoginMemory(store, logger)
  memories.set(name, made)
  return made
}
