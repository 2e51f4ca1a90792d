/** With which token is the vault asked, and what becomes of a question whose token it refuses? */
import { KmsError } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import type { BackendDeps } from '../backend.js'
import { Credential, type Lease } from '../remote/credential.js'
import { malformed } from '../remote/json_answer.js'
import { readChallenge, type Challenge } from './challenge.js'
import { VaultClient, type VaultReply, type VaultRequest } from './client.js'
import { vaultHost } from './cloud.js'
import { EntraLogin } from './entra.js'
import { errorOf } from './errors.js'
import { ManagedIdentity } from './managed_identity.js'
import type { AzureSettings } from './settings.js'
import type { TokenSource } from './token_source.js'

type Call = Pick<CallOptions, 'signal'>

/** After a 401 that a new token did not cure: so long no new one is fetched because of a 401. */
const RELOGIN_REST_MS = 10_000

export class VaultSession {
  readonly #settings: AzureSettings
  readonly #deps: BackendDeps
  readonly #client: VaultClient
  readonly #source: TokenSource
  readonly #credential: Credential<string>
  /** Asked for once; a 401 brings it along again. */
  #challenge: Challenge | undefined
  #lastForcedMs = -Infinity

  constructor(settings: AzureSettings, deps: BackendDeps) {
    this.#settings = settings
    this.#deps = deps
    this.#client = new VaultClient(settings, deps)
    const { auth } = settings
    this.#source =
      auth.method === 'managedIdentity'
        ? new ManagedIdentity(auth.clientId, deps)
        : new EntraLogin(auth, settings, deps)
    this.#credential = new Credential({
      clock: deps.clock,
      logger: deps.logger,
      what: 'the token for Azure Key Vault',
      // The first one takes two questions: which token, and the token.
      timeoutMs: 2 * deps.callTimeoutMs,
      renewAfter: 0.5,
      obtain: async (_held, signal) => this.#obtain(signal),
    })
  }

  get service(): string {
    return this.#client.service
  }

  /** @throws {KmsError} Why there is no token. */
  async logIn(options: Call): Promise<void> {
    await this.#credential.get(options)
  }

  /**
   * Any answer but a 401, asked with our token; when that one is refused, once more with a new one.
   *
   * @throws {KmsError} `ERR_LOGIN_REFUSED`: the vault takes no token of ours; what logging in and `VaultClient.ask` throw.
   */
  async ask(request: Omit<VaultRequest, 'token'>, options: Call): Promise<VaultReply> {
    const token = await this.#credential.get(options)
    const reply = await this.#client.ask({ ...request, token }, options.signal)
    if (reply.status !== 401) return reply
    this.#challenge = this.#read(reply)
    if (this.#deps.clock.nowMs() - this.#lastForcedMs < RELOGIN_REST_MS) throw this.#refused()
    this.#credential.invalidate(token)
    const second = await this.#client.ask(
      { ...request, token: await this.#credential.get(options) },
      options.signal,
    )
    if (second.status !== 401) return second
    this.#lastForcedMs = this.#deps.clock.nowMs()
    throw this.#refused()
  }

  /** Requests under way fail with `ERR_SHUTTING_DOWN`. Safe to call twice. */
  close(): void {
    this.#credential.close()
    this.#source.close()
    this.#client.close()
  }

  async #obtain(signal: AbortSignal): Promise<Lease<string>> {
    this.#challenge ??= await this.#askForChallenge(signal)
    return this.#source.obtain(this.#challenge.resource, signal)
  }

  /** Without a token, and without anything else that is secret. */
  async #askForChallenge(signal: AbortSignal): Promise<Challenge> {
    const { keyName } = this.#settings
    const reply = await this.#client.ask({ method: 'GET', path: `/keys/${keyName}` }, signal)
    if (reply.status === 401) return this.#read(reply)
    if (reply.status === 200) throw malformed(this.service, 'a key to somebody who has not logged in')
    const kek = `the key ${keyName} in ${this.service}`
    throw errorOf(
      { operation: 'get', service: this.service, kek, id: `${this.#settings.vaultUrl}/keys/${keyName}` },
      reply,
    )
  }

  #read({ challenge }: VaultReply): Challenge {
    return readChallenge(challenge, vaultHost(this.#settings), this.service)
  }

  #refused(): KmsError {
    const tenant = this.#challenge?.tenant
    const where =
      tenant === undefined ? '' : `: it belongs to tenant ${tenant}; is that the one that we log in to?`
    return new KmsError(
      'ERR_LOGIN_REFUSED',
      `${this.service} does not take the token that Entra has just given us${where}`,
    )
  }
}
