/** How is a vault asked one thing over the REST API of Azure Key Vault? */
import type { BackendDeps } from '../backend.js'
import { HttpClient } from '../remote/http_client.js'
import { jsonObject, jsonObjectIfAny, type JsonObject } from '../remote/json_answer.js'
import { retryAfterMs } from '../remote/retry_after.js'
import { isManagedHsm } from './cloud.js'
import type { AzureSettings } from './settings.js'

/** The oldest that has all that is used here; every cloud and every Managed HSM serves it. */
const API_VERSION = '7.4'

export interface VaultRequest {
  readonly method: 'GET' | 'POST'
  /** `/keys/kek`. */
  readonly path: string
  /** Beside the version of the API. */
  readonly query?: Readonly<Record<string, string>>
  readonly body?: JsonObject
  /** Absent for the one question that asks which token is wanted; that one has no body. */
  readonly token?: string
}

export interface VaultReply {
  readonly status: number
  readonly body: JsonObject
  /** `WWW-Authenticate`. */
  readonly challenge: string | undefined
  readonly retryAfterMs: number | undefined
}

/** `Azure Key Vault at https://my-vault.vault.azure.net`, for messages. */
export function serviceOf(settings: AzureSettings): string {
  const product = isManagedHsm(settings) ? 'Azure Managed HSM' : 'Azure Key Vault'
  return `${product} at ${new URL(settings.vaultUrl).origin}`
}

export class VaultClient {
  readonly service: string
  readonly #http: HttpClient

  constructor(settings: AzureSettings, { callTimeoutMs: timeoutMs, logger }: BackendDeps) {
    this.service = serviceOf(settings)
    const { vaultUrl, caFile } = settings
    this.#http = new HttpClient({
      url: new URL(vaultUrl),
      service: this.service,
      tls: { caFile },
      timeoutMs,
      logger,
    })
  }

  /**
   * Any answer, whatever its status.
   *
   * @throws {KmsError} As `HttpClient.send`; `ERR_BACKEND_RESPONSE` for a success that is no JSON object.
   */
  async ask({ method, path, query, body, token }: VaultRequest, signal?: AbortSignal): Promise<VaultReply> {
    const answer = await this.#http.send(
      {
        method,
        path: `${path}?${new URLSearchParams({ 'api-version': API_VERSION, ...query }).toString()}`,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      },
      signal,
    )
    const { status, headers } = answer
    return {
      status,
      body: status === 200 ? jsonObject(answer, this.service) : jsonObjectIfAny(answer),
      challenge: headers['www-authenticate'],
      retryAfterMs: retryAfterMs(headers['retry-after']),
    }
  }

  /** Requests under way fail with `ERR_SHUTTING_DOWN`. */
  close(): void {
    this.#http.close()
  }
}
