/** What do people who run OpenBao do to it? Each thing by its name, for tests to read well. */
import { randomBytes } from 'node:crypto'
import { at, textOf, type BaoApi, type Json } from './api.js'

/** As `auth/token/create` has them; durations are texts such as `3s`. */
export interface TokenWish {
  readonly policies?: readonly string[]
  readonly ttl?: string
  /** Lives as long as it is renewed within each period. */
  readonly period?: string
  readonly explicit_max_ttl?: string
  readonly renewable?: boolean
  readonly type?: 'service' | 'batch'
  readonly no_parent?: boolean
  readonly num_uses?: number
}

export class Operator {
  readonly api: BaoApi

  constructor(api: BaoApi) {
    this.api = api
  }

  /** Makes a namespace below this one. */
  async namespace(name: string): Promise<Operator> {
    await this.api.must('PUT', `sys/namespaces/${name}`)
    const { namespace } = this.api.access
    return new Operator(this.api.as({ namespace: namespace === undefined ? name : `${namespace}/${name}` }))
  }

  async enableTransit(mount = 'transit'): Promise<void> {
    await this.api.must('POST', `sys/mounts/${mount}`, { type: 'transit' })
  }

  /** @param wish `type`, `derived` and whatever else transit takes. */
  async makeKey(name: string, wish: Json = {}, mount = 'transit'): Promise<void> {
    await this.api.must('POST', `${mount}/keys/${name}`, wish)
  }

  async readKey(name: string, mount = 'transit'): Promise<Json> {
    return at(await this.api.must('GET', `${mount}/keys/${name}`), 'data')
  }

  async rotate(name: string, mount = 'transit'): Promise<void> {
    await this.api.must('POST', `${mount}/keys/${name}/rotate`)
  }

  /** @param wish `min_decryption_version`, `min_encryption_version`, `deletion_allowed` and others. */
  async configure(name: string, wish: Json, mount = 'transit'): Promise<void> {
    await this.api.must('POST', `${mount}/keys/${name}/config`, wish)
  }

  /** For ever. */
  async destroyKey(name: string, mount = 'transit'): Promise<void> {
    await this.configure(name, { deletion_allowed: true }, mount)
    await this.api.must('DELETE', `${mount}/keys/${name}`)
  }

  async softDelete(name: string, mount = 'transit'): Promise<void> {
    await this.api.must('DELETE', `${mount}/keys/${name}/soft-delete`)
  }

  async restore(name: string, mount = 'transit'): Promise<void> {
    await this.api.must('POST', `${mount}/keys/${name}/soft-delete-restore`)
  }

  /** @param policy HCL. */
  async writePolicy(name: string, policy: string): Promise<void> {
    await this.api.must('PUT', `sys/policies/acl/${name}`, { policy })
  }

  /** With the policies named and no other: `default` too has to be named. */
  async makeToken(wish: TokenWish = {}): Promise<string> {
    const bare = wish.policies?.includes('default') !== true
    const made = await this.api.must('POST', 'auth/token/create', { no_default_policy: bare, ...wish })
    return textOf(at(made, 'auth'), 'client_token')
  }

  async lookUp(token: string): Promise<Json> {
    return at(await this.api.must('POST', 'auth/token/lookup', { token }), 'data')
  }

  /** What the server says of each token that it gave out at this path: `auth/approle/login`. None of batch tokens. */
  async tokensOf(path: string): Promise<readonly Json[]> {
    const { keys } = at(await this.api.must('LIST', 'auth/token/accessors'), 'data')
    const found = (keys as readonly string[]).map(async (accessor) =>
      // It may be gone by now.
      this.api.ask('POST', 'auth/token/lookup-accessor', { accessor }),
    )
    const alive = (await Promise.all(found)).filter(({ status }) => status === 200)
    return alive.map(({ body }) => at(body, 'data')).filter((data) => data['path'] === path)
  }

  async revoke(token: string): Promise<void> {
    await this.api.must('POST', 'auth/token/revoke', { token })
  }

  /** All tokens that were given out by one auth method. */
  async revokeAllOf(authPath: string): Promise<void> {
    await this.api.must('PUT', `sys/leases/revoke-prefix/auth/${authPath}`)
  }

  /**
   * One request in `interval`, and the others are told how long to wait. Answers what lifts the limit.
   *
   * @param path Below which it counts: `transit/`. Not of what the answer needs itself.
   */
  async limitRate(path: string, interval: string): Promise<() => Promise<void>> {
    await this.api.must('POST', 'sys/quotas/config', { enable_rate_limit_response_headers: true })
    const quota = `sys/quotas/rate-limit/${randomBytes(4).toString('hex')}`
    await this.api.must('POST', quota, { path, rate: 1, interval })
    return async () => {
      await this.api.must('DELETE', quota)
    }
  }
}
