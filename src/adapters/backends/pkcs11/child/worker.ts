/**
 * What does one thread of the HSM process do? It may block for as long as the module likes.
 *
 * The first thread is the keeper: it initialises the module, holds a session that keeps the login alive, and is
 * the only one that logs in.
 */
import { parentPort, workerData, type Transferable } from 'node:worker_threads'
import { copied } from '../shared/kek_identity.js'
import type { HsmAnswer, LoginGrant } from '../shared/messages.js'
import { tokenName } from '../shared/token_name.js'
import { failureOf, HsmError, importPkcs11js, loadModule } from './cryptoki.js'
import { login } from './login.js'
import type { Cryptoki, Handle, Pkcs11js } from './pkcs11js.js'
import { Seat } from './seat.js'
import { finalise, findSlot, initialise } from './slots.js'
import type { FromThread, ThreadData, ToThread } from './thread_messages.js'
import { Token } from './token.js'
import { tokenIdentity } from './token_identity.js'

type Work = Extract<ToThread, { type: 'work' }>

const { target, slot } = workerData as ThreadData

class Thread {
  readonly #p11: Pkcs11js
  readonly #module: Cryptoki
  #token: Token
  #seat: Seat
  /** The keeper's own: closing the last session of a process logs it out. */
  #anchor: Handle | undefined

  constructor(p11: Pkcs11js, module: Cryptoki, where: Handle) {
    this.#p11 = p11
    this.#module = module
    this.#token = new Token(p11, module, where, tokenName(target.token))
    this.#seat = new Seat(this.#token, target)
    // A thread that gets no session is none; the token may allow fewer of them.
    this.#seat.open()
  }

  receive(message: ToThread): void {
    switch (message.type) {
      case 'grant':
        return this.#orFail(() => this.#logIn(message.grant))
      case 'renew':
        return this.#orFail(() => this.#renew())
      case 'move':
        return this.#orFail(() => this.#sit(Buffer.from(message.slot)))
      case 'work':
        return this.#work(message)
    }
  }

  #work({ id, request, known }: Work): void {
    const seat = this.#seat
    if (known !== undefined) seat.known = known
    const before = seat.known
    try {
      const result = seat.do(request)
      // Moved, not cloned: a clone would take all of the memory that a Buffer is a view of.
      const bytes = Uint8Array.from(result.bytes)
      result.bytes.fill(0)
      const news = seat.known === undefined || seat.known === before ? {} : { known: seat.known }
      const answer: HsmAnswer =
        result.identity === undefined ? { bytes } : { ...result, identity: copied(result.identity), bytes }
      say({ type: 'done', id, result: answer, ...news }, [bytes.buffer])
    } catch (error) {
      const isLoggedOut = error instanceof HsmError && error.recovery === 'login'
      say({ type: isLoggedOut ? 'loggedOut' : 'error', id, failure: failureOf(error) })
    } finally {
      if (request.op === 'wrap') request.dek.fill(0)
    }
  }

  #logIn(grant: LoginGrant): void {
    this.#anchor = this.#livingSession(this.#anchor)
    say({ type: 'verdict', verdict: login(this.#token, this.#anchor, grant, say) })
  }

  #livingSession(session: Handle | undefined): Handle {
    if (session === undefined) return this.#token.openSession()
    try {
      this.#token.isLoggedIn(session)
      return session
    } catch {
      this.#token.closeSession(session)
      return this.#token.openSession()
    }
  }

  /** Everything anew but the process: what some modules want after their device was away. */
  #renew(): void {
    this.#anchor = undefined
    finalise(this.#module)
    initialise(this.#p11, this.#module, target.libraryParameters)
    this.#sit(findSlot(this.#p11, this.#module, target.token))
  }

  #sit(where: Handle): void {
    const { known } = this.#seat
    this.#token = new Token(this.#p11, this.#module, where, this.#token.name)
    this.#seat = new Seat(this.#token, target)
    this.#seat.known = known
    this.#seat.open()
    this.sayReady()
  }

  sayReady(): void {
    const where = this.#token.slot
    const isKeeper = slot === undefined
    const told = isKeeper ? { tokenIdentity: tokenIdentity(this.#token.info(), where, target.module) } : {}
    say({ type: 'ready', slot: Uint8Array.from(where), ...told })
  }

  #orFail(work: () => void): void {
    try {
      work()
    } catch (error) {
      say({ type: 'failed', failure: failureOf(error) })
    }
  }
}

async function serve(): Promise<void> {
  const p11 = await importPkcs11js()
  const module = loadModule(p11, target.module)
  if (slot === undefined) initialise(p11, module, target.libraryParameters)
  const where = slot === undefined ? findSlot(p11, module, target.token) : Buffer.from(slot)
  const thread = new Thread(p11, module, where)
  parentPort?.on('message', (message: ToThread) => thread.receive(message))
  thread.sayReady()
}

function say(message: FromThread, moved: readonly Transferable[] = []): void {
  parentPort?.postMessage(message, moved)
}

serve().catch((error: unknown) => say({ type: 'failed', failure: failureOf(error) }))
