/** With which access token do we call now? From a file of credentials or the metadata server; held, and renewed early. */
import type { Clock } from '../../../ports/clock.js'
import { asKmsError, KmsError } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import type { Logger } from '../../../ports/logger.js'
import { Credential, untilAborted, type Lease } from '../remote/credential.js'
import { LoginGuard } from '../remote/login_guard.js'
import { readTrustedFile } from '../remote/trusted_file.js'
import { exchangeForToken, type LoadAuthLibrary } from './auth_library.js'
import { isOnDisk, readCredentials, subjectTokenPath } from './credentials_file.js'
import { credentialsPlace, versionOf, type CredentialsPlace } from './credentials_place.js'
import { metadataToken, metadataUrl } from './metadata_server.js'
import { TokenHttp } from './token_http.js'

export interface AccessToken {
  readonly value: string
  /** The project that pays and whose quota counts, where it is not that of the service account. */
  readonly quotaProject: string | undefined
}

export interface AccessTokensOptions {
  readonly credentials: string | undefined
  readonly caFile: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  /** For one request; there may be several on the way to a token. */
  readonly timeoutMs: number
  readonly clock: Clock
  readonly logger: Logger
  readonly load: LoadAuthLibrary
}

/** A workload with impersonation asks three services, one after the other. */
const REQUESTS_FOR_A_TOKEN = 4

/** Of an hour. The metadata server gives the same token until five minutes before its end. */
const RENEW_AFTER = 0.75

export class AccessTokens {
  readonly #options: AccessTokensOptions
  readonly #http: TokenHttp
  readonly #guard: LoginGuard
  readonly #credential: Credential<AccessToken>
  /** Of the credentials that the token in our hands comes from. */
  #version: string | undefined
  /** One for all: where the file system hangs, more of them would take the threads from everybody else. */
  #look: Promise<void> | undefined

  constructor(options: AccessTokensOptions) {
    const { clock, logger, timeoutMs } = options
    this.#options = options
    this.#http = new TokenHttp(options)
    this.#guard = new LoginGuard(clock)
    this.#credential = new Credential({
      clock,
      logger,
      what: 'the access token for Cloud KMS',
      timeoutMs: timeoutMs * REQUESTS_FOR_A_TOKEN,
      renewAfter: RENEW_AFTER,
      obtain: async (_held, signal) => this.#obtain(signal),
    })
  }

  /**
   * The one that we hold, unless its file of credentials was replaced since by one that can be used.
   *
   * @throws {KmsError} `ERR_CONFIG_INVALID`, `ERR_LOGIN_REFUSED`, `ERR_ACCESS_DENIED`, `ERR_BACKEND_*`,
   * `ERR_DEADLINE_EXCEEDED`, `ERR_SHUTTING_DOWN`.
   */
  async get(options: CallOptions): Promise<AccessToken> {
    if (this.#credential.current !== undefined) await untilAborted(this.#lookForChange(), options.signal)
    return this.#credential.get(options)
  }

  /** Cloud KMS refused it: the next {@link get} obtains another. */
  invalidate(token: AccessToken): void {
    this.#credential.invalidate(token)
  }

  close(): void {
    this.#credential.close()
    this.#http.close()
  }

  async #lookForChange(): Promise<void> {
    this.#look ??= this.#noticeChange().finally(() => {
      this.#look = undefined
    })
    return this.#look
  }

  async #noticeChange(): Promise<void> {
    const place = await this.#place()
    const version = await this.#versionAt(place)
    if (version === this.#version) return
    this.#version = version
    try {
      if (place === undefined) throw new KmsError('ERR_CONFIG_INVALID', 'the file is gone')
      await readCredentials(place)
      // Not the one from before the look: a renewal with the old file may have replaced it meanwhile.
      const held = this.#credential.current
      if (held !== undefined) this.#credential.invalidate(held)
    } catch (error) {
      const reason = asKmsError(error).message
      this.#options.logger.warn('the Google credentials were changed and cannot be used; the token stays', {
        reason,
      })
    }
  }

  async #obtain(signal: AbortSignal): Promise<Lease<AccessToken>> {
    const place = await this.#place()
    const version = await this.#versionAt(place)
    const { env } = this.#options
    const { value, lifetimeMs, quotaProject } =
      place === undefined
        ? { ...(await metadataToken(this.#http, metadataUrl(env), signal)), quotaProject: undefined }
        : await this.#fromFile(place, signal)
    this.#version = version
    return { value: { value, quotaProject }, lifetimeMs }
  }

  async #fromFile(place: CredentialsPlace, signal: AbortSignal) {
    const { credentials, text } = await readCredentials(place)
    const subject = subjectTokenPath(credentials)
    const parts = subject === undefined ? [text] : [text, await subjectToken(subject)]
    const exchange = async () => exchangeForToken(credentials, this.#http, signal, this.#options.load)
    const lease = isOnDisk(credentials) ? await this.#guard.attempt(parts, exchange) : await exchange()
    return { ...lease, quotaProject: credentials.quota_project_id }
  }

  async #place(): Promise<CredentialsPlace | undefined> {
    return credentialsPlace(this.#options.credentials, this.#options.env)
  }

  async #versionAt(place: CredentialsPlace | undefined): Promise<string> {
    return place === undefined ? 'metadata server' : `${place.path} ${await versionOf(place.path)}`
  }
}

/** The library reads it again; here it is refused where others could have written it. */
async function subjectToken(path: string): Promise<string> {
  const bytes = await readTrustedFile(path, 'the token of the workload', 'anybody')
  const text = bytes.toString('utf8')
  bytes.fill(0)
  return text
}
