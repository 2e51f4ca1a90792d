/** Which tokens are there, how long do they hold, and what do lookup, renewal and revocation answer? */
import { randomBytes } from 'node:crypto'
import type { FakeAnswer } from '../fake_server.js'
import { data, denied, noContent, refused } from './reply.js'

export interface TokenWish {
  readonly policies?: readonly string[]
  /** Seconds; 0: without end, as the root token. */
  readonly ttl?: number
  /** Seconds after which it cannot be renewed further; 0: as far as one likes. */
  readonly maxTtl?: number
  /** Seconds that each renewal gives, with no maximum. */
  readonly period?: number
  readonly isRenewable?: boolean
  readonly type?: 'service' | 'batch'
  /** Requests until it ends; 0: any number. */
  readonly uses?: number
}

export interface FakeToken extends Required<TokenWish> {
  readonly id: string
  readonly issuedS: number
  endS: number
  usesLeft: number
}

export class Tokens {
  readonly #nowS: () => number
  readonly #all = new Map<string, FakeToken>()

  constructor(nowS: () => number) {
    this.#nowS = nowS
  }

  make(wish: TokenWish = {}): FakeToken {
    const { ttl = 3600, maxTtl = 0, period = 0, type = 'service', uses = 0 } = wish
    const issuedS = this.#nowS()
    const life = period > 0 ? period : ttl
    const token = {
      policies: wish.policies ?? ['default'],
      ttl: life,
      maxTtl,
      period,
      type,
      uses,
      isRenewable: type === 'service' && life > 0 && (wish.isRenewable ?? true),
      id: `${type === 'batch' ? 'b' : 's'}.${randomBytes(18).toString('base64url')}`,
      issuedS,
      endS: life === 0 ? Infinity : issuedS + (maxTtl > 0 ? Math.min(life, maxTtl) : life),
      usesLeft: uses,
    }
    this.#all.set(token.id, token)
    return token
  }

  /** One that still holds; a request with it counts as a use. */
  use(id: string | undefined): FakeToken | undefined {
    const token = id === undefined ? undefined : this.#all.get(id)
    if (token === undefined || token.endS <= this.#nowS()) return undefined
    if (token.uses > 0) {
      if (token.usesLeft === 0) return undefined
      token.usesLeft -= 1
    }
    return token
  }

  /** Ids of those that hold. */
  get alive(): readonly string[] {
    return [...this.#all.values()].filter(({ endS }) => endS > this.#nowS()).map(({ id }) => id)
  }

  /** All that were ever made. */
  get ids(): readonly string[] {
    return [...this.#all.keys()]
  }

  revoke(id: string): void {
    const token = this.#all.get(id)
    if (token !== undefined) token.endS = -Infinity
  }

  revokeAll(): void {
    for (const id of this.#all.keys()) this.revoke(id)
  }

  /** As in `auth` of a login or a renewal. */
  auth(token: FakeToken): FakeAnswer {
    const lease = token.endS === Infinity ? 0 : token.endS - this.#nowS()
    const auth = {
      client_token: token.id,
      accessor: 'an-accessor',
      policies: token.policies,
      token_policies: token.policies,
      metadata: null,
      lease_duration: Math.floor(lease),
      renewable: token.isRenewable,
      entity_id: '',
      token_type: token.type,
      orphan: true,
      mfa_requirement: null,
      num_uses: token.uses,
    }
    return { status: 200, body: { request_id: 'a-request', data: null, auth } }
  }

  lookup(token: FakeToken): FakeAnswer {
    const isEndless = token.endS === Infinity
    return data({
      id: token.id,
      accessor: 'an-accessor',
      policies: token.policies,
      path: 'auth/token/create',
      meta: null,
      display_name: 'token',
      num_uses: token.usesLeft,
      orphan: true,
      creation_time: Math.floor(token.issuedS),
      creation_ttl: token.ttl,
      expire_time: isEndless ? null : new Date(token.endS * 1000).toISOString(),
      ttl: isEndless ? 0 : Math.floor(token.endS - this.#nowS()),
      explicit_max_ttl: token.maxTtl,
      entity_id: '',
      type: token.type,
      renewable: token.isRenewable,
      ...(token.period > 0 ? { period: token.period } : {}),
    })
  }

  renew(token: FakeToken): FakeAnswer {
    if (token.type === 'batch') return refused('batch tokens cannot be renewed')
    if (!token.isRenewable) return refused('lease is not renewable')
    const wishedS = this.#nowS() + token.ttl
    token.endS = token.maxTtl > 0 ? Math.min(wishedS, token.issuedS + token.maxTtl) : wishedS
    return token.endS <= this.#nowS() ? denied : this.auth(token)
  }

  revokeSelf(token: FakeToken): FakeAnswer {
    if (token.type === 'batch') return refused('batch tokens cannot be revoked')
    this.revoke(token.id)
    return noContent
  }
}
