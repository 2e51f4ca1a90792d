/** Which thread does which call? Runs in the main thread of the HSM process, which itself never calls the module. */
import { Worker } from 'node:worker_threads'
import type { FromHsm, HsmFailure, HsmRequest, HsmTarget, LoginGrant } from '../shared/messages.js'
import { taken, wipe, type Job } from './jobs.js'
import { Renewal } from './renewal.js'
import type { Known } from './sealer.js'
import type { FromThread, ThreadData, ToThread } from './thread_messages.js'

/** Sessions at the token, and calls that it works on at once. */
const THREADS = 4

interface Thread {
  readonly worker: Worker
  job?: Job
  /** It has a session at the token as it is now. */
  isSeated: boolean
  /** What it was told, or told itself, of how the KEK wraps. */
  known?: Known | undefined
}

export class Crew {
  readonly #target: HsmTarget
  readonly #say: (message: FromHsm) => void
  readonly #keeper: Worker
  readonly #threads: Thread[] = []
  readonly #waiting: Job[] = []
  readonly #waitingForLogin: Job[] = []
  readonly #renewal = new Renewal({
    isQuiet: () => this.#isQuiet,
    start: () => post(this.#keeper, { type: 'renew' }),
    giveUp: (job, failure) => this.#failJob(job, failure),
  })
  /** Threads that were hired and have not said yet whether they can serve. */
  #starting = 1
  #isLoginPending = false
  #hasHired = false
  #slot: Uint8Array | undefined
  #known: Known | undefined

  /** @param say Sends to the plugin, and copies the bytes of its message. */
  constructor(target: HsmTarget, say: (message: FromHsm) => void) {
    this.#target = target
    this.#say = say
    this.#keeper = this.#hire({ target })
  }

  /** The plugin lets us log in. */
  grant(grant: LoginGrant): void {
    post(this.#keeper, { type: 'grant', grant })
  }

  /** Keeps its own copy of the bytes and wipes a DEK in `request`. */
  add(id: number, request: HsmRequest): void {
    this.#waiting.push({ id, request: taken(request), wasLoggedOut: false, wasRenewed: false })
    this.#dispatch()
  }

  /**
   * After the first call: until then the keeper is the fastest alone, and what it finds out about the KEK takes one
   * session more than the token may have left for it later.
   */
  #hireOthers(): void {
    if (this.#hasHired) return
    this.#hasHired = true
    for (let i = 1; i < THREADS; i++) this.#seat((slot) => this.#hire({ target: this.#target, slot }))
  }

  #hire(data: ThreadData): Worker {
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: data })
    worker.on('message', (message: FromThread) => this.#receive(worker, message))
    worker.on('error', (error) => this.#fail(`a thread of the HSM process failed: ${error.message}`))
    worker.on('exit', () => this.#ended(worker))
    return worker
  }

  #receive(worker: Worker, message: FromThread): void {
    switch (message.type) {
      case 'ready':
        this.#ready(worker, message.slot)
        break
      case 'loginStarted':
      case 'loginRefused':
        return this.#say(message)
      case 'verdict':
        this.#isLoginPending = false
        this.#say(message.verdict)
        if (message.verdict.type === 'loggedIn') this.#loggedIn()
        return
      case 'failed':
        if (worker === this.#keeper) return this.#keeperFailed(message.failure)
        this.#starting -= 1
        console.error(`one thread less: ${message.failure.text}`)
        break
      case 'loggedOut':
        return this.#loggedOut(worker, message.id, message.failure)
      case 'done':
        this.#learn(worker, message.known)
        this.#renewal.worked()
        this.#say({ type: 'done', id: message.id, result: message.result })
        message.result.bytes.fill(0)
        wipe(this.#release(worker))
        this.#hireOthers()
        break
      case 'error':
        this.#jobFailed(worker, message.failure)
    }
    this.#renewal.proceed()
    this.#dispatch()
  }

  #ready(worker: Worker, slot: Uint8Array): void {
    if (worker === this.#keeper) {
      this.#slot = slot
      this.#askLogin()
    } else {
      this.#starting -= 1
      this.#join(worker)
    }
  }

  #askLogin(): void {
    this.#isLoginPending = true
    this.#say({ type: 'askLogin' })
  }

  #keeperFailed(failure: HsmFailure): void {
    if (this.#renewal.isRunning) this.#renewal.fail()
    else this.#say({ type: 'failed', failure })
  }

  #loggedIn(): void {
    if (this.#threads.length === 0) {
      this.#starting = 0
      this.#join(this.#keeper)
    } else if (this.#renewal.isRunning) {
      for (const thread of this.#threads) {
        if (thread.worker === this.#keeper) continue
        thread.isSeated = false
        this.#seat((slot) => post(thread.worker, { type: 'move', slot }))
      }
      this.#waiting.unshift(...this.#renewal.finish())
    }
    this.#waiting.unshift(...this.#waitingForLogin.splice(0))
    this.#renewal.proceed()
    this.#dispatch()
  }

  #seat(at: (slot: Uint8Array) => void): void {
    if (this.#slot === undefined) return
    this.#starting += 1
    at(this.#slot)
  }

  #join(worker: Worker): void {
    const thread = this.#threads.find((each) => each.worker === worker)
    if (thread !== undefined) thread.isSeated = true
    else {
      this.#threads.push({ worker, isSeated: true })
      this.#say({ type: 'capacity', calls: this.#threads.length })
    }
    this.#dispatch()
  }

  #learn(worker: Worker, known: Known | undefined): void {
    if (known === undefined) return
    this.#known = known
    const thread = this.#threads.find((each) => each.worker === worker)
    if (thread !== undefined) thread.known = known
  }

  #loggedOut(worker: Worker, id: number, failure: HsmFailure): void {
    const job = this.#release(worker)
    if (job?.id !== id) return
    if (job.wasLoggedOut) this.#failOrRenew(job, { ...failure, replace: true })
    else {
      job.wasLoggedOut = true
      this.#waitingForLogin.push(job)
      if (!this.#isLoginPending) this.#askLogin()
    }
    this.#renewal.proceed()
    this.#dispatch()
  }

  #jobFailed(worker: Worker, failure: HsmFailure): void {
    const job = this.#release(worker)
    if (job !== undefined) this.#failOrRenew(job, failure)
  }

  #failOrRenew(job: Job, failure: HsmFailure): void {
    if (!failure.replace || !this.#renewal.take(job, failure)) this.#failJob(job, failure)
  }

  #failJob(job: Job, failure: HsmFailure): void {
    this.#say({ type: 'error', id: job.id, failure })
    wipe(job)
  }

  #dispatch(): void {
    if (this.#renewal.isPending) return
    for (const thread of this.#threads) {
      if (thread.job !== undefined || !thread.isSeated) continue
      const job = this.#waiting.shift()
      if (job === undefined) return
      thread.job = job
      const news = this.#known === undefined || thread.known === this.#known ? {} : { known: this.#known }
      thread.known = this.#known
      post(thread.worker, { type: 'work', id: job.id, request: job.request, ...news })
    }
  }

  /** No thread is in the module, nor on its way there. */
  get #isQuiet(): boolean {
    return (
      this.#starting === 0 && !this.#isLoginPending && this.#threads.every(({ job }) => job === undefined)
    )
  }

  #release(worker: Worker): Job | undefined {
    const thread = this.#threads.find((candidate) => candidate.worker === worker)
    const job = thread?.job
    delete thread?.job
    return job
  }

  /** A thread that never joined is no loss but of speed. */
  #ended(worker: Worker): void {
    const isNeeded = worker === this.#keeper || this.#threads.some((thread) => thread.worker === worker)
    if (isNeeded) this.#fail('a thread of the HSM process ended')
  }

  #fail(text: string): void {
    this.#say({ type: 'failed', failure: { code: 'ERR_BACKEND_UNAVAILABLE', text, replace: true } })
  }
}

function post(worker: Worker, message: ToThread): void {
  worker.postMessage(message)
}
