/** Over which connections, with which certificates, and through which proxy is a service reached? */
import { Agent as HttpAgent, type ClientRequest } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { X509Certificate } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { createSecureContext, type ConnectionOptions, type SecureVersion } from 'node:tls'
import { HttpsProxyAgent } from 'https-proxy-agent'
import { getProxyForUrl } from 'proxy-from-env'
import { asKmsError, KmsError } from '../../../ports/errors.js'
import type { Logger } from '../../../ports/logger.js'
import { errorCode, UNKNOWN_ERROR } from '../system_error.js'
import { isLoopback } from './settings.js'
import { readTrustedFile } from './trusted_file.js'

/** Paths as configured. */
export interface TlsFiles {
  readonly caFile?: string | undefined
  readonly clientCertFile?: string | undefined
  readonly clientKeyFile?: string | undefined
}

const MIN_VERSION: SecureVersion = 'TLSv1.2'

/** Kept open between calls, so that a call needs no handshake; more at once are opened as needed. */
const POOL = { keepAlive: true, maxSockets: 64, maxFreeSockets: 8, scheduling: 'lifo' } as const

/**
 * The connections to one service. HTTPS_PROXY, ALL_PROXY and NO_PROXY are honoured, in either case; the loopback
 * address is never reached through a proxy.
 */
export class Connections {
  readonly #url: URL
  readonly #files: TlsFiles
  readonly #timeoutMs: number
  readonly #logger: Logger
  #flight: Promise<HttpAgent> | undefined
  #current: { readonly agent: HttpAgent; version: string } | undefined

  /** @param timeoutMs How long a request waits for its connection. */
  constructor(url: URL, files: TlsFiles, timeoutMs: number, logger: Logger) {
    this.#url = url
    this.#files = files
    this.#timeoutMs = timeoutMs
    this.#logger = logger
  }

  /**
   * What node:http and node:https, or an SDK, take as agent. Made anew when one of the files has changed; while what
   * stands there then cannot be used (a certificate was replaced, its key not yet), the last one stays.
   *
   * @throws {KmsError} `ERR_CONFIG_INVALID`: a file cannot be used, and none before it could.
   */
  async agent(): Promise<HttpAgent> {
    // One for all who ask at once: else each would have connections of its own.
    this.#flight ??= this.#agentNow().finally(() => {
      this.#flight = undefined
    })
    return this.#flight
  }

  async #agentNow(): Promise<HttpAgent> {
    const version = await this.#versionOfFiles()
    if (this.#current?.version === version) return this.#current.agent
    try {
      const agent = await this.#makeAgent()
      this.#retire()
      this.#current = { agent, version }
      return agent
    } catch (error) {
      if (this.#current === undefined) throw error
      const reason = asKmsError(error).message
      this.#logger.warn('a certificate file was changed and cannot be used; the last one stays', { reason })
      this.#current.version = version
      return this.#current.agent
    }
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

  /** Differs whenever a file was written or replaced. */
  async #versionOfFiles(): Promise<string> {
    const { caFile, clientCertFile, clientKeyFile } = this.#files
    const parts = [caFile, clientCertFile, clientKeyFile].map(async (path) => {
      if (path === undefined) return ''
      // What is wrong with a file is said when it is read.
      const stats = await stat(path, { bigint: true }).catch(() => undefined)
      return stats === undefined ? 'absent' : [stats.dev, stats.ino, stats.size, stats.mtimeNs].join(':')
    })
    return (await Promise.all(parts)).join(' ')
  }

  async #makeAgent(): Promise<HttpAgent> {
    if (this.#url.protocol === 'http:') return new HttpAgent(POOL)
    const tls = await this.#tlsOptions()
    const proxy = isLoopback(this.#url.hostname) ? '' : getProxyForUrl(this.#url.href)
    return proxy === ''
      ? new HttpsAgent({ ...POOL, ...tls })
      : new TunnelAgent(proxyUrl(proxy), tls, this.#timeoutMs)
  }

  async #tlsOptions(): Promise<ConnectionOptions> {
    const { caFile, clientCertFile, clientKeyFile } = this.#files
    const options: ConnectionOptions = { minVersion: MIN_VERSION, rejectUnauthorized: true }
    const ca = caFile && (await readTrustedFile(caFile, 'the CA certificates', 'anybody')).toString('latin1')
    if (ca !== undefined) options.ca = ca
    if (clientCertFile !== undefined && clientKeyFile !== undefined) {
      options.cert = await readTrustedFile(clientCertFile, 'the client certificate', 'anybody')
      options.key = await readTrustedFile(clientKeyFile, 'the key of the client certificate', 'us')
    }
    try {
      if (ca !== undefined) assertCertificates(ca)
      createSecureContext(options)
    } catch (error) {
      const paths = [caFile, clientCertFile, clientKeyFile].filter((path) => path !== undefined).join(', ')
      const text = `${paths}: no PEM certificates, or a key that is not that of the certificate (${errorCode(error) ?? UNKNOWN_ERROR})`
      throw new KmsError('ERR_CONFIG_INVALID', text)
    }
    return options
  }
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** @throws {Error} Not PEM certificates, each of them: Node.js would trust those that it can read, or nobody. */
function assertCertificates(pem: string): void {
  const certificates = pem.match(CERTIFICATE) ?? []
  if (certificates.length === 0) throw new Error('no certificate')
  for (const certificate of certificates) new X509Certificate(certificate)
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
