/** What do we know of a token of Vault, and how long does it hold? */

export interface TokenFacts {
  /** Vault lets us prolong it. */
  readonly isRenewable: boolean
  /** From when it was asked for or last looked up; `undefined`: without end. */
  readonly lifetimeMs: number | undefined
  /** Our own login made it, so that we end it as well. A batch token cannot be ended. */
  readonly isOursToRevoke: boolean
  /** On `Clock.nowMs`, when we asked. */
  readonly askedMs: number
}

/** Each is a new object, so that two of the same text are told apart. */
export class VaultToken {
  readonly facts: TokenFacts
  /** Private: no log line and no error that prints the object shows it. */
  readonly #text: string

  constructor(text: string, facts: TokenFacts) {
    this.#text = text
    this.facts = facts
  }

  /** The secret itself, for the header of a request and nothing else. */
  get text(): string {
    return this.#text
  }

  /** The same token with what Vault says of it now. */
  with(facts: TokenFacts): VaultToken {
    return new VaultToken(this.#text, facts)
  }

  isSameAs(text: string): boolean {
    return this.#text === text
  }
}

/** A token stands in a header: visible ASCII. */
export function isTokenText(text: string): boolean {
  return /^[\x21-\x7e]{1,65536}$/.test(text)
}
