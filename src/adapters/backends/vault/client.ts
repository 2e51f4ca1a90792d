/** How is Vault asked one thing over its HTTP API? */
import type { BackendDeps } from '../backend.js'
import { HttpClient, type HttpAnswer } from '../remote/http_client.js'
import { jsonObject, jsonObjectIfAny, type JsonObject } from '../remote/json_answer.js'
import { retryAfterMs } from '../remote/retry_after.js'
import type { VaultSettings } from './settings.js'
import type { VaultToken } from './token.js'

export interface VaultRequest {
  readonly method: 'GET' | 'POST'
  /** Behind `/v1/`, as an operator writes it: `transit/keys/kek`. */
  readonly path: string
  readonly body?: JsonObject
  /** Absent where one logs in. */
  readonly token?: VaultToken
}

export interface VaultReply {
  readonly status: number
  readonly body: JsonObject
  readonly retryAfterMs: number | undefined
}

type ClientDeps = Pick<BackendDeps, 'logger' | 'clock' | 'onHttpRequest'>

export class VaultClient {
  /** In messages: `Vault at https://vault:8200`. */
  readonly service: string
  readonly #namespace: string | undefined
  readonly #http: HttpClient
  readonly #deps: ClientDeps

  /** @param timeoutMs How long one request may take. */
  constructor(settings: VaultSettings, timeoutMs: number, deps: ClientDeps) {
    this.#deps = deps
    const { url, namespace, caFile, clientCertFile, clientKeyFile } = settings
    this.service = `Vault at ${url}`
    this.#namespace = namespace
    this.#http = new HttpClient({
      url: new URL(url),
      service: this.service,
      tls: { caFile, clientCertFile, clientKeyFile },
      timeoutMs,
      logger: deps.logger,
    })
  }

  /**
   * Any answer, whatever its status.
   *
   * @throws {KmsError} As `HttpClient.send`; `ERR_BACKEND_RESPONSE` for a success that is no JSON object.
   */
  async ask(request: VaultRequest, signal?: AbortSignal): Promise<VaultReply> {
    const answer = await this.#observed(request, async () => this.#sent(request, signal))
    const { status, headers } = answer
    const isSuccess = status >= 200 && status < 300 && status !== 204
    return {
      status,
      body: isSuccess ? jsonObject(answer, this.service) : jsonObjectIfAny(answer),
      retryAfterMs: retryAfterMs(headers['retry-after']),
    }
  }

  /** Requests under way fail with `ERR_SHUTTING_DOWN`. */
  close(): void {
    this.#http.close()
  }

  async #sent({ method, path, body, token }: VaultRequest, signal?: AbortSignal): Promise<HttpAnswer> {
    return this.#http.send(
      {
        method,
        path: `/v1/${encoded(path)}`,
        headers: {
          // A Vault Agent in between may insist on it, since no browser can be made to send it.
          'x-vault-request': 'true',
          ...(this.#namespace === undefined ? {} : { 'x-vault-namespace': this.#namespace }),
          ...(token === undefined ? {} : { 'x-vault-token': token.text }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      },
      signal,
    )
  }

  /** Paths are fixed ones with names of the config file in them: few. */
  async #observed({ method, path }: VaultRequest, send: () => Promise<HttpAnswer>): Promise<HttpAnswer> {
    const { clock, onHttpRequest } = this.#deps
    const startMs = clock.nowMs()
    let status: number | undefined
    try {
      const answer = await send()
      status = answer.status
      return answer
    } finally {
      onHttpRequest?.({ method, path: `/v1/${path}`, status, seconds: (clock.nowMs() - startMs) / 1000 })
    }
  }
}

function encoded(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}
