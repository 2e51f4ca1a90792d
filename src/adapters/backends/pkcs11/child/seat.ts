/** What can one thread do at the token, and which failures does it mend alone? It has one session at a time. */
import { randomBytes } from 'node:crypto'
import type { HsmRequest, HsmResult, KekIdentity } from '../messages.js'
import { HsmError } from './cryptoki.js'
import * as gcm96 from './gcm96.js'
import { findKek, findKekById, kekFlags, listKeks, type Kek } from './kek.js'
import { makeKek } from './keygen.js'
import type { Handle } from './pkcs11js.js'
import type { Token } from './token.js'

const NOTHING = Buffer.alloc(0)
/** As long as a DEK. */
const SAMPLE_BYTES = 32

export class Seat {
  readonly #token: Token
  readonly #keyLabel: string
  #session: Handle | undefined
  #kek: Kek | undefined

  constructor(token: Token, keyLabel: string) {
    this.#token = token
    this.#keyLabel = keyLabel
  }

  /** Opens the session ahead of the first request. */
  open(): Handle {
    this.#session ??= this.#token.openSession()
    return this.#session
  }

  /**
   * Does one request. A session that saw an error is never used again; where a new session may help, it is tried
   * once. An answer that may mean bad data or a bad device is settled by a round trip under the same KEK.
   *
   * @throws {HsmError} `ERR_UNWRAP_AMBIGUOUS` only where that round trip cannot be made.
   */
  do(request: HsmRequest): HsmResult {
    const perform = (): HsmResult => this.#mended((session) => this.#perform(session, request))
    try {
      return perform()
    } catch (error) {
      if (request.op !== 'unwrap' || !isAmbiguous(error)) throw error
      this.#prove(request.identity, error)
    }
    // Asked again: the device may have been ill for a moment, and good bytes are never called bad.
    try {
      return perform()
    } catch (error) {
      if (!isAmbiguous(error)) throw error
      const text = `${error.message}; the KEK decrypts what it encrypts, so these bytes are bad`
      throw new HsmError('ERR_DECRYPTION_FAILED', text, 'none', error.rv)
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
      this.#token.closeSession(session)
      this.#session = undefined
      this.#kek = undefined
      throw error
    }
  }

  /** Returns when a new session encrypts and decrypts random bytes under the KEK; throws what `doubt` means if not. */
  #prove(identity: KekIdentity, doubt: HsmError): void {
    try {
      this.#mended((session) => {
        const { handle } = this.#findExactly(session, identity)
        const sample = randomBytes(SAMPLE_BYTES)
        const back = gcm96.unwrap(
          this.#token,
          session,
          handle,
          gcm96.wrap(this.#token, session, handle, sample),
        )
        if (!back.equals(sample)) throw new HsmError('ERR_BACKEND_RESPONSE', 'it decrypts to other bytes')
      })
    } catch (error) {
      if (!(error instanceof HsmError) || error.recovery === 'login') throw error
      // A KEK that is gone or may not encrypt says nothing about the device.
      if (error.code.startsWith('ERR_KEY_') || error.code === 'ERR_ACCESS_DENIED') throw doubt
      const text = `${doubt.message}; nor does the KEK decrypt what it encrypts (${error.message})`
      throw new HsmError('ERR_BACKEND_UNAVAILABLE', text, 'replace', error.rv)
    }
  }

  #perform(session: Handle, request: HsmRequest): HsmResult {
    const token = this.#token
    switch (request.op) {
      case 'identify':
        return { identity: this.#find(session).identity, bytes: NOTHING, facts: {} }
      case 'inspect': {
        const { handle, identity } = this.#find(session)
        const { manufacturerID, model } = token.info()
        const facts = {
          token: `${manufacturerID.trim()} ${model.trim()}`,
          ...kekFlags(token, session, handle),
        }
        return { identity, bytes: NOTHING, facts }
      }
      case 'keygen':
        return { identity: makeKek(token, this.#keyLabel).identity, bytes: NOTHING, facts: {} }
      case 'list': {
        const [identity, ...others] = listKeks(token, session)
        if (identity === undefined) {
          throw new HsmError('ERR_KEY_NOT_FOUND', `token "${token.label}" has no AES key with a CKA_ID`)
        }
        return { identity, others, bytes: NOTHING, facts: {} }
      }
      case 'wrap': {
        // Found anew each time: under a handle that now means another key, the DEK would get a wrong key id.
        const { handle, identity } = this.#find(session)
        return { identity, bytes: gcm96.wrap(token, session, handle, bufferOf(request.dek)), facts: {} }
      }
      case 'unwrap': {
        const { handle, identity } = this.#findExactly(session, request.identity)
        return { identity, bytes: gcm96.unwrap(token, session, handle, bufferOf(request.wrapped)), facts: {} }
      }
    }
  }

  #find(session: Handle): Kek {
    this.#kek = findKek(this.#token, session, this.#keyLabel)
    return this.#kek
  }

  #findExactly(session: Handle, identity: KekIdentity): Kek {
    if (this.#kek !== undefined && isSame(this.#kek.identity, identity)) return this.#kek
    this.#kek = findKekById(this.#token, session, identity)
    return this.#kek
  }
}

function isAmbiguous(error: unknown): error is HsmError {
  return error instanceof HsmError && error.code === 'ERR_UNWRAP_AMBIGUOUS'
}

/** The same memory, in the class that pkcs11js wants. */
function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}

function isSame(one: KekIdentity, other: KekIdentity): boolean {
  return (
    Buffer.compare(one.ckaId, other.ckaId) === 0 && Buffer.compare(one.checkValue, other.checkValue) === 0
  )
}
