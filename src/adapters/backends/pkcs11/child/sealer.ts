/** How does a KEK wrap on its token, and may it? Tried once for each KEK, since a self-test is several calls. */
import { isDeepStrictEqual } from 'node:util'
import type { MechanismName, UsageName, WeaknessName } from '../shared/mechanisms.js'
import type { Evidence, KekIdentity, Sealing } from '../shared/messages.js'
import { copied, isSameKek } from '../shared/kek_identity.js'
import { failureOf, HsmError } from './cryptoki.js'
import { evidenceOf, refuseWeak } from './gate.js'
import type { Handle } from './pkcs11js.js'
import { chooseStrategy, strategyOf, type Choice } from './strategies/index.js'
import { macCheckValueOf } from './strategies/aes_cbc_hmac.js'
import type { Kek } from './strategies/strategy.js'
import type { Token } from './token.js'

/** What was found out; plain data, so that one thread can tell the others. */
export interface Known extends Choice {
  readonly identity: KekIdentity
  readonly evidence: readonly Evidence[]
  readonly companionCheck?: Uint8Array
}

interface Described {
  readonly sealing: Sealing
  readonly evidence: readonly Evidence[]
}

export class Sealer {
  readonly #token: Token
  readonly #mechanism: MechanismName | 'auto'
  readonly #excepted: readonly WeaknessName[]
  /** Of the KEK that was looked at last, here or in another thread. */
  known: Known | undefined

  constructor(token: Token, mechanism: MechanismName | 'auto', excepted: readonly WeaknessName[]) {
    this.#token = token
    this.#mechanism = mechanism
    this.#excepted = excepted
  }

  /**
   * @returns The wrapped DEK, of a form of formats.ts.
   * @throws {HsmError} `ERR_KEY_UNUSABLE` when the KEK cannot wrap or is too weak.
   */
  wrap(session: Handle, kek: Kek, where: string, dek: Buffer): Buffer {
    const { mechanism, by, evidence } = this.#examined(session, kek, where)
    refuseWeak(evidence, where)
    return strategyOf({ mechanism, by }).wrap({ token: this.#token, session, kek }, dek)
  }

  /**
   * How the KEK wraps, or why not, and the attributes behind that, empty when it has no way to wrap. They are read anew:
   * they may have been changed, or the key replaced.
   */
  describe(session: Handle, kek: Kek, where: string): Described {
    let evidence: readonly Evidence[] = []
    try {
      const before = this.#examined(session, kek, where)
      const now = this.#knownOf(session, kek, before)
      if (!isDeepStrictEqual(now, before)) this.known = now
      evidence = now.evidence
      refuseWeak(evidence, where)
      const { mechanism, why, companionCheck } = now
      return { sealing: { mechanism, why, ...(companionCheck && { companionCheck }) }, evidence }
    } catch (error) {
      if (!(error instanceof HsmError && error.code === 'ERR_KEY_UNUSABLE')) throw error
      return { sealing: noSealing(error), evidence }
    }
  }

  #examined(session: Handle, kek: Kek, where: string): Known {
    if (this.known !== undefined && isSameKek(this.known.identity, kek.identity)) return this.known
    const token = this.#token
    const may = (attribute: UsageName): boolean =>
      token.flag(session, kek.handle, token.p11[attribute]) === true
    const choice = chooseStrategy(token, kek, this.#mechanism, may, where)
    this.known = this.#knownOf(session, kek, choice)
    return this.known
  }

  #knownOf(session: Handle, kek: Kek, { mechanism, by, why }: Choice): Known {
    const bench = { token: this.#token, session, kek }
    const evidence = evidenceOf(bench, strategyOf({ mechanism, by }), this.#excepted)
    const known = { mechanism, by, why, identity: copied(kek.identity), evidence }
    return mechanism === 'aes-cbc-hmac' ? { ...known, companionCheck: macCheckValueOf(bench) } : known
  }
}

/** What is told of a KEK that cannot wrap. */
export function noSealing(error: HsmError): Sealing {
  return { mechanism: 'none', why: failureOf(error).text }
}
