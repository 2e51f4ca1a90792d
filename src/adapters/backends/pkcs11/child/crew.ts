/** Which thread does which call? Runs in the main thread of the HSM process, which itself never calls the module. */
import type { Worker } from 'node:worker_threads'
import type { FromHsm, HsmFailure, HsmRequest, HsmTarget, LoginGrant } from '../shared/messages.js'
import { taken, wipe, type Job } from './jobs.js'
import { Renewal } from './renewal.js'
import { post, Roster, type Thread } from './roster.js'
import type { Known } from './sealer.js'
import type { FromThread } from './thread_messages.js'

export class Crew {
  readonly #say: (message: FromHsm) => void
  readonly #roster: Roster
  readonly #waiting: Job[] = []
  readonly #waitingForLogin: Job[] = []
  readonly #renewal = new Renewal({
    isQuiet: () => this.#roster.isIdle && !this.#isLoginPending,
    start: () => post(this.#roster.keeper, { type: 'renew' }),
    giveUp: (job, failure) => this.#failJob(job, failure),
  })
  /** From the question for a login until its verdict. The keeper begins with one. */
  #isLoginPending = true
  #isLoggedIn = false
  /** As the keeper saw it last. */
  #tokenIdentity = ''
  #known: Known | undefined

  /** @param say Sends to the plugin, and copies the bytes of its message. */
  constructor(target: HsmTarget, say: (message: FromHsm) => void) {
    this.#say = say
    this.#roster = new Roster(target, {
      message: (worker, message) => this.#receive(worker, message),
      lost: (text) => {
        say({ type: 'failed', failure: { code: 'ERR_BACKEND_UNAVAILABLE', text, replace: true } })
      },
      capacity: (calls) => say({ type: 'capacity', calls }),
      isBlocked: () => this.#renewal.isPending,
    })
  }

  /** The plugin lets us log in. */
  grant(grant: LoginGrant): void {
    post(this.#roster.keeper, { type: 'grant', grant })
  }

  /** Keeps its own copy of the bytes and wipes a DEK in `request`. */
  add(id: number, request: HsmRequest): void {
    this.#waiting.push({ id, request: taken(request), wasLoggedOut: false, wasRenewed: false })
    this.#dispatch()
  }

  #receive(worker: Worker, message: FromThread): void {
    switch (message.type) {
      case 'ready':
        this.#ready(worker, message)
        break
      case 'loginStarted':
      case 'loginRefused':
        return this.#say(message)
      case 'verdict':
        this.#isLoginPending = false
        this.#say(message.verdict)
        if (message.verdict.type === 'loggedIn') this.#loggedIn()
        break
      case 'failed':
        this.#threadFailed(worker, message.failure)
        break
      case 'loggedOut':
        this.#loggedOut(worker, message.failure)
        break
      case 'done':
        this.#done(worker, message)
        break
      case 'error':
        this.#failOrRenew(this.#release(worker), message.failure)
    }
    this.#renewal.proceed()
    this.#dispatch()
  }

  #ready(worker: Worker, { slot, tokenIdentity }: Extract<FromThread, { type: 'ready' }>): void {
    if (worker !== this.#roster.keeper) return this.#roster.seated(worker)
    this.#roster.found(slot)
    this.#tokenIdentity = tokenIdentity ?? this.#tokenIdentity
    this.#askLogin()
  }

  #askLogin(): void {
    this.#isLoginPending = true
    this.#say({ type: 'askLogin', tokenIdentity: this.#tokenIdentity })
  }

  #loggedIn(): void {
    if (!this.#isLoggedIn) this.#roster.seated(this.#roster.keeper)
    this.#isLoggedIn = true
    if (this.#renewal.isRunning) {
      this.#roster.moveOthers()
      this.#waiting.unshift(...this.#renewal.finish())
    }
    this.#waiting.unshift(...this.#waitingForLogin.splice(0))
  }

  #threadFailed(worker: Worker, failure: HsmFailure): void {
    if (worker !== this.#roster.keeper) this.#roster.failed(worker, failure)
    else if (this.#renewal.isRunning) this.#renewal.fail()
    else this.#say({ type: 'failed', failure })
  }

  #loggedOut(worker: Worker, failure: HsmFailure): void {
    const job = this.#release(worker)
    if (job === undefined || job.wasLoggedOut) return this.#failOrRenew(job, { ...failure, replace: true })
    job.wasLoggedOut = true
    this.#waitingForLogin.push(job)
    if (!this.#isLoginPending) this.#askLogin()
  }

  #done(worker: Worker, { id, result, known }: Extract<FromThread, { type: 'done' }>): void {
    if (known !== undefined) {
      this.#known = known
      const thread = this.#threadOf(worker)
      if (thread !== undefined) thread.known = known
    }
    this.#renewal.worked()
    this.#say({ type: 'done', id, result })
    result.bytes.fill(0)
    wipe(this.#release(worker))
    this.#roster.hireOthers()
  }

  #failOrRenew(job: Job | undefined, failure: HsmFailure): void {
    if (job === undefined) return
    if (!failure.replace || !this.#renewal.take(job, failure)) this.#failJob(job, failure)
  }

  #failJob(job: Job, failure: HsmFailure): void {
    this.#say({ type: 'error', id: job.id, failure })
    wipe(job)
  }

  #dispatch(): void {
    if (this.#renewal.isPending) return
    for (const thread of this.#roster.threads) {
      if (thread.job !== undefined || !thread.isSeated) continue
      const job = this.#waiting.shift()
      if (job === undefined) return
      thread.job = job
      const news = this.#known === undefined || thread.known === this.#known ? {} : { known: this.#known }
      thread.known = this.#known
      post(thread.worker, { type: 'work', id: job.id, request: job.request, ...news })
    }
  }

  #threadOf(worker: Worker): Thread | undefined {
    return this.#roster.threads.find((thread) => thread.worker === worker)
  }

  #release(worker: Worker): Job | undefined {
    const thread = this.#threadOf(worker)
    const job = thread?.job
    delete thread?.job
    return job
  }
}
