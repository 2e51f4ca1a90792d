/** What can one thread do at the token, and which failures does it mend alone? It has one session at a time. */
import type { HsmRequest, HsmResult } from '../messages.js'
import { HsmError } from './cryptoki.js'
import * as gcm96 from './gcm96.js'
import { findKek, kekFlags, type Kek } from './kek.js'
import { makeKek } from './keygen.js'
import type { Handle } from './pkcs11js.js'
import type { Token } from './token.js'

const NOTHING = Buffer.alloc(0)

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
   * once.
   *
   * @throws {HsmError}
   */
  do(request: HsmRequest): HsmResult {
    try {
      return this.#attempt(request)
    } catch (error) {
      if (!(error instanceof HsmError && error.recovery === 'reopen')) throw error
    }
    try {
      return this.#attempt(request)
    } catch (error) {
      if (!(error instanceof HsmError && error.recovery === 'reopen')) throw error
      throw new HsmError(error.code, error.message, 'replace', error.rv)
    }
  }

  #attempt(request: HsmRequest): HsmResult {
    const session = this.open()
    try {
      return this.#perform(session, request)
    } catch (error) {
      this.#token.closeSession(session)
      this.#session = undefined
      this.#kek = undefined
      throw error
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

  #findExactly(session: Handle, identity: HsmResult['identity']): Kek {
    if (this.#kek !== undefined && isSame(this.#kek.identity, identity)) return this.#kek
    const kek = this.#find(session)
    if (isSame(kek.identity, identity)) return kek
    throw new HsmError(
      'ERR_KEY_UNKNOWN',
      `"${this.#keyLabel}" is another key than the one that wrapped this DEK`,
    )
  }
}

/** The same memory, in the class that pkcs11js wants. */
function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}

function isSame(one: HsmResult['identity'], other: HsmResult['identity']): boolean {
  return (
    Buffer.compare(one.ckaId, other.ckaId) === 0 && Buffer.compare(one.checkValue, other.checkValue) === 0
  )
}
