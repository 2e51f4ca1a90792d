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
import { loginMemoryOf, type LoginMemory, type LoginTry } from './login_memory.js'
import type { FromHsm, HsmAnswer, HsmFailure, HsmTarget, LoginVerdict } from './shared/messages.js'
import type { PinFile } from './pin_file.js'
import { parseReply } from './replies.js'

/** So many faults of the backend with no success in between, whatever they are, and a new process is tried. */
const MAX_FAULTS_IN_ROW = 5

export interface HostLifeOptions {
  /** Real path of the module; checked. */
  readonly module: string
  /** Which token and key, and how the key wraps. */
  readonly target: Omit<HsmTarget, 'module'>
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
  /** `server.stateDir`, where refused PINs are remembered. */
  readonly stateDir: string | undefined
  /** A command asks, which ends soon: see {@link LoginMemory.spareTries}. */
  readonly oneShot: boolean
  readonly logger: Logger
}

/** None is called from within the constructor, and none after {@link HostEvents.ended} or `kill`. */
export interface HostEvents {
  /** It takes so many calls at once from now on. */
  ready(capacity: number): void
  /** The receiver owns `result.bytes`. */
  done(id: number, result: HsmAnswer): void
  failed(id: number, error: KmsError): void
  /** It was killed, for this reason. */
  ended(error: KmsError): void
  /** It was killed, since the token refused the PIN in its file, as this memory knows. */
  pinRefused(error: KmsError, memory: LoginMemory): void
  /** It was killed, since the token lets in nobody, whatever the PIN. */
  barred(error: KmsError): void
  /** It said what is no message, or what nobody asked for. */
  dropped(): void
}

export class HostLife {
  readonly #host: HostProcess
  readonly #options: HostLifeOptions
  readonly #events: HostEvents
  readonly #startTimer: NodeJS.Timeout
  readonly #hangTimers = new Map<number, NodeJS.Timeout>()
  #faultsInRow = 0
  readonly #over = new AbortController()
  #asksLogin = false
  #isInitialised = false
  /** That of its token, once it told which one that is. */
  #memory: LoginMemory | undefined
  /** Set while it may call C_Login. */
  #login: LoginTry | undefined
  /** Set when the PIN was refused and its fingerprint is not known yet. */
  #refusal: string | undefined
  #settled: Promise<void> = Promise.resolve()

  /** @throws {Error} when the machine has no descriptor or process left for it. */
  constructor(options: HostLifeOptions, events: HostEvents) {
    const { module, target, pin, entry, env, logger } = options
    this.#options = options
    this.#events = events
    this.#host = new HostProcess({
      entry,
      env,
      pinFd: pin.handle.fd,
      logger,
      onMessage: (value) => this.#receive(value),
      onEnd: (reason) => {
        // Until it asks for the login it only loads and initialises the module.
        const text = this.#isInitialised
          ? `the HSM process ended: ${reason}`
          : `the HSM process ended while it loaded the module ${module}: ${reason}; check module and libraryParameters`
        this.#end(unavailable(text))
      },
    })
    this.#startTimer = setTimeout(() => {
      this.#end(unavailable(`the HSM process was not ready within ${options.startBoundMs} ms`))
    }, options.startBoundMs)
    this.#host.send({ type: 'start', target: { ...target, module } })
  }

  get pid(): number | undefined {
    return this.#host.pid
  }

  /** Resolves when the kernel has taken it away and how its login ended is on the disk. */
  get exited(): Promise<unknown> {
    return Promise.all([this.#host.exited, this.#settled])
  }

  get #isOver(): boolean {
    return this.#over.signal.aborted
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
    this.#over.abort()
    this.#host.kill()
    if (this.#login !== undefined) this.#settled = this.#login.abandon()
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
        return void this.#grantLogin(message.tokenIdentity)
      case 'loginStarted':
        return this.#options.logger.debug('C_Login', { pid: this.pid })
      case 'loginRefused':
        if (this.#login === undefined) return this.#events.dropped()
        // What follows is our own work, and may take longer than a start.
        clearTimeout(this.#startTimer)
        this.#settled = this.#login.tokenRefused()
        this.#refusal = message.text
        return
      case 'loggedIn':
      case 'pinRefused':
      case 'barred':
      case 'notTried':
      case 'noPin':
        return void this.#loginEnded(message)
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

  async #grantLogin(tokenIdentity: string): Promise<void> {
    if (this.#asksLogin) return this.#events.dropped()
    this.#asksLogin = true
    this.#isInitialised = true
    const { stateDir, oneShot, pin, logger } = this.#options
    const memory = loginMemoryOf(tokenIdentity, stateDir)
    this.#memory = memory
    if (oneShot) memory.spareTries()
    const login = await memory.begin(pin.identity, this.#over.signal, logger)
    if (login === undefined) return
    if (this.#isOver) return login.settle({ type: 'notTried', text: 'it was killed before' })
    this.#login = login
    this.#host.send({ type: 'grant', grant: login.grant })
  }

  async #loginEnded(verdict: LoginVerdict): Promise<void> {
    const memory = this.#memory
    if (memory === undefined || this.#login === undefined) return this.#events.dropped()
    this.#settled = this.#login.settle(verdict)
    this.#login = undefined
    this.#asksLogin = false
    if (verdict.type === 'loggedIn') return
    await this.#settled
    if (this.#isOver) return
    if (verdict.type === 'noPin') {
      const text = `the PIN file ${this.#options.pin.path} ${verdict.text}`
      return this.#end(new KmsError('ERR_CONFIG_INVALID', text))
    }
    const error = new KmsError('ERR_LOGIN_REFUSED', verdict.text)
    if (verdict.type === 'notTried') return this.#end(error)
    this.kill()
    if (verdict.type === 'barred') this.#events.barred(error)
    else this.#events.pinRefused(error, memory)
  }

  #callFailed(id: number, failure: HsmFailure): void {
    const error = errorOf(failure)
    // A doubt is about the bytes as much as about the device: garbage must not end the process.
    if (error.fault === 'backend' && error.code !== 'ERR_UNWRAP_AMBIGUOUS') this.#faultsInRow += 1
    this.#events.failed(id, error)
    if (failure.replace || this.#faultsInRow >= MAX_FAULTS_IN_ROW) this.#end(error)
  }

  #unwatch(id: number): void {
    clearTimeout(this.#hangTimers.get(id))
    this.#hangTimers.delete(id)
  }

  #end(error: KmsError): void {
    if (this.#isOver) return
    if (this.#refusal !== undefined) {
      // It died before it could say which PIN that was: then it is that of this file.
      const verdict = { type: 'pinRefused', fingerprint: '', text: this.#refusal } as const
      if (this.#login !== undefined) void this.#loginEnded(verdict)
      return
    }
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
