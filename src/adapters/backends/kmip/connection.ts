/** How do one question and one answer cross one TLS connection? */
import { isIP } from 'node:net'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { Incoming } from './incoming.js'
import { TtlvError } from './ttlv.js'

/** The connection broke, or never was. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost'
  /** Whether a part of an answer had come. */
  readonly hadBegun: boolean

  constructor(cause: unknown, hadBegun: boolean) {
    super('the connection was lost', { cause })
    this.hadBegun = hadBegun
  }
}

const KEEP_ALIVE_MS = 15_000

interface Waiting {
  readonly resolve: (message: Buffer) => void
  readonly reject: (error: Error) => void
}

/**
 * One question at a time: KMIP answers in order, so an answer that nobody waits for any more would be taken for the
 * next one's. Whoever stops waiting therefore ends the connection.
 */
export class Connection {
  readonly #socket: TLSSocket
  #waiting: Waiting | undefined
  readonly #incoming = new Incoming()
  #failure: Error | undefined

  private constructor(socket: TLSSocket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#received(chunk))
    socket.on('error', (error: Error) => this.#lost(error))
    socket.on('close', () => this.#lost(Object.assign(new Error(), { code: 'ECONNRESET' })))
    // Half a connection is of no use.
    socket.on('end', () => socket.destroy())
  }

  /**
   * Resolves when the server's certificate was found good. That ours was, only the first answer proves (TLS 1.3).
   *
   * @throws What node:tls says, or when `signal` aborts.
   */
  static async open(
    host: string,
    port: number,
    tls: ConnectionOptions,
    signal: AbortSignal,
  ): Promise<Connection> {
    signal.throwIfAborted()
    const servername = isIP(host) === 0 ? { servername: host } : {}
    const socket = connect({ ...tls, ...servername, host, port })
    socket.setNoDelay(true)
    // A firewall that forgets idle connections tells nobody.
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    return new Promise((resolve, reject) => {
      const end = (error: Error): void => {
        signal.removeEventListener('abort', leave)
        socket.destroy()
        reject(error)
      }
      const leave = (): void => end(new Error('aborted'))
      signal.addEventListener('abort', leave, { once: true })
      socket.once('error', end)
      socket.once('secureConnect', () => {
        signal.removeEventListener('abort', leave)
        resolve(new Connection(socket))
      })
    })
  }

  get isOpen(): boolean {
    return this.#failure === undefined
  }

  /**
   * The bytes of the answer, which the caller owns and wipes. The question is wiped before this settles.
   *
   * @throws {ConnectionLost} Also when `signal` ends, which ends the connection.
   * @throws {TtlvError} What came is no message, or more than one; that ends the connection as well.
   */
  async exchange(question: Buffer, signal: AbortSignal): Promise<Buffer> {
    const leave = (): void => this.#end(new ConnectionLost(signal.reason, this.#incoming.length > 0))
    try {
      signal.throwIfAborted()
      if (this.#failure !== undefined) throw this.#failure
      signal.addEventListener('abort', leave, { once: true })
      return await new Promise<Buffer>((resolve, reject) => {
        this.#waiting = { resolve, reject }
        this.#socket.write(question)
      })
    } finally {
      signal.removeEventListener('abort', leave)
      question.fill(0)
    }
  }

  close(): void {
    this.#end(new ConnectionLost(undefined, false))
  }

  #received(chunk: Buffer): void {
    const waiting = this.#waiting
    if (waiting === undefined) {
      this.#end(new TtlvError('was not asked for'))
      return
    }
    try {
      const message = this.#incoming.add(chunk)
      if (message === undefined) return
      this.#waiting = undefined
      waiting.resolve(message)
    } catch (error) {
      this.#end(error instanceof TtlvError ? error : new TtlvError('cannot be read'))
    }
  }

  #lost(cause: Error): void {
    this.#end(new ConnectionLost(cause, this.#incoming.length > 0))
  }

  #end(failure: Error): void {
    this.#failure ??= failure
    const waiting = this.#waiting
    this.#waiting = undefined
    this.#incoming.wipe()
    this.#socket.destroy()
    waiting?.reject(failure)
  }
}
