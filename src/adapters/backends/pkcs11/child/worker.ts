/**
 * What does one thread of the HSM process do? It may block for as long as the module likes.
 *
 * The first thread is the keeper: it initialises the module, holds a session that keeps the login alive, and is
 * the only one that logs in.
 */
import { parentPort, workerData, type Transferable } from 'node:worker_threads'
import type { HsmRequest, LoginGrant } from '../messages.js'
import { failureOf, HsmError, importPkcs11js, loadModule } from './cryptoki.js'
import { login } from './login.js'
import { Seat } from './seat.js'
import type { FromThread, ThreadData, ToThread } from './thread_messages.js'
import type { Handle } from './pkcs11js.js'
import { findSlot, initialise, Token } from './token.js'

const { target, slot } = workerData as ThreadData
/** The keeper's own: closing the last session of a process logs it out. */
let anchor: Handle | undefined

async function serve(): Promise<void> {
  const p11 = await importPkcs11js()
  const module = loadModule(p11, target.module)
  if (slot === undefined) initialise(p11, module)
  const where = slot === undefined ? findSlot(module, target.tokenLabel) : Buffer.from(slot)
  const token = new Token(p11, module, where, target.tokenLabel)
  const seat = new Seat(token, target.keyLabel)
  // A thread that gets no session is none; the token may allow fewer of them.
  seat.open()
  parentPort?.on('message', (message: ToThread) => {
    if (message.type === 'grant') logIn(token, message.grant)
    else work(seat, message.id, message.request)
  })
  say({ type: 'ready', slot: Uint8Array.from(where) })
}

function work(seat: Seat, id: number, request: HsmRequest): void {
  try {
    const result = seat.do(request)
    // Moved, not cloned: a clone would take all of the memory that a Buffer is a view of.
    const bytes = Uint8Array.from(result.bytes)
    result.bytes.fill(0)
    const { ckaId, checkValue } = result.identity
    const identity = { ckaId: Uint8Array.from(ckaId), checkValue: Uint8Array.from(checkValue) }
    say({ type: 'done', id, result: { ...result, identity, bytes } }, [bytes.buffer])
  } catch (error) {
    const isLoggedOut = error instanceof HsmError && error.recovery === 'login'
    say({ type: isLoggedOut ? 'loggedOut' : 'error', id, failure: failureOf(error) })
  } finally {
    if (request.op === 'wrap') request.dek.fill(0)
  }
}

function logIn(token: Token, grant: LoginGrant): void {
  try {
    anchor = livingSession(token, anchor)
    const onTry = (): void => say({ type: 'loginStarted' })
    say({ type: 'verdict', verdict: login(token, anchor, target.salt, grant, onTry) })
  } catch (error) {
    say({ type: 'failed', failure: failureOf(error) })
  }
}

function livingSession(token: Token, session: Handle | undefined): Handle {
  if (session === undefined) return token.openSession()
  try {
    token.isLoggedIn(session)
    return session
  } catch {
    token.closeSession(session)
    return token.openSession()
  }
}

function say(message: FromThread, moved: readonly Transferable[] = []): void {
  parentPort?.postMessage(message, moved)
}

serve().catch((error: unknown) => say({ type: 'failed', failure: failureOf(error) }))
