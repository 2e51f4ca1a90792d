/** Which calls wait for the HSM process, which are under way in it, and who still wants the answer? */
import type { Clock } from '../../../ports/clock.js'
import { KmsError } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import type { HsmAnswer, HsmRequest } from './shared/messages.js'

/** Given for a reason, since without one Node makes an error with a stack at every call. */
const WOKEN = 'woken'

/** More calls than this do not wait. */
export const MAX_WAITING_CALLS = 256

/** A call that is under way. */
export interface DispatchedCall {
  readonly id: number
  readonly request: HsmRequest
}

interface Call {
  readonly id: number
  readonly resolve: (result: HsmAnswer) => void
  readonly reject: (error: KmsError) => void
  /** Its caller left; the answer is dropped. */
  isAbandoned: boolean
}

interface WaitingCall {
  readonly call: Call
  readonly request: HsmRequest
}

export class CallQueue {
  readonly #clock: Clock
  readonly #waiting: WaitingCall[] = []
  readonly #underWay = new Map<number, Call>()
  #lastId = 0
  #dropped = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get waiting(): number {
    return this.#waiting.length
  }

  get underWay(): number {
    return this.#underWay.size
  }

  /** Answers that nobody waited for: late ones, and such with an id that was never given. */
  get dropped(): number {
    return this.#dropped
  }

  /**
   * Lets a call wait; its caller leaves at its own deadline.
   *
   * Does not keep the request once the promise has settled.
   *
   * @throws {KmsError} `ERR_QUEUE_FULL`, or `ERR_DEADLINE_EXCEEDED` when the deadline has passed already.
   */
  async add(request: HsmRequest, options: CallOptions): Promise<HsmAnswer> {
    const { deadlineMs, signal } = options
    const leftMs = deadlineMs - this.#clock.nowMs()
    if (leftMs <= 0 || signal?.aborted === true) throw tooLate()
    if (this.#waiting.length >= MAX_WAITING_CALLS) {
      throw new KmsError('ERR_QUEUE_FULL', `${MAX_WAITING_CALLS} calls wait for the HSM process already`)
    }
    const wake = new AbortController()
    const stopWaiting = (): void => wake.abort(WOKEN)
    signal?.addEventListener('abort', stopWaiting, { once: true })
    let isSettled = false
    try {
      return await new Promise((resolve, reject) => {
        const call: Call = { id: ++this.#lastId, resolve, reject, isAbandoned: false }
        this.#waiting.push({ call, request })
        void this.#clock.sleep(leftMs, wake.signal).then(() => {
          if (!isSettled) this.#leave(call)
        })
      })
    } finally {
      isSettled = true
      signal?.removeEventListener('abort', stopWaiting)
      stopWaiting()
    }
  }

  /** The call that waits longest; it is under way from now on. */
  next(): DispatchedCall | undefined {
    const first = this.#waiting.shift()
    if (first === undefined) return undefined
    this.#underWay.set(first.call.id, first.call)
    return { id: first.call.id, request: first.request }
  }

  /** The caller owns `result.bytes` from now on; an answer that nobody waits for is wiped. */
  resolve(id: number, result: HsmAnswer): void {
    const call = this.#answered(id)
    if (call === undefined) result.bytes.fill(0)
    else call.resolve(result)
  }

  reject(id: number, error: KmsError): void {
    this.#answered(id)?.reject(error)
  }

  rejectAll(error: KmsError): void {
    const calls = [...this.#underWay.values(), ...this.#waiting.splice(0).map(({ call }) => call)]
    this.#underWay.clear()
    for (const call of calls) call.reject(error)
  }

  #answered(id: number): Call | undefined {
    const call = this.#underWay.get(id)
    this.#underWay.delete(id)
    if (call !== undefined && !call.isAbandoned) return call
    this.#dropped += 1
    return undefined
  }

  /** Has no effect on a call that was answered. */
  #leave(call: Call): void {
    call.isAbandoned = true
    const place = this.#waiting.findIndex((waiting) => waiting.call === call)
    if (place >= 0) this.#waiting.splice(place, 1)
    call.reject(tooLate())
  }
}

function tooLate(): KmsError {
  return new KmsError('ERR_DEADLINE_EXCEEDED', 'the HSM did not answer before the deadline of the call')
}
