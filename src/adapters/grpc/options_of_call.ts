/** What the core is told of one call: its deadline, its uid, and by a signal that its caller went away. */
import { KmsError } from '../../ports/errors.js'
import type { CallOptions } from '../../ports/key_wrapper.js'

/** Of a call of grpc-js, what tells that its caller went away. */
export interface Leaving {
  /** Also true once an answered call has ended. */
  readonly cancelled: boolean
  on(event: 'cancelled', listener: () => void): unknown
  off(event: 'cancelled', listener: () => void): unknown
}

/**
 * The signal is made when it is first asked for, and nobody asks for it unless a backend has to be waited for: making
 * one, and aborting it when the stream of an answered call closes, costs more than opening a value.
 */
export class OptionsOfCall implements CallOptions {
  readonly deadlineMs: number
  readonly uid: string | undefined
  readonly #call: Leaving
  #gone: AbortController | undefined
  #leave: (() => void) | undefined

  /** @param deadlineMs On `Clock.nowMs`. */
  constructor(call: Leaving, deadlineMs: number, uid: string | undefined) {
    this.#call = call
    this.deadlineMs = deadlineMs
    this.uid = uid
  }

  get signal(): AbortSignal {
    return (this.#gone ?? this.#listen()).signal
  }

  /** The call was answered: that its stream closes now is no reason to abort anything. */
  answered(): void {
    if (this.#leave !== undefined) this.#call.off('cancelled', this.#leave)
  }

  #listen(): AbortController {
    const gone = new AbortController()
    this.#gone = gone
    this.#leave = () =>
      gone.abort(new KmsError('ERR_CANCELLED', 'the caller cancelled or its deadline passed'))
    if (this.#call.cancelled) this.#leave()
    else this.#call.on('cancelled', this.#leave)
    return gone
  }
}
