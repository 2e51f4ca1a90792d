/**
 * Which PINs has a token refused, and whose turn is it to log in?
 *
 * A Luna locks its users out, perhaps for good, after ten wrong PINs in a row. So a wrong PIN is tried once in the
 * life of the plugin, however many keys lie on one token and however often their processes are replaced. That is
 * why this memory belongs to the whole program and not to one wrapper.
 */
import { randomBytes } from 'node:crypto'
import type { LoginGrant, LoginVerdict } from './messages.js'

/** Bytes of salt: NIST SP 800-132 asks for 16 or more. */
const SALT_BYTES = 16

export class LoginMemory {
  /** Salt of {@link refused}: made here, so that all processes of one token speak of the same fingerprints. */
  readonly salt: Uint8Array = randomBytes(SALT_BYTES)
  readonly #refused = new Set<string>()
  #unsettled: string | undefined
  #oneShot = false
  #lastTurn: Promise<void> = Promise.resolve()

  /** Waits until nobody else logs in to this token. The caller ends its turn, whatever happens. */
  async turn(): Promise<() => void> {
    const before = this.#lastTurn
    let end = (): void => undefined
    this.#lastTurn = new Promise((resolve) => {
      end = resolve
    })
    await before
    return end
  }

  /** Leave to try the PIN of the file with this identity; it counts as tried until a verdict comes. */
  grant(pinIdentity: string): LoginGrant {
    const cautious = this.#unsettled === pinIdentity
    this.#unsettled = pinIdentity
    return { refused: [...this.#refused], cautious, oneShot: this.#oneShot }
  }

  /** This program is a command: no login of it takes a try from a plugin that runs beside it. */
  spareTries(): void {
    this.#oneShot = true
  }

  /** How the login under a grant ended. */
  settle(grant: LoginGrant, verdict: LoginVerdict): void {
    // Nothing was tried now; what an earlier try came to is as open as before.
    if (verdict.type === 'notTried' && grant.cautious) return
    this.#unsettled = undefined
    if (verdict.type === 'pinRefused') this.#refused.add(verdict.fingerprint)
  }
}

const memories = new Map<string, LoginMemory>()

/** The one memory of a token in this program. */
export function loginMemoryOf(module: string, tokenLabel: string): LoginMemory {
  const name = `${module}\n${tokenLabel}`
  const known = memories.get(name)
  if (known !== undefined) return known
  const made = new LoginMemory()
  memories.set(name, made)
  return made
}
