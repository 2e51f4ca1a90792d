/** What can one thread do at the token, and which failures does it mend alone? It has one session at a time. */
import { formatOf } from '../shared/formats.js'
import { isSameKek } from '../shared/kek_identity.js'
import type {
  DecryptRequest,
  HsmAnswer,
  HsmPlaintext,
  HsmRequest,
  HsmResult,
  HsmTarget,
  KekIdentity,
  KekRequest,
  Sealing,
} from '../shared/messages.js'
import { keyName } from '../shared/token_name.js'
import { HsmError } from './cryptoki.js'
import { badBytes, isAmbiguous, assertNoProof } from './doubt.js'
import { inspectToken } from './inspect_token.js'
import { findKek, findKekById, listKeks } from './kek.js'
import { makeKek } from './keygen.js'
import { decryptNative, proveNative } from './native.js'
import type { Handle } from './pkcs11js.js'
import { noSealing, Sealer, type Known } from './sealer.js'
import { roundTrip, strategiesFor, unwrapDek } from './strategies/index.js'
import type { Kek } from './strategies/strategy.js'
import type { Token } from './token.js'

const NOTHING = Buffer.alloc(0)

export class Seat {
  readonly #token: Token
  readonly #target: HsmTarget
  readonly #sealer: Sealer
  #session: Handle | undefined
  #kek: Kek | undefined

  constructor(token: Token, target: HsmTarget) {
    this.#token = token
    this.#target = target
    this.#sealer = new Sealer(token, target.mechanism, target.allowWeakKey)
  }

  /** What is known of how the KEK wraps; set to what another thread found out. */
  get known(): Known | undefined {
    return this.#sealer.known
  }

  set known(known: Known | undefined) {
    this.#sealer.known = known
  }

  /** Opens the session ahead of the first request. */
  open(): Handle {
    this.#session ??= this.#token.openSession()
    return this.#session
  }

  /**
   * Does one request. A session that saw an error is never used again; where a new session may help, it is tried
   * once. Bytes that do not unwrap are not called bad on the word of a handle that may mean another key by now, nor on
   * that of a device that may be ill: the KEK is found anew, and has to open what it wraps.
   *
   * @throws {HsmError} `ERR_UNWRAP_AMBIGUOUS` only where that cannot be proved, or the HMAC may be another key's.
   */
  do(request: KekRequest): HsmResult
  do(request: HsmRequest): HsmAnswer
  do(request: HsmRequest): HsmAnswer {
    return request.op === 'decrypt' ? this.#decrypt(request) : this.#doKek(request)
  }

