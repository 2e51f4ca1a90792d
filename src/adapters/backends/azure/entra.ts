/** How does one log in to Microsoft Entra, and what does it mean when that is refused? */
import { KmsError } from '../../../ports/errors.js'
import type { BackendDeps } from '../backend.js'
import type { Lease } from '../remote/credential.js'
import { HttpClient, type HttpAnswer } from '../remote/http_client.js'
import { jsonObject, jsonObjectIfAny, textAt } from '../remote/json_answer.js'
import { LoginGuard } from '../remote/login_guard.js'
import { retryAfterMs } from '../remote/retry_after.js'
import { authorityOf } from './cloud.js'
import { clientOf, proofOf, type EntraAuth } from './proof.js'
import type { AzureSettings } from './settings.js'
import { tokenIn, type TokenSource } from './token_source.js'

/** By the number that Entra gives (AADSTS…): what to do about it. */
const hints: Readonly<Record<string, string>> = {
  '7000215': 'the client secret is wrong; use its value, not its id',
  '7000222': 'the client secret has expired; make a new one',
  '700016': 'the tenant has no such application; are tenantId and clientId right?',
  '7000112': 'the application is disabled',
  '90002': 'there is no such tenant; are tenantId and authorityHost right?',
  '900023': 'tenantId is no tenant',
  '700027': 'the application does not know this certificate; upload it to the app registration',
  '700024': 'the proof is not valid now; is the clock of this node right?',
  '50013': 'the proof is not valid; is the clock of this node right, and the service account token renewed?',
  '70021':
    'no federated credential of the application fits issuer, subject and audience of the service account token',
  '700211': 'no federated credential of the application has the issuer of this cluster',
  '700212': 'no federated credential of the application has the audience of the service account token',
  '700213': 'no federated credential of the application has this service account as its subject',
  '500011': 'the tenant does not know Key Vault; is it the tenant of the vault?',
  '53003': 'a Conditional Access policy forbids it',
}

export class EntraLogin implements TokenSource {
  readonly #auth: EntraAuth
  readonly #settings: AzureSettings
  readonly #deps: BackendDeps
  readonly #guard: LoginGuard
  #http: HttpClient | undefined
  #isClosed = false

  constructor(auth: EntraAuth, settings: AzureSettings, deps: BackendDeps) {
    this.#auth = auth
    this.#settings = settings
    this.#deps = deps
    this.#guard = new LoginGuard(deps.clock)
  }

  async obtain(resource: string, signal: AbortSignal): Promise<Lease<string>> {
    const { env } = this.#deps
    const authority = authorityOf(this.#settings, env)
    const client = clientOf(this.#auth, env)
    const path = `/${encodeURIComponent(client.tenantId)}/oauth2/v2.0/token`
    const proof = await proofOf(this.#auth, client, `${authority.origin}${path}`, env)
    const form = new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: client.clientId,
      scope: `${resource}/.default`,
      ...proof.fields,
    })
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    const request = { method: 'POST', path, headers, body: form.toString() } as const
    const service = `Microsoft Entra at ${authority.origin}`
    return this.#guard.attempt([client.tenantId, client.clientId, proof.basis], async () => {
      const answer = await this.#client(authority, service).send(request, signal)
      if (answer.status === 200) return tokenIn(jsonObject(answer, service), service)
      throw refusal(answer, service, `the login of ${client.clientId} in tenant ${client.tenantId}`)
    })
  }

  close(): void {
    this.#isClosed = true
    this.#http?.close()
  }

  #client(url: URL, service: string): HttpClient {
    if (this.#isClosed) throw new KmsError('ERR_SHUTTING_DOWN', 'the plugin is stopping')
    const { callTimeoutMs: timeoutMs, logger } = this.#deps
    const { caFile } = this.#settings
    this.#http ??= new HttpClient({ url, service, tls: { caFile }, timeoutMs, logger })
    return this.#http
  }
}

function refusal(answer: HttpAnswer, service: string, what: string): KmsError {
  const { status, headers } = answer
  const wait = { retryAfterMs: retryAfterMs(headers['retry-after']) }
  const body = jsonObjectIfAny(answer)
  const error = textAt(body, 'error') ?? ''
  const description = textAt(body, 'error_description') ?? ''
  if (status === 429) return new KmsError('ERR_BACKEND_THROTTLED', `${service} limits our rate`, wait)
  if (status >= 500 || error === 'temporarily_unavailable') {
    return new KmsError('ERR_BACKEND_UNAVAILABLE', `${service} answered ${status} to ${what}`, wait)
  }
  // Entra always describes why; a proxy may well have an `error` in JSON of its own.
  const isRefused = [400, 401, 403].includes(status) && /^[a-z_]{1,60}$/.test(error) && description !== ''
  if (!isRefused) return new KmsError('ERR_BACKEND_RESPONSE', `${service} answered ${status} to ${what}`)
  // Its words may quote what was sent; its number says as much.
  const number = /\bAADSTS([0-9]{4,9})\b/.exec(description)?.[1]
  const hint = number === undefined ? undefined : hints[number]
  const named = number === undefined ? error : `AADSTS${number}`
  const why = hint === undefined ? `look ${named} up in the documentation of Entra` : `${hint} (${named})`
  return new KmsError('ERR_LOGIN_REFUSED', `${service} refuses ${what}: ${why}`)
}
