/** One request to a KMS over HTTP: bounded in time and size, never redirected, nothing secret in its errors. */
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { KmsError } from '../../../ports/errors.js'
import type { Logger } from '../../../ports/logger.js'
import { errorCode } from '../system_error.js'
import { CallEnds } from './call_ends.js'
import { Connections, type TlsFiles } from './connections.js'
import { transportError } from './transport_error.js'

/** Far more than any answer about one key. */
const MAX_ANSWER_BYTES = 1024 * 1024

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'HEAD' | 'LIST'
  /** Behind the path of the service's URL; begins with `/`, its parts percent-encoded, with the query if any. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export interface HttpAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** May hold a DEK: whoever reads it wipes it. */
  readonly body: Buffer
}

export interface HttpClientOptions {
  readonly url: URL
  /** In messages: `Vault at https://vault:8200`. */
  readonly service: string
  readonly tls: TlsFiles
  /** How long a request may take, whatever the caller says. */
  readonly timeoutMs: number
  readonly logger: Logger
}

export class HttpClient {
  readonly #options: HttpClientOptions
  readonly #connections: Connections
  readonly #ends = new CallEnds()

  constructor(options: HttpClientOptions) {
    this.#options = options
    this.#connections = new Connections(options.url, options.tls, options.timeoutMs, options.logger)
  }

  /**
   * Any answer but a redirect, whatever its status.
   *
   * A connection that turns out to be closed when it is used again is replaced once, at no cost to the caller: whatever
   * is sent through here may be sent twice.
   *
   * @throws {KmsError} `ERR_BACKEND_UNREACHABLE`: no connection, or it broke; `ERR_BACKEND_RESPONSE`: a redirect, or
   * too long an answer; `ERR_DEADLINE_EXCEEDED`; `ERR_SHUTTING_DOWN`; `ERR_CONFIG_INVALID`: a certificate file.
   */
  async send(request: HttpRequest, signal?: AbortSignal): Promise<HttpAnswer> {
    return this.#ends.during(this.#options.timeoutMs, signal, async (ended) => this.#sent(request, ended))
  }

  /** Requests under way fail with `ERR_SHUTTING_DOWN`. */
  close(): void {
    this.#ends.close()
    this.#connections.close()
  }

  async #sent(request: HttpRequest, ended: AbortSignal): Promise<HttpAnswer> {
    try {
      const first = await this.#attempt(request, ended)
      if (first !== 'stale') return first
      this.#connections.dropIdle()
      const second = await this.#attempt(request, ended)
      if (second !== 'stale') return second
      throw transportError(this.#options.service, closedEarly())
    } catch (error) {
      this.#connections.dropIdle()
      if (this.#ends.isClosed) throw new KmsError('ERR_SHUTTING_DOWN', 'the plugin is stopping')
      if (error instanceof KmsError) throw error
      if (ended.aborted) {
        throw new KmsError('ERR_DEADLINE_EXCEEDED', `${this.#options.service} did not answer in time`)
      }
      throw transportError(this.#options.service, error)
    }
  }

  async #attempt(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer | 'stale'> {
    signal.throwIfAborted()
    const { url, service } = this.#options
    const agent = await this.#connections.agent(signal)
    signal.throwIfAborted()
    const send = url.protocol === 'http:' ? httpRequest : httpsRequest
    const prefix = url.pathname.replace(/\/$/, '')
    return new Promise((resolve, reject) => {
      const outgoing = send({
        protocol: url.protocol,
        host: url.hostname.replace(/^\[|\]$/g, ''),
        port: url.port,
        method: request.method,
        path: `${prefix}${request.path}`,
        headers: { accept: 'application/json', ...lengthOf(request.body), ...request.headers },
        agent,
        signal,
      })
      // While a request waits for its connection, Node.js keeps the end of its signal to itself.
      const leave = () => reject(new Error('aborted'))
      signal.addEventListener('abort', leave, { once: true })
      let isAnswered = false
      outgoing.on('close', () => {
        signal.removeEventListener('abort', leave)
        // After a 101, which nobody asked for, Node.js lets go of the connection without a word.
        if (!isAnswered) reject(closedEarly())
      })
      outgoing.on('response', (incoming) => {
        isAnswered = true
        readAnswer(incoming, service).then(resolve, reject)
      })
      outgoing.on('error', (error) => {
        const isStale = outgoing.reusedSocket && ['ECONNRESET', 'EPIPE'].includes(errorCode(error) ?? '')
        if (isStale && !signal.aborted) resolve('stale')
        else reject(error)
      })
      outgoing.end(request.body)
    })
  }
}

function closedEarly(): Error {
  return Object.assign(new Error('closed'), { code: 'ECONNRESET' })
}

function lengthOf(body: string | undefined): Record<string, string> {
  return body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
}

async function readAnswer(incoming: IncomingMessage, service: string): Promise<HttpAnswer> {
  const { statusCode: status = 0, headers } = incoming
  if (status >= 300 && status < 400) {
    incoming.destroy()
    const text = `${service} answers with a redirect (${status}), which is not followed; name the address behind it`
    throw new KmsError('ERR_BACKEND_RESPONSE', text)
  }
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > MAX_ANSWER_BYTES) {
      incoming.destroy()
      throw new KmsError(
        'ERR_BACKEND_RESPONSE',
        `${service} answers with more than ${MAX_ANSWER_BYTES} bytes`,
      )
    }
    chunks.push(chunk)
  }
  const body = Buffer.concat(chunks)
  for (const chunk of chunks) chunk.fill(0)
  return { status, headers, body }
}
