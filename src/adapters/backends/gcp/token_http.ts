/** One request on the way to an access token: over our own client, whoever asks. */
import { KmsError } from '../../../ports/errors.js'
import type { Logger } from '../../../ports/logger.js'
import { HttpClient, type HttpAnswer, type HttpRequest } from '../remote/http_client.js'
import { isLoopback } from '../remote/settings.js'

/** Metadata servers of clouds speak no TLS; nothing but this machine hears them. */
const LINK_LOCAL = new Set([
  '169.254.169.254',
  'metadata.google.internal',
  '[fd00:ec2::254]',
  '[fd20:ce::254]',
])

export interface TokenHttpOptions {
  readonly caFile: string | undefined
  /** For one request. */
  readonly timeoutMs: number
  readonly logger: Logger
}

export interface TokenRequest extends Pick<HttpRequest, 'method' | 'headers' | 'body'> {
  readonly url: URL
  /** In messages. */
  readonly service: string
}

export class TokenHttp {
  readonly #options: TokenHttpOptions
  readonly #clients = new Map<string, HttpClient>()
  #isClosed = false

  constructor(options: TokenHttpOptions) {
    this.#options = options
  }

  /** @throws {KmsError} As {@link HttpClient.send}; `ERR_CONFIG_INVALID`: a token would cross the network in the clear. */
  async send({ url, service, ...request }: TokenRequest, signal?: AbortSignal): Promise<HttpAnswer> {
    const isSafe = url.protocol === 'https:' || isLoopback(url.hostname) || LINK_LOCAL.has(url.hostname)
    if (!isSafe) {
      throw new KmsError('ERR_CONFIG_INVALID', `the credentials name ${url.origin}: tokens need https://`)
    }
    return this.#clientOf(url.origin, service).send(
      { ...request, path: `${url.pathname}${url.search}` },
      signal,
    )
  }

  close(): void {
    this.#isClosed = true
    for (const client of this.#clients.values()) client.close()
  }

  #clientOf(origin: string, service: string): HttpClient {
    const key = `${origin} ${service}`
    const known = this.#clients.get(key)
    if (known !== undefined) return known
    const { caFile, timeoutMs, logger } = this.#options
    const client = new HttpClient({ url: new URL(origin), service, tls: { caFile }, timeoutMs, logger })
    if (this.#isClosed) client.close()
    this.#clients.set(key, client)
    return client
  }
}
