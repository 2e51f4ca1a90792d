/** Which thread does which call? Runs in the main thread of the HSM process, which itself never calls the module. */
import { Worker } from 'node:worker_threads'
import type { FromHsm, HsmFailure, HsmRequest, HsmTarget, LoginGrant } from '../messages.js'
import type { FromThread, ThreadData, ToThread } from './thread_messages.js'

/** Sessions at the token, and calls that it works on at once. */
const THREADS = 4

interface Job {
  readonly id: number
  readonly request: HsmRequest
  /** Was sent back once for want of a login. */
  wasLoggedOut: boolean
}

interface Thread {
  readonly worker: Worker
  job?: Job
}

export class Crew {
  readonly #target: HsmTarget
  readonly #say: (message: FromHsm) => void
  readonly #keeper: Worker
  readonly #threads: Thread[] = []
  readonly #waiting: Job[] = []
  readonly #waitingForLogin: Job[] = []
  #slot: Uint8Array | undefined

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
    this.#waiting.push({ id, request: taken(request), wasLoggedOut: false })
    this.#dispatch()
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
        if (worker !== this.#keeper) return this.#join(worker)
        this.#slot = message.slot
        return this.#say({ type: 'askLogin' })
      case 'loginStarted':
        return this.#say(message)
      case 'verdict':
        this.#say(message.verdict)
        if (message.verdict.type === 'loggedIn') this.#loggedIn()
        return
      case 'failed':
        if (worker === this.#keeper) return this.#say(message)
        return console.error(`one thread less: ${message.failure.text}`)
      case 'loggedOut':
        return this.#loggedOut(worker, message.id, message.failure)
      case 'done':
      case 'error':
        this.#say(message)
        if (message.type === 'done') message.result.bytes.fill(0)
        this.#finish(worker)
        return this.#dispatch()
    }
  }

  #loggedIn(): void {
    if (this.#threads.length === 0) {
      this.#join(this.#keeper)
      const slot = this.#slot
      if (slot !== undefined) {
        for (let i = 1; i < THREADS; i++) this.#hire({ target: this.#target, slot })
      }
    }
    this.#waiting.unshift(...this.#waitingForLogin.splice(0))
    this.#dispatch()
  }

  #join(worker: Worker): void {
    this.#threads.push({ worker })
    this.#say({ type: 'capacity', calls: this.#threads.length })
    this.#dispatch()
  }

  #loggedOut(worker: Worker, id: number, failure: HsmFailure): void {
    const job = this.#threads.find((thread) => thread.worker === worker)?.job
    if (job === undefined) return
    if (job.wasLoggedOut) {
      this.#finish(worker)
      return this.#say({ type: 'error', id, failure: { ...failure, replace: true } })
    }
    job.wasLoggedOut = true
    this.#release(worker)
    if (this.#waitingForLogin.push(job) === 1) this.#say({ type: 'askLogin' })
    this.#dispatch()
  }

  #dispatch(): void {
    for (const thread of this.#threads) {
      if (thread.job !== undefined) continue
      const job = this.#waiting.shift()
      if (job === undefined) return
      thread.job = job
      post(thread.worker, { type: 'work', id: job.id, request: job.request })
    }
  }

  #release(worker: Worker): Job | undefined {
    const thread = this.#threads.find((candidate) => candidate.worker === worker)
    const job = thread?.job
    delete thread?.job
    return job
  }

  #finish(worker: Worker): void {
    const job = this.#release(worker)
    if (job?.request.op === 'wrap') job.request.dek.fill(0)
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

/** Own memory for what stays here while a thread works, and no more than it needs: a clone copies all of it. */
function taken(request: HsmRequest): HsmRequest {
  if (request.op === 'wrap') {
    const dek = Uint8Array.from(request.dek)
    request.dek.fill(0)
    return { op: 'wrap', dek }
  }
  if (request.op === 'unwrap') {
    const { ckaId, checkValue } = request.identity
    const identity = { ckaId: Uint8Array.from(ckaId), checkValue: Uint8Array.from(checkValue) }
    return { op: 'unwrap', wrapped: Uint8Array.from(request.wrapped), identity }
  }
  return request
}

function post(worker: Worker, message: ToThread): void {
  worker.postMessage(message)
}
