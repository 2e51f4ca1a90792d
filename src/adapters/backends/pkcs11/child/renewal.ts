/**
 * When is the module initialised anew, before the whole process is replaced?
 *
 * Once in a row: some modules need C_Finalize and C_Initialize after their device was away, and that is tens of
 * times faster than a new process. Only while no thread is in the module, which nothing but C_Finalize itself
 * survives. What it does not mend, a new process may.
 */
import type { HsmFailure } from '../shared/messages.js'
import type { Job } from './jobs.js'

/** How long calls of other threads may take to end. One that hangs is the business of a new process. */
const QUIET_WITHIN_MS = 300

export interface RenewalActions {
  readonly isQuiet: () => boolean
  readonly start: () => void
  readonly giveUp: (job: Job, failure: HsmFailure) => void
}

export class Renewal {
  readonly #actions: RenewalActions
  #state: 'possible' | 'waiting' | 'running' | 'spent' = 'spent'
  #held: { readonly job: Job; readonly failure: HsmFailure }[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(actions: RenewalActions) {
    this.#actions = actions
  }

  /** No call may be given to a thread. */
  get isPending(): boolean {
    return this.#state === 'waiting' || this.#state === 'running'
  }

  get isRunning(): boolean {
    return this.#state === 'running'
  }

  /** A call has worked: the next failure is a new one. */
  worked(): void {
    if (this.#state === 'spent') this.#state = 'possible'
  }

  /** Keeps a call that failed, to try it again after a renewal; `false` when there will be none. */
  take(job: Job, failure: HsmFailure): boolean {
    if (job.wasRenewed || this.#state === 'spent' || this.#state === 'running') return false
    this.#held.push({ job, failure })
    if (this.#state === 'possible') {
      this.#state = 'waiting'
      this.#timer = setTimeout(() => this.fail(), QUIET_WITHIN_MS)
    }
    return true
  }

  /** Starts when nothing is in its way any more. */
  proceed(): void {
    if (this.#state !== 'waiting' || !this.#actions.isQuiet()) return
    clearTimeout(this.#timer)
    this.#state = 'running'
    this.#actions.start()
  }

  /** The module is initialised and logged in again. Returns the calls to try again. */
  finish(): Job[] {
    this.#state = 'spent'
    return this.#held.splice(0).map(({ job }) => {
      job.wasRenewed = true
      return job
    })
  }

  /** It did not come to that, or did not help: the calls fail as they had. */
  fail(): void {
    clearTimeout(this.#timer)
    this.#state = 'spent'
    for (const { job, failure } of this.#held.splice(0)) this.#actions.giveUp(job, failure)
  }
}
