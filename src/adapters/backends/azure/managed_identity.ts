/** How does a virtual machine in Azure get a token for the identity that Azure has given to it? */
import { isIP } from 'node:net'
import { KmsError } from '../../../ports/errors.js'
import type { BackendDeps } from '../backend.js'
import type { Lease } from '../remote/credential.js'
import { HttpClient, type HttpAnswer } from '../remote/http_client.js'
import { jsonObject, jsonObjectIfAny, textAt } from '../remote/json_answer.js'
import { retryAfterMs } from '../remote/retry_after.js'
import { isLoopback } from '../remote/settings.js'
import { tokenIn, type TokenSource } from './token_source.js'

/**
 * The instance metadata service. Plain HTTP is all that it speaks: its address leads no further than to the host of the
 * virtual machine, and never through a proxy.
 */
const IMDS = 'http://169.254.169.254'
const API_VERSION = '2018-02-01'

/** It is being updated and says so (410), or does not know itself yet (404); both pass within 70 seconds. */
const PASSING: readonly number[] = [404, 408, 410]

export class ManagedIdentity implements TokenSource {
  readonly #clientId: string | undefined
  readonly #deps: BackendDeps
  #http: HttpClient | undefined
  #isClosed = false

  /** @param clientId Of a user-assigned identity; `undefined`: the only one that the machine has. */
  constructor(clientId: string | undefined, deps: BackendDeps) {
    this.#clientId = clientId
    this.#deps = deps
  }

  async obtain(resource: string, signal: AbortSignal): Promise<Lease<string>> {
    const url = endpointOf(this.#deps.env)
    const service = `the managed identity service (IMDS) at ${url.origin}`
    const query = new URLSearchParams({ 'api-version': API_VERSION, resource })
    if (this.#clientId !== undefined) query.set('client_id', this.#clientId)
    const path = `/metadata/identity/oauth2/token?${query.toString()}`
    const answer = await this.#client(url, service).send(
      { method: 'GET', path, headers: { metadata: 'true' } },
      signal,
    )
    if (answer.status === 200) return tokenIn(jsonObject(answer, service), service)
    throw this.#refusal(answer, service)
  }

  close(): void {
    this.#isClosed = true
    this.#http?.close()
  }

  #client(url: URL, service: string): HttpClient {
    if (this.#isClosed) throw new KmsError('ERR_SHUTTING_DOWN', 'the plugin is stopping')
    const { callTimeoutMs: timeoutMs, logger } = this.#deps
    this.#http ??= new HttpClient({ url, service, tls: {}, timeoutMs, logger })
    return this.#http
  }

  #refusal(answer: HttpAnswer, service: string): KmsError {
    const { status, headers } = answer
    const wait = { retryAfterMs: retryAfterMs(headers['retry-after']) }
    const error = textAt(jsonObjectIfAny(answer), 'error') ?? ''
    if (status === 429) return new KmsError('ERR_BACKEND_THROTTLED', `${service} limits our rate`, wait)
    if (status >= 500 || PASSING.includes(status)) {
      return new KmsError('ERR_BACKEND_UNAVAILABLE', `${service} answered ${status}`, wait)
    }
    if (status === 400 && error !== '') {
      const which = this.#clientId === undefined ? 'no identity, or several' : `no identity ${this.#clientId}`
      const cure = this.#clientId === undefined ? 'assign one, or set auth.clientId' : 'assign it'
      return new KmsError(
        'ERR_LOGIN_REFUSED',
        `${service} gives no token: this machine has ${which}; ${cure}`,
      )
    }
    return new KmsError('ERR_BACKEND_RESPONSE', `${service} answered ${status}; is that Azure?`)
  }
}

/** AZURE_POD_IDENTITY_AUTHORITY_HOST moves it, as it does for Azure's own libraries; no further than link-local. */
function endpointOf(env: BackendDeps['env']): URL {
  const name = 'AZURE_POD_IDENTITY_AUTHORITY_HOST'
  const named = env[name]
  if (named === undefined || named === '') return new URL(IMDS)
  const url = URL.canParse(named) ? new URL(named) : undefined
  const host = url?.hostname ?? ''
  const isNear = isLoopback(host) || (isIP(host) === 4 && host.startsWith('169.254.'))
  if (url?.protocol === 'http:' && isNear && url.pathname === '/') return url
  const text = `the environment variable ${name} must be http:// to the loopback address or to 169.254.x.x`
  throw new KmsError('ERR_CONFIG_INVALID', text)
}
