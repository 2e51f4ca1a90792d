/** Over which connections, with which certificates, and through which proxy is a service reached? */
import { Agent as HttpAgent, type ClientRequest } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import type { ConnectionOptions } from 'node:tls'
import { HttpsProxyAgent } from 'https-proxy-agent'
import { getProxyForUrl } from 'proxy-from-env'
import { KmsError } from '../../../ports/errors.js'
import type { Logger } from '../../../ports/logger.js'
import { isLoopback } from './settings.js'
import { TlsIdentity, type TlsFiles } from './tls_files.js'

export type { TlsFiles } from './tls_files.js'

/** Kept open between calls, so that a call needs no handshake; more at once are opened as needed. */
const POOL = { keepAlive: true, maxSockets: 64, maxFreeSockets: 8, scheduling: 'lifo' } as const

/**
 * The connections to one service. HTTPS_PROXY, ALL_PROXY and NO_PROXY are honoured, in either case; the loopback
 * address is never reached through a proxy.
 */
export class Connections {
  readonly #url: URL
  readonly #tls: TlsIdentity
  readonly #timeoutMs: number
  #current: { readonly agent: HttpAgent; readonly tls: ConnectionOptions | undefined } | undefined

  /** @param timeoutMs How long a request waits for its connection. */
  constructor(url: URL, files: TlsFiles, timeoutMs: number, logger: Logger) {
    this.#url = url
    this.#tls = new TlsIdentity(files, logger)
    this.#timeoutMs = timeoutMs
  }

  /**
   * What node:http and node:https, or an SDK, take as agent. Made anew when one of the files has changed; see
   * tls_files.ts.
   *
   * @throws {KmsError} `ERR_CONFIG_INVALID`: a file cannot be used, and none before it could; `ERR_DEADLINE_EXCEEDED`:
   * `signal` aborted first.
   */
  async agent(signal: AbortSignal): Promise<HttpAgent> {
    const tls = this.#url.protocol === 'http:' ? undefined : await this.#tls.options(signal)
    // One for all who ask at once, since they were given the same object: else each would have connections of its own.
    if (this.#current !== undefined && this.#current.tls === tls) return this.#current.agent
    const agent = this.#makeAgent(tls)
    this.#retire()
    this.#current = { agent, tls }
    return agent
  }

  /** After a failure: the connections that wait for the next call may be dead as well. */
  dropIdle(): void {
    const idle = Object.values(this.#current?.agent.freeSockets ?? {})
    for (const socket of idle.flatMap((sockets) => sockets ?? [])) socket.destroy()
  }

  /** Calls under way keep their connections until they end. */
  #retire(): void {
    this.dropIdle()
    if (this.#current !== undefined) this.#current.agent.maxFreeSockets = 0
  }

  close(): void {
    this.#current?.agent.destroy()
    this.#current = undefined
  }

  #makeAgent(tls: ConnectionOptions | undefined): HttpAgent {
    if (tls === undefined) return new HttpAgent(POOL)
    const proxy = isLoopback(this.#url.hostname) ? '' : getProxyForUrl(this.#url.href)
    return proxy === ''
      ? new HttpsAgent({ ...POOL, ...tls })
      : new TunnelAgent(proxyUrl(proxy), tls, this.#timeoutMs)
  }
}

/**
 * TLS to the service inside a tunnel that an HTTP proxy opens (RFC 9110 section 9.3.6). A tunnel that is not open when
 * its request has given up is ended here: nobody else ends it, and it would keep a place in the pool from the requests
 * that come after an outage.
 */
class TunnelAgent extends HttpsProxyAgent<string> {
  readonly #tls: ConnectionOptions
  readonly #timeoutMs: number
  readonly #toProxy: HttpsProxyAgent<string>['connectOpts']

  constructor(proxy: URL, tls: ConnectionOptions, timeoutMs: number) {
    super(proxy.href, POOL)
    this.#tls = tls
    this.#timeoutMs = timeoutMs
    this.#toProxy = this.connectOpts
  }

  override async connect(
    request: ClientRequest,
    options: Parameters<HttpsProxyAgent<string>['connect']>[1],
  ): ReturnType<HttpsProxyAgent<string>['connect']> {
    let status = 0
    const overdue = new AbortController()
    const timer = setTimeout(() => overdue.abort(), this.#timeoutMs)
    request.once('proxyConnect', (answer: { readonly statusCode: number }) => (status = answer.statusCode))
    try {
      // Read by the library before it waits for anything.
      this.connectOpts = { ...this.#toProxy, signal: overdue.signal }
      const socket = await super.connect(request, { ...options, ...this.#tls } as typeof options)
      if (status === 200) return socket
      // Else the library hands on the proxy's refusal as if it came from the service.
      socket.destroy()
      const { host } = this.proxy
      const text = `the proxy ${host} opens no way to ${options.host ?? 'the service'} (status ${status}); look at HTTPS_PROXY and NO_PROXY`
      throw new KmsError('ERR_BACKEND_UNREACHABLE', text)
    } finally {
      clearTimeout(timer)
    }
  }
}

function proxyUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    throw new KmsError(
      'ERR_CONFIG_INVALID',
      'the proxy that the environment names (HTTPS_PROXY, ALL_PROXY) must be http://host:port',
    )
  }
  return url
}