  #doKek(request: KekRequest): HsmResult {
    const perform = (): HsmResult => this.#mended((session) => this.#perform(session, request))
    const isFresh = this.#kek === undefined
    try {
      return perform()
    } catch (error) {
      if (request.op !== 'unwrap' || !(error instanceof HsmError)) throw error
      if (error.code === 'ERR_UNWRAP_AMBIGUOUS') this.#prove(request, error)
      else if (error.code !== 'ERR_DECRYPTION_FAILED' || isFresh) throw error
    }
    try {
      return perform()
    } catch (error) {
      // Without an answer of the token the doubt is ours: the HMAC key may have been replaced.
      if (!isAmbiguous(error) || error.rv === undefined) throw error
      throw badBytes(error)
    }
  }

  #decrypt(request: DecryptRequest): HsmPlaintext {
    try {
      return this.#decryptDoubting(request)
    } finally {
      // A refusal gives the session up: with this padding a success must take no call less, now or at the next one.
      if (request.algorithm === 'RSA1_5') this.#drop()
    }
  }

  #decryptDoubting(request: DecryptRequest): HsmPlaintext {
    const { key } = this.#target
    const perform = (): HsmPlaintext => ({
      bytes: this.#mended((session) => decryptNative(this.#token, session, key, request)),
    })
    try {
      return perform()
    } catch (error) {
      if (!isAmbiguous(error)) throw error
      try {
        this.#mended((session) => proveNative(this.#token, session, key, request))
      } catch (failure) {
        assertNoProof(failure, error)
        throw error
      }
    }
    try {
      return perform()
    } catch (error) {
      throw isAmbiguous(error) ? badBytes(error) : error
    }
  }

  #mended<T>(work: (session: Handle) => T): T {
    try {
      return this.#attempt(work)
    } catch (error) {
      if (!(error instanceof HsmError && error.recovery === 'reopen')) throw error
    }
    try {
      return this.#attempt(work)
    } catch (error) {
      if (!(error instanceof HsmError && error.recovery === 'reopen')) throw error
      throw new HsmError(error.code, error.message, 'replace', error.rv)
    }
  }

  #attempt<T>(work: (session: Handle) => T): T {
    const session = this.open()
    try {
      return work(session)
    } catch (error) {
      this.#drop()
      throw error
    }
  }

  #drop(): void {
    if (this.#session !== undefined) this.#token.closeSession(this.#session)
    this.#session = undefined
    this.#kek = undefined
  }

  /** Returns when the KEK unwraps random bytes that it wrapped just now; throws what `doubt` means if not. */
  #prove({ identity, wrapped }: { identity: KekIdentity; wrapped: Uint8Array }, doubt: HsmError): void {
    const format = formatOf(wrapped)
    const strategies = format === undefined ? [] : strategiesFor(format)
    for (const strategy of strategies) {
      try {
        this.#mended((session) => {
          roundTrip({ token: this.#token, session, kek: this.#findExactly(session, identity) }, strategy)
        })
        return
      } catch (error) {
        assertNoProof(error, doubt)
      }
    }
    throw doubt
  }

  #perform(session: Handle, request: KekRequest): HsmResult {
    const token = this.#token
    switch (request.op) {
      case 'identify': {
        const kek = this.#find(session)
        const { identity } = kek
        if (!request.seals) return { identity, bytes: NOTHING }
        const { sealing } = this.#sealer.describe(session, kek, this.#where)
        return { identity, bytes: NOTHING, sealing }
      }
      case 'inspect': {
        const kek = this.#find(session)
        const { sealing, evidence } = this.#sealer.describe(session, kek, this.#where)
        const inspection = { ...inspectToken(token), evidence }
        return { identity: kek.identity, bytes: NOTHING, sealing, inspection }
      }
      case 'keygen': {
        const kek = makeKek(token, this.#target.key, this.#target.mechanism)
        return { identity: kek.identity, bytes: NOTHING, sealing: this.#describeMade(session, kek) }
      }
      case 'list': {
        const [identity, ...others] = listKeks(token, session)
        if (identity === undefined) {
          throw new HsmError('ERR_KEY_NOT_FOUND', `${token.name} has no AES or RSA key with a CKA_ID`)
        }
        return { identity, others, bytes: NOTHING }
      }
      case 'wrap': {
        // Found anew each time: under a handle that now means another key, the DEK would get a wrong key id.
        const kek = this.#find(session)
        const bytes = this.#sealer.wrap(session, kek, this.#where, bufferOf(request.dek))
        return { identity: kek.identity, bytes }
      }
      case 'unwrap': {
        const kek = this.#findExactly(session, request.identity)
        return {
          identity: kek.identity,
          bytes: unwrapDek({ token, session, kek }, bufferOf(request.wrapped)),
        }
      }
    }
  }

  /** Whatever fails now, a key was made, and its maker has to know. */
  #describeMade(session: Handle, kek: Kek): Sealing {
    try {
      return this.#sealer.describe(session, kek, this.#where).sealing
    } catch (error) {
      if (!(error instanceof HsmError)) throw error
      return noSealing(error)
    }
  }

  get #where(): string {
    return `the key ${keyName(this.#target.key)} on ${this.#token.name}`
  }

  #find(session: Handle): Kek {
    this.#kek = findKek(this.#token, session, this.#target.key)
    return this.#kek
  }

  #findExactly(session: Handle, identity: KekIdentity): Kek {
    if (this.#kek !== undefined && isSameKek(this.#kek.identity, identity)) return this.#kek
    this.#kek = findKekById(this.#token, session, identity)
    return this.#kek
  }
}

/** The same memory, in the class that pkcs11js wants. */
function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}
