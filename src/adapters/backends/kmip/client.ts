/** How is the server asked? Bounded in time, over connections that are kept, in the version that both speak. */
import { randomBytes } from 'node:crypto'
import { KmsError } from '../../../ports/errors.js'
import type { Logger } from '../../../ports/logger.js'
import { errorCode } from '../system_error.js'
import { CallEnds } from '../remote/call_ends.js'
import { TlsIdentity, type TlsFiles } from '../remote/tls_files.js'
import { transportError } from '../remote/transport_error.js'
import { ConnectionLost, type Connection } from './connection.js'
import { Refused } from './errors.js'
import type { Fields } from './fields.js'
import { decodeAnswer, encodeQuestion, type Answer, type Question } from './messages.js'
import { negotiate } from './negotiation.js'
import { Pool, type Lease } from './pool.js'
import type { Operation } from './tags.js'
import { TtlvError } from './ttlv.js'
import { ourVersions, type KmipVersion } from './version.js'

export interface KmipClientOptions {
  readonly host: string
  readonly port: number
  readonly tls: TlsFiles
  /** How long a call may take, the handshake included, whatever the caller says. */
  readonly timeoutMs: number
  readonly logger: Logger
  /** Those that we would speak, the best first; only tests name others. */
  readonly versions?: readonly KmipVersion[] | undefined
}

/** One operation, its payload written in the version that the connection has. */
export interface KmipCall<T> {
  readonly operation: Operation
  readonly payload: (version: KmipVersion) => Fields
  /**
   * Reads the answer. What it keeps of bytes it copies: the message is wiped afterwards.
   *
   * @throws {TtlvError} When the answer is not one that KMIP allows.
   */
  readonly read: (payload: Fields, version: KmipVersion) => T
}

/** How a server says that it does not read messages of this version any more. */
const staleVersion: readonly number[] = [0x04, 0x3f]

const HUNG_UP: readonly string[] = ['ECONNRESET', 'EPIPE']

/** Enough to tell one answer from another. */
const ID_BYTES = 8

export class KmipClient {
  /** In messages. */
  readonly service: string
  readonly #options: KmipClientOptions
  readonly #pool: Pool<KmipVersion>
  readonly #ends = new CallEnds()
  #version: KmipVersion | undefined

  constructor(options: KmipClientOptions) {
    const { host, port, tls, logger, versions = ourVersions } = options
    this.#options = options
    this.service = `the KMIP server at ${host.includes(':') ? `[${host}]` : host}:${port}`
    this.#pool = new Pool({
      host,
      port,
      tls: new TlsIdentity(tls, logger),
      greet: async (connection, signal) => this.#greet(connection, versions, signal),
    })
  }

  /**
   * A connection that turns out to be closed when it is used again is replaced once, at no cost to the caller: whatever
   * is asked through here may be asked twice.
   *
   * @throws {Refused} When the server answers that it does not do it.
   * @throws {KmsError} `ERR_BACKEND_UNREACHABLE`: no connection, or it broke; `ERR_BACKEND_RESPONSE`: no answer that
   * KMIP allows; `ERR_DEADLINE_EXCEEDED`; `ERR_SHUTTING_DOWN`; `ERR_CONFIG_INVALID`: a certificate file, no version in common.
   */
  async call<T>(call: KmipCall<T>, signal?: AbortSignal): Promise<T> {
    return this.#ends.during(this.#options.timeoutMs, signal, async (ended) => this.#called(call, ended))
  }

  /** That of the newest connection; `undefined` before the first. */
  get version(): KmipVersion | undefined {
    return this.#version
  }

  /** Calls under way fail with `ERR_SHUTTING_DOWN`. */
  close(): void {
    this.#ends.close()
    this.#pool.close()
  }

  async #called<T>(call: KmipCall<T>, ended: AbortSignal): Promise<T> {
    try {
      return await this.#pool.inTurn(ended, async () => {
        const first = await this.#attempt(call, ended)
        if (first !== 'stale') return first.value
        this.#pool.dropIdle()
        const second = await this.#attempt(call, ended)
        if (second !== 'stale') return second.value
        throw new ConnectionLost(Object.assign(new Error(), { code: 'ECONNRESET' }), false)
      })
    } catch (error) {
      throw this.#told(error, ended)
    }
  }

  async #attempt<T>(call: KmipCall<T>, signal: AbortSignal): Promise<{ readonly value: T } | 'stale'> {
    const lease = await this.#lease(signal)
    const { connection, session: version } = lease
    try {
      const { operation } = call
      const value = await exchange(
        connection,
        { version, operation, payload: call.payload(version) },
        signal,
        (answer) => {
          if (!answer.isSuccess)
            throw new Refused({ reason: answer.reason, message: answer.message, operation })
          return call.read(answer.payload, version)
        },
      )
      this.#pool.giveBack(lease)
      return { value }
    } catch (error) {
      this.#afterFailure(error, lease)
      if (error instanceof ConnectionLost && lease.isReused && !error.hadBegun && !signal.aborted)
        return 'stale'
      throw error
    }
  }

  /** After a refusal the connection is as good as before, unless the server has forgotten the version. */
  #afterFailure(error: unknown, lease: Lease<KmipVersion>): void {
    if (error instanceof Refused && !staleVersion.includes(error.refusal.reason)) {
      this.#pool.giveBack(lease)
      return
    }
    this.#pool.drop(lease)
    this.#pool.dropIdle()
  }

  async #greet(
    connection: Connection,
    versions: readonly KmipVersion[],
    signal: AbortSignal,
  ): Promise<KmipVersion> {
    const ask = async (version: KmipVersion, operation: Operation, payload: Fields): Promise<Answer> =>
      exchange(connection, { version, operation, payload }, signal, (answer) => answer)
    this.#version = await negotiate(ask, versions, this.service)
    return this.#version
  }

  /** Also names what a server may mean that just hangs up: many do so when they dislike a certificate. */
  async #lease(signal: AbortSignal): Promise<Lease<KmipVersion>> {
    try {
      return await this.#pool.lease(signal)
    } catch (error) {
      const cause = error instanceof ConnectionLost ? error.cause : error
      if (signal.aborted || !HUNG_UP.includes(errorCode(cause) ?? '')) throw error
      const text = `${this.service} closed the connection before it had said anything; is it a KMIP server, and does it accept our client certificate?`
      throw new KmsError('ERR_BACKEND_UNREACHABLE', text)
    }
  }

  #told(error: unknown, ended: AbortSignal): Error {
    if (this.#ends.isClosed) return new KmsError('ERR_SHUTTING_DOWN', 'the plugin is stopping')
    if (error instanceof KmsError || error instanceof Refused) return error
    if (ended.aborted) return new KmsError('ERR_DEADLINE_EXCEEDED', `${this.service} did not answer in time`)
    if (error instanceof TtlvError) {
      return new KmsError('ERR_BACKEND_RESPONSE', `an answer of ${this.service} ${error.message}`)
    }
    return transportError(this.service, error instanceof ConnectionLost ? error.cause : error)
  }
}

/** @param read Sees the answer before it is wiped. */
async function exchange<T>(
  connection: Connection,
  asked: Omit<Question, 'id'>,
  signal: AbortSignal,
  read: (answer: Answer) => T,
): Promise<T> {
  const question = { ...asked, id: randomBytes(ID_BYTES) }
  const message = await connection.exchange(encodeQuestion(question), signal)
  try {
    return read(decodeAnswer(message, question))
  } finally {
    message.fill(0)
  }
}
