/**
 * What may one HSM process do between its start and its end, and when is it declared dead?
 *
 * It logs in when the plugin grants it and not otherwise, and it is killed when it does not get ready or when a
 * call hangs in it.
 */
import { KmsError } from '../../../ports/errors.js'
import type { Logger } from '../../../ports/logger.js'
import type { DispatchedCall } from './call_queue.js'
import { HostProcess } from './host_process.js'
import { loginMemoryOf, type LoginMemory } from './login_memory.js'
import type { FromHsm, HsmFailure, HsmResult, LoginGrant, LoginVerdict } from './messages.js'
import type { PinFile } from './pin_file.js'
import { parseReply } from './replies.js'

/** So many faults of the backend with no success in between, whatever they are, and a new process is tried. */
const MAX_FAULTS_IN_ROW = 5

export interface HostLifeOptions {
  /** Real path of the module; checked. */
  readonly module: string
  readonly tokenLabel: string
  readonly keyLabel: string
  /** Checked; may be closed when the constructor has returned. */
  readonly pin: PinFile
  /** The compiled entry of the HSM process. */
  readonly entry: URL
  /** All of the environment of the HSM process. */
  readonly env: Readonly<Record<string, string>>
  /** It is killed when it is not ready by then. */
  readonly startBoundMs: number
  /** A call that is under way for longer has hung. */
  readonly hangMs: number
  /** A command asks, which ends soon: see {@link LoginMemory.spareTries}. */
  readonly oneShot: boolean
  readonly logger: Logger
}

/** None is called from within the constructor, and none after {@link HostEvents.ended} or `kill`. */
export interface HostEvents {
  /** It takes so many calls at once from now on. */
  ready(capacity: number): void
  /** The receiver owns `result.bytes`. */
  done(id: number, result: HsmResult): void
  failed(id: number, error: KmsError): void
  /** It was killed, for this reason. */
  ended(error: KmsError): void
  /** It was killed, since the token refused the PIN in its file. */
  pinRefused(error: KmsError): void
  /** It was killed, since the token lets in nobody, whatever the PIN. */
  barred(error: KmsError): void
  /** It said what is no message, or what nobody asked for. */
  dropped(): void
}

export class HostLife {
  readonly #host: HostProcess
  readonly #memory: LoginMemory
  readonly #options: HostLifeOptions
  readonly #events: HostEvents
  readonly #startTimer: NodeJS.Timeout
  readonly #hangTimers = new Map<number, NodeJS.Timeout>()
  #faultsInRow = 0
  #isOver = false
  /** Set while it may call C_Login. */
  #login: { readonly grant: LoginGrant; readonly endTurn: () => void } | undefined

  /** @throws {Error} when the machine has no descriptor or process left for it. */
  constructor(options: HostLifeOptions, events: HostEvents) {
    const { module, tokenLabel, keyLabel, pin, entry, env, logger } = options
    this.#options = options
    this.#events = events
    this.#memory = loginMemoryOf(module, tokenLabel)
    if (options.oneShot) this.#memory.spareTries()
    this.#host = new HostProcess({
      entry,
      env,
      pinFd: pin.handle.fd,
      logger,
      onMessage: (value) => this.#receive(value),
      onEnd: (reason) => this.#end(unavailable(`the HSM process ended: ${reason}`)),
    })
    this.#startTimer = setTimeout(() => {
      this.#end(unavailable(`the HSM process was not ready within ${options.startBoundMs} ms`))
    }, options.startBoundMs)
    const target = { module, tokenLabel, keyLabel, salt: this.#memory.salt }
    this.#host.send({ type: 'start', target })
  }

  get pid(): number | undefined {
    return this.#host.pid
  }

  /** Resolves when the kernel has taken it away. */
  get exited(): Promise<void> {
    return this.#host.exited
  }

  /** Sends a call. The caller never has more of them under way than it takes at once. */
  run(call: DispatchedCall): void {
    this.#host.send({ type: 'call', ...call })
    const hung = (): void => {
      if (!this.#hangTimers.has(call.id)) return
      this.#end(unavailable(`the HSM did not answer for ${this.#options.hangMs} ms; its process was killed`))
    }
    // After a suspend, an answer that is already here is read before the process is called hung.
    const timer = setTimeout(() => setImmediate(hung), this.#options.hangMs)
    this.#hangTimers.set(call.id, timer)
  }

  /** Safe to call twice. */
  kill(): void {
    this.#isOver = true
    this.#host.kill()
    this.#login?.endTurn()
    this.#login = undefined
    clearTimeout(this.#startTimer)
    for (const timer of this.#hangTimers.values()) clearTimeout(timer)
    this.#hangTimers.clear()
  }

  #receive(value: unknown): void {
    const message = parseReply(value)
    // It may have spoken before it was killed.
    if (this.#isOver) return wipe(message)
    if (message === undefined) return this.#events.dropped()
    switch (message.type) {
      case 'askLogin':
        return void this.#grantLogin()
      case 'loginStarted':
        return this.#options.logger.debug('C_Login', { pid: this.pid })
      case 'loggedIn':
      case 'pinRefused':
      case 'barred':
      case 'notTried':
        return this.#loginEnded(message)
      case 'capacity':
        clearTimeout(this.#startTimer)
        return this.#events.ready(message.calls)
      case 'failed':
        return this.#end(errorOf(message.failure))
      case 'done':
        this.#unwatch(message.id)
        this.#faultsInRow = 0
        return this.#events.done(message.id, message.result)
      case 'error':
        this.#unwatch(message.id)
        return this.#callFailed(message.id, message.failure)
    }
  }

  async #grantLogin(): Promise<void> {
    if (this.#login !== undefined) return this.#events.dropped()
    const endTurn = await this.#memory.turn()
    if (this.#isOver) return endTurn()
    const grant = this.#memory.grant(this.#options.pin.identity)
    this.#login = { grant, endTurn }
    this.#host.send({ type: 'grant', grant })
  }

  #loginEnded(verdict: LoginVerdict): void {
    if (this.#login === undefined) return this.#events.dropped()
    this.#memory.settle(this.#login.grant, verdict)
    this.#login.endTurn()
    this.#login = undefined
    if (verdict.type === 'loggedIn') return
    const error = new KmsError('ERR_LOGIN_REFUSED', verdict.text)
    if (verdict.type === 'notTried') return this.#end(error)
    this.kill()
    if (verdict.type === 'barred') this.#events.barred(error)
    else this.#events.pinRefused(error)
  }

  #callFailed(id: number, failure: HsmFailure): void {
    const error = errorOf(failure)
    if (error.fault === 'backend') this.#faultsInRow += 1
    this.#events.failed(id, error)
    if (failure.replace || this.#faultsInRow >= MAX_FAULTS_IN_ROW) this.#end(error)
  }

  #unwatch(id: number): void {
    clearTimeout(this.#hangTimers.get(id))
    this.#hangTimers.delete(id)
  }

  #end(error: KmsError): void {
    if (this.#isOver) return
    this.kill()
    this.#events.ended(error)
  }
}

function wipe(message: FromHsm | undefined): void {
  if (message?.type === 'done') message.result.bytes.fill(0)
}

function errorOf({ code, text }: HsmFailure): KmsError {
  return new KmsError(code, text)
}

function unavailable(text: string): KmsError {
  return new KmsError('ERR_BACKEND_UNAVAILABLE', text)
}
