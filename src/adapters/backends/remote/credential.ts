/** A token that we hold for a while: obtained when it is first needed, renewed before it ends, by one for all. */
import type { Clock } from '../../../ports/clock.js'
import { asKmsError, KmsError } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import type { Logger } from '../../../ports/logger.js'
import { CallEnds } from './call_ends.js'

/** What a service gave us. */
export interface Lease<T> {
  readonly value: T
  /** How long it holds from now; `undefined`: without end. */
  readonly lifetimeMs: number | undefined
}

export interface CredentialOptions<T> {
  readonly clock: Clock
  readonly logger: Logger
  /** In log lines: `the Vault token`. */
  readonly what: string
  /** How long to obtain one may take: it outlives the caller that began it. */
  readonly timeoutMs: number
  /** The share of its life after which it is renewed in the background: 0.5 for half of it. */
  readonly renewAfter: number
  /**
   * @param held What is to be renewed; `undefined`: begin anew, since there is none or the service refused it.
   * @throws {KmsError}
   */
  readonly obtain: (held: T | undefined, signal: AbortSignal) => Promise<Lease<T>>
}

/** After a failed renewal in the background, as long as the lease holds; doubles up to the second one. */
const FIRST_RETRY_MS = 1000
const MAX_RETRY_MS = 30_000

/** However short a lease is, the service is not asked without a rest. */
const MIN_RENEWAL_PAUSE_MS = 250

/** Less than this before its end, a lease is not used any more: the call with it would come too late. */
const MARGIN_MS = 100

interface Held<T> {
  readonly value: T
  readonly endMs: number
  /** Aborts when it is not what we hold any more: nobody waits for half of its life to find that out. */
  readonly dropped: AbortController
}

export class Credential<T> {
  readonly #options: CredentialOptions<T>
  readonly #ends = new CallEnds()
  #held: Held<T> | undefined
  #flight: Promise<Held<T>> | undefined

  constructor(options: CredentialOptions<T>) {
    this.#options = options
  }

  /**
   * The one we hold, else a new one; all who wait share the work. Who leaves at his own deadline cancels nobody.
   *
   * @throws {KmsError} What `obtain` throws; `ERR_SHUTTING_DOWN` after {@link close}.
   */
  async get(options: Pick<CallOptions, 'signal'> = {}): Promise<T> {
    const held = this.#held
    if (held !== undefined && this.#options.clock.nowMs() < held.endMs - MARGIN_MS) return held.value
    const { value } = await untilAborted(this.#join(undefined), options.signal)
    return value
  }

  /** The service refused `value`: the next {@link get} begins anew, unless another has replaced it already. */
  invalidate(value: T): void {
    if (this.#held?.value === value) this.#hold(undefined)
  }

  /** Forgets what it holds and ends the renewal. */
  close(): void {
    this.#ends.close()
    this.#hold(undefined)
  }

  /** What is held now, for the service to be told that we end; obtains nothing. */
  get current(): T | undefined {
    return this.#held?.value
  }

  #assertOpen(): void {
    if (this.#ends.isClosed) throw new KmsError('ERR_SHUTTING_DOWN', 'the plugin is stopping')
  }

  async #join(held: T | undefined): Promise<Held<T>> {
    this.#flight ??= this.#obtain(held).finally(() => {
      this.#flight = undefined
    })
    // When every waiter has left, nobody else listens to a failure.
    this.#flight.catch(() => undefined)
    return this.#flight
  }

  async #obtain(held: T | undefined): Promise<Held<T>> {
    const { clock, timeoutMs, obtain } = this.#options
    this.#assertOpen()
    // Counted from before the question: the answer may have been long on its way.
    const askedMs = clock.nowMs()
    const { value, lifetimeMs } = await this.#ends
      // Whatever it waits for may ignore its signal, such as a file system that hangs.
      .during(timeoutMs, undefined, async (ended) => untilAborted(obtain(held, ended), ended))
      .finally(() => this.#assertOpen())
    const endMs = lifetimeMs === undefined ? Infinity : askedMs + lifetimeMs
    const fresh = { value, endMs, dropped: new AbortController() }
    this.#hold(fresh)
    if (lifetimeMs !== undefined) void this.#renewLater(fresh, lifetimeMs * this.#options.renewAfter)
    return fresh
  }

  #hold(next: Held<T> | undefined): void {
    this.#held?.dropped.abort()
    this.#held = next
  }

  /** Ends when `held` is not what we hold any more: its successor has a renewal of its own. */
  async #renewLater(held: Held<T>, afterMs: number): Promise<void> {
    const { clock, logger, what } = this.#options
    let pauseMs = Math.max(afterMs, MIN_RENEWAL_PAUSE_MS)
    for (let failures = 0; ; failures += 1) {
      await clock.sleep(pauseMs, held.dropped.signal)
      if (this.#held !== held) return
      try {
        await this.#join(held.value)
        return
      } catch (error) {
        const { code, message } = asKmsError(error)
        logger.warn(`${what} could not be renewed`, { code, reason: message })
      }
      pauseMs = Math.min(FIRST_RETRY_MS * 2 ** failures, MAX_RETRY_MS)
      // Then whoever needs it obtains it.
      if (clock.nowMs() + pauseMs >= held.endMs) return
    }
  }
}

/**
 * Waits for work that others wait for as well, or that ignores its signal: who leaves ends it for nobody.
 *
 * @param late Says what did not come in time.
 */
export async function untilAborted<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  late = 'the deadline passed before we were let in',
): Promise<T> {
  if (signal === undefined) return work
  let leave!: () => void
  const aborted = new Promise<never>((_, reject) => {
    leave = () => reject(new KmsError('ERR_DEADLINE_EXCEEDED', late))
    if (signal.aborted) leave()
    else signal.addEventListener('abort', leave, { once: true })
  })
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener('abort', leave)
  }
}
