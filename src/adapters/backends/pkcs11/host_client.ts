/**
 * How does the plugin keep one living HSM process, and what becomes of calls when it dies, hangs or is refused?
 *
 * Rule: no caller waits longer than its own deadline, whatever the vendor's library does, and while a PIN is
 * refused no process is started with it.
 */
import type { Clock } from '../../../ports/clock.js'
import { KmsError, asKmsError } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import type { Logger } from '../../../ports/logger.js'
import { Backoff } from './backoff.js'
import { CallQueue } from './call_queue.js'
import type { Hsm } from './hsm.js'
import { HostLife, type HostLifeOptions } from './host_life.js'
import type { LoginMemory } from './login_memory.js'
import type { DecryptRequest, HsmAnswer, HsmRequest, HsmResult, KekRequest } from './shared/messages.js'
import { checkModuleFile } from './module_file.js'
import { openPinFile, pinFileIdentity } from './pin_file.js'
import { StartBound } from './start_bound.js'

/** How much longer than `retry.callTimeout` a call may hang before its process is killed. */
const HANG_GRACE_MS = 500

/** How long `close` waits for the kernel to take a killed process away. */
const EXIT_BOUND_MS = 1000

export interface HostClientOptions extends Pick<
  HostLifeOptions,
  'target' | 'entry' | 'env' | 'stateDir' | 'oneShot'
> {
  readonly module: string
  readonly pinPath: string
  /** Milliseconds that one call may take in the token. */
  readonly callTimeoutMs: number
  readonly clock: Clock
  readonly logger: Logger
  /** Told when the process was replaced. */
  readonly onRestart: () => void
}

/** The token refused the login with the PIN file of this identity. */
interface Refusal {
  readonly pinIdentity: string
  /** Whoever deletes its file releases the PIN; `undefined`: it has none. */
  readonly memory: LoginMemory | undefined
}

export class HostClient implements Hsm {
  readonly #options: HostClientOptions
  readonly #calls: CallQueue
  readonly #backoff = new Backoff()
  readonly #startBound = new StartBound()
  readonly #closing = new AbortController()
  #life: HostLife | undefined
  /** What the one before may still have to write down. */
  #lastExit: Promise<unknown> = Promise.resolve()
  /** Calls that the process takes at once; 0 until it is ready. */
  #capacity = 0
  #isStarting = false
  /** When the last start began, whatever became of it. */
  #startedMs = -Infinity
  #starts = 0
  #garbage = 0
  #lastError: KmsError | undefined
  /** Why the last process ended; `undefined` once a call has worked. */
  #lastEnd: string | undefined
  /** The last two ended for one reason: the log says it once. */
  #isRepeat = false
  #refusal: (Refusal & { readonly error: KmsError }) | undefined

  constructor(options: HostClientOptions) {
    this.#options = options
    this.#calls = new CallQueue(options.clock)
  }

  /** What the HSM process said and nobody waited for: late, under an unknown id, or no message at all. */
  get dropped(): number {
    return this.#calls.dropped + this.#garbage
  }

  /**
   * Has one piece of work done, starting the HSM process when there is none. Never retries.
   *
   * @returns What the process answered; the caller owns and wipes `bytes`.
   * @throws {KmsError} `ERR_DEADLINE_EXCEEDED`, `ERR_QUEUE_FULL`, `ERR_BACKEND_UNAVAILABLE`, `ERR_LOGIN_REFUSED`,
   * `ERR_CONFIG_INVALID`, `ERR_SHUTTING_DOWN` or what the token's answer means.
   */
  async call(request: KekRequest, options: CallOptions): Promise<HsmResult> {
    const answer = await this.#ask(request, options)
    if (answer.identity !== undefined) return answer
    answer.bytes.fill(0)
    throw new KmsError('ERR_BACKEND_RESPONSE', 'the HSM process answered without naming its KEK')
  }

