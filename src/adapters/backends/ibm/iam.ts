/** How does an API key become the token that the KMS takes? */
import type { Clock } from '../../../ports/clock.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import type { Logger } from '../../../ports/logger.js'
import { Credential, type Lease } from '../remote/credential.js'
import { HttpClient, type HttpAnswer } from '../remote/http_client.js'
import { jsonObject, malformed, textAt } from '../remote/json_answer.js'
import { LoginGuard } from '../remote/login_guard.js'
import { iamError } from './iam_errors.js'

const GRANT_TYPE = 'urn:ibm:params:oauth:grant-type:apikey'

/** Tokens live for an hour; the rest of it is for an outage of IAM. */
const RENEW_AFTER = 0.75

/** Whatever the service says, it is asked once a day. */
const MAX_LIFETIME_S = 86_400

/** Real ones have about 1.5 kB. */
const TOKEN_FORM = /^[\x21-\x7e]{1,16384}$/

/** A refused token that has never been accepted is not replaced sooner: another one would fare no better. */
const REFUSED_TOKEN_REST_MS = 10_000

export interface IamOptions {
  readonly tokenUrl: string
  readonly caFile: string | undefined
  /** @throws {KmsError} */
  readonly readApiKey: () => Promise<string>
  readonly clock: Clock
  readonly logger: Logger
  readonly timeoutMs: number
}

export interface IamToken {
  readonly bearer: string
  readonly obtainedMs: number
  /** The KMS has taken it. */
  isProved: boolean
}

/** One token at a time, for all calls; the API key goes to the token URL and nowhere else. */
export class IamTokens {
  readonly #options: IamOptions
  readonly #http: HttpClient
  readonly #path: string
  readonly #service: string
  readonly #guard: LoginGuard
  readonly #credential: Credential<IamToken>

  constructor(options: IamOptions) {
    const { tokenUrl, caFile, clock, logger, timeoutMs } = options
    const url = new URL(tokenUrl)
    this.#options = options
    this.#path = url.pathname
    this.#service = `IBM Cloud IAM at ${url.origin}`
    this.#http = new HttpClient({
      url: new URL(url.origin),
      service: this.#service,
      tls: { caFile },
      timeoutMs,
      logger,
    })
    this.#guard = new LoginGuard(clock)
    this.#credential = new Credential({
      clock,
      logger,
      what: 'the token of IBM Cloud IAM',
      timeoutMs,
      renewAfter: RENEW_AFTER,
      obtain: async (_held, signal) => this.#obtain(signal),
    })
  }

  /**
   * @throws {KmsError} `ERR_LOGIN_REFUSED`: IAM does not know the API key; it is not asked again at once while the same
   * key stands there. `ERR_BACKEND_*`, `ERR_CONFIG_INVALID`, `ERR_DEADLINE_EXCEEDED`, `ERR_SHUTTING_DOWN`.
   */
  async get(options: Pick<CallOptions, 'signal'>): Promise<IamToken> {
    return this.#credential.get(options)
  }

  /**
   * The KMS has refused this token.
   *
   * @returns Whether another one may be taken: not while one as fresh was refused a moment ago, since then it is the
   * rights of the API key that are missing, and IAM must not be asked in a loop.
   */
  refused(token: IamToken): boolean {
    const ageMs = this.#options.clock.nowMs() - token.obtainedMs
    if (!token.isProved && ageMs < REFUSED_TOKEN_REST_MS) return false
    this.#credential.invalidate(token)
    return true
  }

  close(): void {
    this.#credential.close()
    this.#http.close()
  }

  async #obtain(signal: AbortSignal): Promise<Lease<IamToken>> {
    const apiKey = await this.#options.readApiKey()
    return this.#guard.attempt([apiKey], async () => {
      const obtainedMs = this.#options.clock.nowMs()
      const answer = await this.#http.send(
        {
          method: 'POST',
          path: this.#path,
          headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
          body: new URLSearchParams({ grant_type: GRANT_TYPE, apikey: apiKey }).toString(),
        },
        signal,
      )
      return this.#leaseIn(answer, obtainedMs)
    })
  }

  /** Counts from when we asked, by `expires_in`: `expiration` is a wall clock's, and ours may be wrong. */
  #leaseIn(answer: HttpAnswer, obtainedMs: number): Lease<IamToken> {
    if (answer.status !== 200) throw iamError(this.#service, answer)
    const body = jsonObject(answer, this.#service)
    const bearer = textAt(body, 'access_token') ?? ''
    const lifetimeS = body['expires_in']
    if (!TOKEN_FORM.test(bearer)) throw malformed(this.#service, 'no access_token')
    if (typeof lifetimeS !== 'number' || !(lifetimeS > 0)) {
      throw malformed(this.#service, 'no expires_in')
    }
    return {
      value: { bearer, obtainedMs, isProved: false },
      lifetimeMs: Math.min(lifetimeS, MAX_LIFETIME_S) * 1000,
    }
  }
}
