/** What all fakes of a KMS have in common: an HTTP server on loopback that keeps what it was asked and fails on demand. */
import { once } from 'node:events'
import { createServer as createHttp, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttps, type ServerOptions } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { TLSSocket, type PeerCertificate } from 'node:tls'
import { buffer } from 'node:stream/consumers'

export interface FakeRequest {
  readonly method: string
  /** As sent, with the query. */
  readonly url: URL
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
  /** The common name of the client's certificate; `undefined` unless it sent one that the server's `ca` vouches for. */
  readonly clientName: string | undefined
}

export interface FakeAnswer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  /** An object is sent as JSON. */
  readonly body?: object | string
}

export type FakeFault =
  | FakeAnswer
  /** The connection breaks: after the request was read, in the middle of an answer's body, or never while it waits. */
  | 'reset'
  | 'torn'
  | 'stall'

export type Handler = (request: FakeRequest) => FakeAnswer | Promise<FakeAnswer>

export class FakeServer {
  readonly #server: Server
  readonly #handle: Handler
  readonly #scheme: string
  readonly #sockets = new Set<Socket>()
  /** All that were read, faults included. */
  readonly requests: FakeRequest[] = []
  /** Looked at before each request; an answer of its own takes the place of the fake's. */
  fault: ((request: FakeRequest) => FakeFault | undefined) | undefined

  private constructor(handle: Handler, tls: ServerOptions | undefined) {
    this.#handle = handle
    this.#scheme = tls === undefined ? 'http' : 'https'
    const listener = (request: IncomingMessage, response: ServerResponse) => {
      this.#serve(request, response).catch((error: unknown) => {
        if (!response.headersSent) response.writeHead(500)
        response.end(String(error))
      })
    }
    this.#server = tls === undefined ? createHttp(listener) : createHttps(tls, listener)
    this.#server.on('tlsClientError', () => undefined)
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  /** @param tls `undefined`: plain HTTP. */
  static async start(handle: Handler, tls?: ServerOptions): Promise<FakeServer> {
    const fake = new FakeServer(handle, tls)
    fake.#server.listen(0, '127.0.0.1')
    await once(fake.#server, 'listening')
    return fake
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${this.port}`
  }

  /** The next `count` requests that `matches` fail so. */
  failNext(fault: FakeFault, count = 1, matches: (request: FakeRequest) => boolean = () => true): void {
    let left = count
    this.fault = (request) => {
      if (left === 0 || !matches(request)) return undefined
      left -= 1
      return fault
    }
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    // Also those that are still in their TLS handshake.
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const socket = incoming.socket
    const body = await buffer(incoming)
    // A resumed session is authorized and has no certificate if its first handshake had none.
    const peer: Partial<PeerCertificate> =
      socket instanceof TLSSocket && socket.authorized ? socket.getPeerCertificate() : {}
    const request: FakeRequest = {
      method: incoming.method ?? '',
      url: new URL(incoming.url ?? '/', 'http://fake'),
      headers: incoming.headers,
      body,
      clientName: [peer.subject?.CN].flat()[0],
    }
    this.requests.push(request)
    const fault = this.fault?.(request)
    if (fault === 'stall') return
    if (fault === 'reset') {
      socket.destroy()
      return
    }
    const answer = fault === undefined || fault === 'torn' ? await this.#handle(request) : fault
    const text = typeof answer.body === 'object' ? JSON.stringify(answer.body) : (answer.body ?? '')
    const type = typeof answer.body === 'object' ? { 'content-type': 'application/json' } : {}
    const length = { 'content-length': String(Buffer.byteLength(text)) }
    response.writeHead(answer.status, { ...type, ...length, ...answer.headers })
    if (fault !== 'torn') response.end(text)
    else response.write(text.slice(0, text.length / 2), () => socket.destroy())
  }
}
