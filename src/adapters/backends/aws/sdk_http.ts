/** How do the requests of the SDK go out? Through our own connections, like those of every other backend. */
import { KmsError } from '../../../ports/errors.js'
import type { Logger } from '../../../ports/logger.js'
import { HttpClient } from '../remote/http_client.js'
import { isLoopback } from '../remote/settings.js'

/** What the SDK hands to its request handler; more fields than these are not used by KMS and STS. */
interface SdkRequest {
  readonly protocol: string
  readonly hostname: string
  readonly port?: number | undefined
  readonly method: string
  readonly path: string
  readonly query?: Readonly<Record<string, string | readonly string[] | null>>
  readonly headers: Readonly<Record<string, string>>
  readonly body?: unknown
}

const KMS = 'AWS KMS'

interface SdkResponse {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

export interface SdkHttpOptions {
  readonly caFile: string | undefined
  /** How long one request to KMS may take, whatever the caller says. */
  readonly timeoutMs: number
  /** As {@link timeoutMs}, of a service that gives credentials: it may be further away, and nobody waits alone. */
  readonly credentialsTimeoutMs: number
  readonly logger: Logger
}

/**
 * A request handler for the clients of the SDK: TLS 1.2 or newer, the CA file, proxies, no redirects, answers of
 * bounded size, dead connections replaced. Fails with `KmsError`, which the SDK passes on as it is.
 */
export class SdkHttp {
  readonly metadata = { handlerProtocol: 'http/1.1' }
  readonly #options: SdkHttpOptions
  /** One for each service that the SDK talks to: KMS, and STS when it gives the credentials. */
  readonly #clients = new Map<string, HttpClient>()
  #isClosed = false

  constructor(options: SdkHttpOptions) {
    this.#options = options
  }

  async handle(
    request: SdkRequest,
    options: { readonly abortSignal?: unknown } = {},
  ): Promise<{ response: SdkResponse }> {
    if (this.#isClosed) throw new KmsError('ERR_SHUTTING_DOWN', 'the plugin is stopping')
    const url = originOf(request)
    const answer = await this.#client(url, serviceOf(request)).send(
      {
        method: request.method === 'GET' ? 'GET' : 'POST',
        path: `${request.path}${queryOf(request)}`,
        headers: request.headers,
        ...bodyOf(request),
      },
      options.abortSignal instanceof AbortSignal ? options.abortSignal : undefined,
    )
    const headers = Object.entries(answer.headers).map(([name, value]) => [name, [value].flat().join(', ')])
    return {
      response: {
        statusCode: answer.status,
        headers: Object.fromEntries(headers) as Record<string, string>,
        body: answer.body,
      },
    }
  }

  /** Requests under way fail with `ERR_SHUTTING_DOWN`, as do all after it. */
  destroy(): void {
    this.#isClosed = true
    for (const client of this.#clients.values()) client.close()
  }

  /** The SDK asks for both; there is nothing in here for it to change. */
  updateHttpClientConfig(): void {}
  httpHandlerConfigs(): Record<string, never> {
    return {}
  }

  #client(url: URL, name: string): HttpClient {
    // An endpoint for all services (AWS_ENDPOINT_URL) is one origin.
    const id = `${name} ${url.origin}`
    const known = this.#clients.get(id)
    if (known !== undefined) return known
    const { caFile, timeoutMs, credentialsTimeoutMs, logger } = this.#options
    const client = new HttpClient({
      url,
      service: `${name} at ${url.origin}`,
      tls: { caFile },
      timeoutMs: name === KMS ? timeoutMs : credentialsTimeoutMs,
      logger,
    })
    this.#clients.set(id, client)
    return client
  }
}

function originOf({ protocol, hostname, port }: SdkRequest): URL {
  const url = new URL(`${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`)
  // The environment may name endpoints as well (AWS_ENDPOINT_URL): DEKs and tokens cross the network.
  if (url.protocol === 'https:' || isLoopback(url.hostname)) return url
  throw new KmsError('ERR_CONFIG_INVALID', `the endpoint ${url.origin} must begin with https://`)
}

function serviceOf({ headers }: SdkRequest): string {
  return headers['x-amz-target'] === undefined ? 'AWS STS' : KMS
}

function queryOf({ query = {} }: SdkRequest): string {
  const pairs = Object.entries(query).flatMap(([name, values]) =>
    [values].flat().map((value) => [name, value ?? ''] as [string, string]),
  )
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs).toString()}`
}

function bodyOf({ body }: SdkRequest): { body?: string } {
  if (typeof body === 'string') return { body }
  if (!(body instanceof Uint8Array)) return {}
  // It may hold a DEK, and the SDK, which does not try again, has no use for it any more.
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const text = bytes.toString('utf8')
  bytes.fill(0)
  return { body: text }
}
