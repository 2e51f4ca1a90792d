/** With which token is Vault asked, how long does it hold, and what does a 403 mean? */
import type { BackendDeps } from '../backend.js'
import { asKmsError, KmsError } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import { Credential, type Lease } from '../remote/credential.js'
import { LoginGuard } from '../remote/login_guard.js'
import { VaultClient, type VaultReply, type VaultRequest } from './client.js'
import { isFromVault } from './errors.js'
import { givenToken, lookUp, readGiven } from './given_token.js'
import { isGuarded, logIn, loginOf } from './login.js'
import { endsLater, renew } from './renewal.js'
import type { VaultSettings } from './settings.js'
import type { VaultToken } from './token.js'

type Call = Pick<CallOptions, 'signal'>

/**
 * After a 403 that a new token did not cure: so long no new one is fetched because of a 403, since each is a lease and
 * may be one of few uses of a secret id. Doubles while Vault says that it is the policies.
 */
const RELOGIN_REST_MS = 10_000
const MAX_RELOGIN_REST_MS = 300_000

/** For the server to hear that we end; nobody waits longer. */
const REVOKE_MS = 1000

export class VaultSession {
  readonly #settings: VaultSettings
  readonly #deps: BackendDeps
  readonly #client: VaultClient
  readonly #credential: Credential<VaultToken>
  readonly #guard: LoginGuard
  #lastForcedMs = -Infinity
  #restMs = 0

  constructor(settings: VaultSettings, deps: BackendDeps) {
    this.#settings = settings
    this.#deps = deps
    this.#client = new VaultClient(settings, deps.callTimeoutMs, deps)
    this.#guard = new LoginGuard(deps.clock)
    this.#credential = new Credential({
      clock: deps.clock,
      logger: deps.logger,
      what: 'the Vault token',
      // A renewal that is refused is followed by a login.
      timeoutMs: 2 * deps.callTimeoutMs,
      renewAfter: 0.5,
      obtain: async (held, signal) => this.#obtain(held, signal),
    })
  }

  get service(): string {
    return this.#client.service
  }

  /**
   * Any answer but a 403 of Vault, asked with our token; when that one is refused, once more with a new one.
   *
   * @throws {KmsError} `ERR_ACCESS_DENIED`: our token is good and its policies forbid this; `ERR_LOGIN_REFUSED`,
   * `ERR_CREDENTIALS_EXPIRED`: it is not good; what logging in and `VaultClient.ask` throw.
   */
  async ask(request: Omit<VaultRequest, 'token'>, options: Call): Promise<VaultReply> {
    let token = await this.token(options)
    let reply = await this.#client.ask({ ...request, token }, options.signal)
    if (!isRefusal(reply)) return reply
    if (this.#mayForce()) {
      this.#credential.invalidate(token)
      token = await this.token(options)
      reply = await this.#client.ask({ ...request, token }, options.signal)
      if (!isRefusal(reply)) return reply
      this.#lastForcedMs = this.#deps.clock.nowMs()
      this.#restMs = Math.min(Math.max(2 * this.#restMs, RELOGIN_REST_MS), MAX_RELOGIN_REST_MS)
    }
    throw await this.#meaningOf403(request.path, token, options)
  }

  /** The token that a request would be sent with now. */
  async token(options: Call): Promise<VaultToken> {
    await this.#noticeNewFile()
    return this.#credential.get(options)
  }

  /**
   * Requests under way fail with `ERR_SHUTTING_DOWN`. A token of our own login is ended, so that restarts do not leave
   * leases behind; waits up to {@link REVOKE_MS} for it.
   */
  async close(): Promise<void> {
    const token = this.#credential.current
    this.#credential.close()
    this.#client.close()
    if (token?.facts.isOursToRevoke !== true) return
    // A client of its own: the other one has let go of everything at once.
    const last = new VaultClient(this.#settings, REVOKE_MS, this.#deps)
    await last.ask({ method: 'POST', path: 'auth/token/revoke-self', token }).catch(() => undefined)
    last.close()
  }

  #mayForce(): boolean {
    return this.#deps.clock.nowMs() - this.#lastForcedMs >= this.#restMs
  }

  /** Vault says the same to a token that it does not know and to one whose policies forbid the path. */
  async #meaningOf403(path: string, token: VaultToken, options: Call): Promise<KmsError> {
    const { service } = this.#client
    const known = await lookUp(this.#client, token, options.signal)
    if (known !== undefined) {
      const text = `${service} knows us, and the policies of our token forbid ${path}; docs/vault.md has the policy to grant`
      return new KmsError('ERR_ACCESS_DENIED', text)
    }
    // It may have been revoked since: that is cured by a login.
    this.#restMs = RELOGIN_REST_MS
    if (this.#settings.auth.method === 'token') {
      this.#credential.invalidate(token)
      return new KmsError('ERR_LOGIN_REFUSED', `${service} does not know the token; replace it`)
    }
    // Kept, since a new one would be a lease more: after the rest it is replaced if it is still refused.
    const text = `${service} lets us in and refuses the token that it gave us: its policies forbid ${path} and auth/token/lookup-self, or its nodes do not agree`
    return new KmsError('ERR_CREDENTIALS_EXPIRED', text)
  }

  readonly #now = (): number => this.#deps.clock.nowMs()

  async #obtain(held: VaultToken | undefined, signal: AbortSignal): Promise<Lease<VaultToken>> {
    const renewed = held === undefined ? undefined : await renew(this.#client, held, this.#now, signal)
    const token = renewed ?? (await this.#fresh(signal))
    if (held !== undefined && token.isSameAs(held.text) && !endsLater(held, token)) {
      // A given one: it works to its end, and nobody but its owner can help.
      const seconds = Math.round((token.facts.lifetimeMs ?? Infinity) / 1000)
      const text = 'the Vault token cannot be renewed any more; replace it before it ends'
      this.#deps.logger.warn(text, { seconds })
    }
    const { lifetimeMs } = token.facts
    this.#deps.onCredential?.(renewed === undefined ? 'login' : 'renewal', lifetimeMs)
    return { value: token, lifetimeMs }
  }

  async #fresh(signal: AbortSignal): Promise<VaultToken> {
    const { auth } = this.#settings
    if (auth.method === 'token')
      return givenToken(this.#client, auth.token, this.#deps.env, this.#now, signal)
    const login = await loginOf(auth, this.#deps.env)
    const attempt = async (): Promise<VaultToken> => logIn(this.#client, login, this.#now, signal)
    return isGuarded(login) ? this.#guard.attempt([JSON.stringify(login)], attempt) : attempt()
  }

  /** A token that somebody else keeps in a file is replaced there before the old one ends. */
  async #noticeNewFile(): Promise<void> {
    const { auth } = this.#settings
    const held = this.#credential.current
    if (auth.method !== 'token' || held === undefined) return
    try {
      const text = await readGiven(auth.token, this.#deps.env)
      if (!held.isSameAs(text)) this.#credential.invalidate(held)
    } catch (thrown) {
      // It may be gone for a moment; the one that we hold still works.
      this.#deps.logger.debug('the token file cannot be read', { reason: asKmsError(thrown).message })
    }
  }
}

function isRefusal(reply: VaultReply): boolean {
  return reply.status === 403 && isFromVault(reply)
}
