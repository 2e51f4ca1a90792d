/** Which threads does the HSM process have, and which of them have a session at the token? */
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { HsmFailure, HsmTarget } from '../shared/messages.js'
import type { Job } from './jobs.js'
import type { Known } from './sealer.js'
import type { FromThread, ThreadData, ToThread } from './thread_messages.js'

/** Before a thread that failed is tried again; doubled from the first to the last. */
const FIRST_PAUSE_MS = 1000
const MAX_PAUSE_MS = 60_000

/** Threads that begin at the same time: each takes a tenth of a second of a core, and calls are done meanwhile. */
const BEGINNING_AT_ONCE = 3

export interface Thread {
  readonly worker: Worker
  job?: Job
  /** It has a session at the token as it is now. */
  isSeated: boolean
  /** What it was told, or told itself, of how the KEK wraps. */
  known?: Known | undefined
}

export interface RosterEvents {
  readonly message: (worker: Worker, message: FromThread) => void
  /** A thread that is needed is gone. */
  readonly lost: (text: string) => void
  /** So many threads can take a call from now on. */
  readonly capacity: (calls: number) => void
  /** No thread may go near the module now. */
  readonly isBlocked: () => boolean
}

export class Roster {
  readonly threads: Thread[] = []
  /** The first thread: it initialises the module and logs in. */
  readonly keeper: Worker
  readonly #target: HsmTarget
  readonly #events: RosterEvents
  /** Threads on their way to a session. */
  #starting = 0
  /** Those of them that never had one. */
  readonly #beginning = new Set<Worker>()
  #hasHired = false
  #pauseMs = FIRST_PAUSE_MS
  #retry: NodeJS.Timeout | undefined
  /** The token's, as the keeper found it last. */
  #slot: Uint8Array | undefined

  constructor(target: HsmTarget, events: RosterEvents) {
    this.#target = target
    this.#events = events
    this.keeper = this.#hire({ target })
  }

  /** No thread has a job, nor is one on its way to a session. */
  get isIdle(): boolean {
    return this.#starting === 0 && this.threads.every(({ job }) => job === undefined)
  }

  /** The keeper has found the token here. */
  found(slot: Uint8Array): void {
    this.#slot = slot
  }

  /** The thread has a session. Also for the keeper, once it has logged in. */
  seated(worker: Worker): void {
    if (worker !== this.keeper) this.#starting -= 1
    const thread = this.threads.find((each) => each.worker === worker)
    if (thread !== undefined) thread.isSeated = true
    else this.threads.push({ worker, isSeated: true })
    this.#sayCapacity()
    // While some have to wait for a session, more would not find one either.
    if (this.#beginning.delete(worker) && this.#retry === undefined) this.#hireMissing()
  }

  /**
   * After the first call: until then the keeper is the fastest alone, and what it finds out about the KEK takes one
   * session more than the token may have left for it later. Does nothing when called again.
   */
  hireOthers(): void {
    if (this.#hasHired) return
    this.#hasHired = true
    this.#fillUp()
  }

  /** The module was initialised anew: all but the keeper need another session. */
  moveOthers(): void {
    for (const thread of this.threads) {
      if (thread.worker !== this.keeper) thread.isSeated = false
    }
    this.#fillUp()
    this.#sayCapacity()
  }

  /** One thread less, for now: the token may have been short of sessions for a moment. */
  failed(worker: Worker, { text }: HsmFailure): void {
    this.#starting -= 1
    this.#beginning.delete(worker)
    console.error(`one thread less: ${text}`)
    if (!this.threads.some((thread) => thread.worker === worker)) void worker.terminate()
    this.#tryLater()
  }

  #tryLater(): void {
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => {
      this.#retry = undefined
      if (this.#starting > 0 || this.#events.isBlocked()) return this.#tryLater()
      // All that failed together are tried together: the pause counts tries, not threads.
      this.#pauseMs = Math.min(MAX_PAUSE_MS, this.#pauseMs * 2)
      this.#fillUp()
    }, this.#pauseMs)
  }

  /** A session for each who lost it, and a thread for each that is missing. */
  #fillUp(): void {
    const slot = this.#slot
    if (slot === undefined) return
    for (const { worker, isSeated } of this.threads) {
      if (isSeated) continue
      this.#starting += 1
      post(worker, { type: 'move', slot })
    }
    if (this.#hasHired) this.#hireMissing()
  }

  #hireMissing(): void {
    const slot = this.#slot
    const { size } = this.#beginning
    const missing = this.#target.parallelCalls - this.threads.length - size
    if (slot === undefined || missing <= 0) return
    if (this.#events.isBlocked()) return this.#tryLater()
    for (let i = Math.min(missing, BEGINNING_AT_ONCE - size); i > 0; i--) {
      this.#starting += 1
      this.#beginning.add(this.#hire({ target: this.#target, slot }))
    }
  }

  /** As many as threads that can do them: a call that waits here would look as if it hung. */
  #sayCapacity(): void {
    this.#events.capacity(this.threads.filter(({ isSeated }) => isSeated).length)
  }

  #hire(data: ThreadData): Worker {
    const worker = new Worker(join(import.meta.dirname, 'worker.js'), { workerData: data })
    worker.on('message', (message: FromThread) => this.#events.message(worker, message))
    worker.on('error', (error) => this.#events.lost(`a thread of the HSM process failed: ${error.message}`))
    worker.on('exit', () => {
      // One that never had a session is no loss but of speed.
      const isNeeded = worker === this.keeper || this.threads.some((thread) => thread.worker === worker)
      if (isNeeded) this.#events.lost('a thread of the HSM process ended')
    })
    return worker
  }
}

export function post(worker: Worker, message: ToThread): void {
  worker.postMessage(message)
}
