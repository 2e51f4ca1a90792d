/** Over which connection does the next call go? */
import type { ConnectionOptions } from 'node:tls'
import type { TlsIdentity } from '../remote/tls_files.js'
import { Connection } from './connection.js'

/**
 * How many calls may be under way at once; the others wait for their turn. Few are: all who wait for one DEK share one
 * unwrap. Each connection costs the server a handshake and often a thread.
 */
const MAX_CONNECTIONS = 4

/** A connection for one call, and what was agreed on it. */
export interface Lease<T> {
  readonly connection: Connection
  readonly tls: ConnectionOptions
  readonly session: T
  /** Whether it stood there before, and may have died meanwhile. */
  readonly isReused: boolean
}

export interface PoolOptions<T> {
  readonly host: string
  readonly port: number
  readonly tls: TlsIdentity
  /** What is said over each new connection before anything else. */
  readonly greet: (connection: Connection, signal: AbortSignal) => Promise<T>
}

export class Pool<T> {
  readonly #options: PoolOptions<T>
  readonly #idle: Lease<T>[] = []
  readonly #open = new Set<Connection>()
  readonly #waiting: (() => void)[] = []
  #turns = MAX_CONNECTIONS
  #isClosed = false

  constructor(options: PoolOptions<T>) {
    this.#options = options
  }

  /** Runs `work` when it is its turn: first come, first served. Whoever leaves the queue at the end of `signal` rejects. */
  async inTurn<R>(signal: AbortSignal, work: () => Promise<R>): Promise<R> {
    await this.#turn(signal)
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#turns += 1
      else next()
    }
  }

  /**
   * One that is open, the last one used first, else a new one. One made with certificates that were replaced since is
   * not used any more.
   *
   * @throws {KmsError} `ERR_CONFIG_INVALID`: a certificate file. Else what node:tls and `greet` throw.
   */
  async lease(signal: AbortSignal): Promise<Lease<T>> {
    const { host, port, tls: identity, greet } = this.#options
    const tls = await identity.options(signal)
    for (let kept = this.#idle.pop(); kept !== undefined; kept = this.#idle.pop()) {
      if (kept.connection.isOpen && kept.tls === tls) return { ...kept, isReused: true }
      this.drop(kept)
    }
    const connection = await Connection.open(host, port, tls, signal)
    this.#open.add(connection)
    if (this.#isClosed) this.close()
    try {
      return { connection, tls, session: await greet(connection, signal), isReused: false }
    } catch (error) {
      this.drop({ connection })
      throw error
    }
  }

  /** For the next call. */
  giveBack(lease: Lease<T>): void {
    if (lease.connection.isOpen) this.#idle.push(lease)
    else this.drop(lease)
  }

  drop({ connection }: Pick<Lease<T>, 'connection'>): void {
    connection.close()
    this.#open.delete(connection)
  }

  /** After a failure: those that wait for the next call may be dead as well. */
  dropIdle(): void {
    for (const kept of this.#idle.splice(0)) this.drop(kept)
  }

  /** Calls under way fail. */
  close(): void {
    this.#isClosed = true
    this.#idle.splice(0)
    for (const connection of this.#open) this.drop({ connection })
  }

  async #turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#turns > 0) {
      this.#turns -= 1
      return
    }
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1)
        reject(new Error('aborted'))
      }
      const enter = (): void => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      this.#waiting.push(enter)
      signal.addEventListener('abort', leave, { once: true })
    })
  }
}