  /**
   * As {@link call}, for what another program encrypted.
   *
   * @returns Bytes of whatever length; the caller owns and wipes them.
   */
  async decrypt(request: DecryptRequest, options: CallOptions): Promise<Uint8Array> {
    return (await this.#ask(request, options)).bytes
  }

  /** Kills the HSM process; calls that still wait fail with `ERR_SHUTTING_DOWN`. Safe to call twice. */
  async close(): Promise<void> {
    this.#closing.abort()
    const life = this.#life
    this.#life = undefined
    this.#calls.rejectAll(shuttingDown())
    life?.kill()
    const exited = new AbortController()
    void Promise.all([this.#lastExit, life?.exited]).then(() => exited.abort())
    await this.#options.clock.sleep(EXIT_BOUND_MS, exited.signal)
  }

  async #ask(request: HsmRequest, options: CallOptions): Promise<HsmAnswer> {
    if (this.#isClosed) throw shuttingDown()
    const answer = this.#calls.add(request, options)
    this.#pump()
    return answer
  }

  get #isClosed(): boolean {
    return this.#closing.signal.aborted
  }

  #pump(): void {
    if (this.#life === undefined) {
      if (this.#calls.waiting > 0) void this.#start()
      return
    }
    // A call is sent only when a thread is free for it, so its age is the time that it spends in the token.
    while (this.#calls.underWay < this.#capacity) {
      const call = this.#calls.next()
      if (call === undefined) return
      this.#life.run(call)
    }
  }

  async #start(): Promise<void> {
    if (this.#isStarting) return
    this.#isStarting = true
    try {
      const refusal = (await this.#stillRefused()) ?? (await this.#waitBackoff())
      if (refusal !== undefined) return this.#calls.rejectAll(refusal)
      if (this.#isClosed || this.#calls.waiting === 0) return
      this.#startedMs = this.#options.clock.nowMs()
      await this.#spawn()
    } catch (error) {
      this.#giveUp(asKmsError(error))
    } finally {
      this.#isStarting = false
      this.#pump()
    }
  }

  async #stillRefused(): Promise<KmsError | undefined> {
    const refusal = this.#refusal
    if (refusal === undefined) return undefined
    const { pinIdentity, memory, error } = refusal
    const isReleased = await memory?.isReleased(this.#closing.signal, this.#options.logger)
    if (isReleased !== true && (await pinFileIdentity(this.#options.pinPath)) === pinIdentity) return error
    this.#refusal = undefined
    this.#backoff.reset()
    return undefined
  }

  async #waitBackoff(): Promise<KmsError | undefined> {
    const { clock } = this.#options
    const waitMs = this.#backoff.waitMs(clock.nowMs())
    if (waitMs === 0) return undefined
    // Waiting mends what recovers alone. What an operator must mend is said at once.
    if (this.#lastError?.retryable === false) return this.#lastError
    await clock.sleep(waitMs, this.#closing.signal)
    return undefined
  }

  async #spawn(): Promise<void> {
    const { callTimeoutMs, pinPath, logger, onRestart } = this.#options
    const module = await checkModuleFile(this.#options.module)
    const pin = await openPinFile(pinPath)
    try {
      if (this.#isClosed) return
      const startedMs = this.#options.clock.nowMs()
      this.#capacity = 0
      const life = new HostLife(
        {
          ...this.#options,
          module,
          pin,
          startBoundMs: this.#startBound.ms,
          hangMs: callTimeoutMs + HANG_GRACE_MS,
        },
        {
          ready: (capacity) => {
            if (this.#capacity === 0) {
              const startMs = Math.round(this.#options.clock.nowMs() - startedMs)
              this.#startBound.ready(startMs)
              logger.info('HSM process ready', { pid: life.pid, startMs })
            }
            this.#capacity = capacity
            this.#pump()
          },
          done: (id, result) => {
            this.#backoff.reset()
            this.#lastEnd = undefined
            this.#isRepeat = false
            this.#calls.resolve(id, result)
            this.#pump()
          },
          failed: (id, error) => {
            this.#calls.reject(id, error)
            this.#pump()
          },
          ended: (error) => this.#ended(life, error),
          pinRefused: (error, memory) => {
            const { file } = memory
            const wayOut =
              file === undefined ? 'log in with it once by hand and restart the plugin' : `delete ${file}`
            const advice = `put the right PIN into ${pinPath}, or, if the token was changed to this PIN meanwhile, ${wayOut}`
            const refusal = { pinIdentity: pin.identity, memory: file === undefined ? undefined : memory }
            this.#refused(life, refusal, error, advice)
          },
          barred: (error) => {
            const advice = `mend that as its security officer, then touch ${pinPath}`
            this.#refused(life, { pinIdentity: pin.identity, memory: undefined }, error, advice)
          },
          dropped: () => {
            this.#garbage += 1
            logger.warn('the HSM process said what nobody asked for', { dropped: this.dropped })
          },
        },
      )
      this.#life = life
      logger[this.#isRepeat ? 'debug' : 'info']('HSM process started', { pid: life.pid })
      if (this.#starts > 0) onRestart()
      this.#starts += 1
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown'
      throw new KmsError('ERR_BACKEND_UNAVAILABLE', `the HSM process could not be started: ${reason}`)
    } finally {
      await pin.handle.close()
    }
  }

  /** No process is started until the PIN file has changed or the memory file is gone. */
  #refused(life: HostLife, refusal: Refusal, { code, message }: KmsError, advice: string): void {
    const error = new KmsError(code, `${message}; not tried again: ${advice}`)
    this.#refusal = { ...refusal, error }
    this.#ended(life, error)
  }

  #ended(life: HostLife, error: KmsError): void {
    const { code, message: reason } = error
    if (this.#capacity === 0) this.#startBound.failed()
    this.#isRepeat = this.#lastEnd === reason
    this.#lastEnd = reason
    const { logger } = this.#options
    logger[this.#isRepeat ? 'debug' : 'warn']('HSM process ended', { pid: life.pid, code, reason })
    this.#life = undefined
    this.#lastExit = life.exited
    this.#giveUp(error)
  }

  /** The next call starts a new process, not before the back-off has passed. */
  #giveUp(error: KmsError): void {
    this.#backoff.failed(this.#startedMs, error.code)
    this.#lastError = error
    this.#calls.rejectAll(error)
  }
}

function shuttingDown(): KmsError {
  return new KmsError('ERR_SHUTTING_DOWN', 'the plugin is stopping')
}
