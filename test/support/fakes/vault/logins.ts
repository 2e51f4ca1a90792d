/** The auth methods: who is let in, and with which words the others are sent away. */
import type { FakeAnswer, FakeRequest } from '../fake_server.js'
import { denied, refused } from './reply.js'
import type { Tokens, TokenWish } from './tokens.js'
import type { Body } from './transit.js'

/** Wrong tries after which an account is locked. */
const LOCKOUT = 5

export interface Entry {
  /** What has to be sent: a secret id, a JWT, a password. */
  secrets: readonly string[]
  readonly token: TokenWish
  failures: number
}

export type Method = 'approle' | 'kubernetes' | 'jwt' | 'cert' | 'userpass'

export class Logins {
  readonly #tokens: Tokens
  /** By mount, then by role id, role or user name. */
  readonly #mounts = new Map<string, { readonly method: Method; readonly entries: Map<string, Entry> }>()

  constructor(tokens: Tokens) {
    this.#tokens = tokens
  }

  /** @param secrets For `cert` the common names of certificates; none for an AppRole without secret id. */
  add(mount: string, method: Method, name: string, secrets: readonly string[], token: TokenWish): Entry {
    const at = this.#mounts.get(mount) ?? { method, entries: new Map<string, Entry>() }
    const entry = { secrets, token, failures: 0 }
    at.entries.set(name, entry)
    this.#mounts.set(mount, at)
    return entry
  }

  /** `undefined`: no login path. @param path Behind `auth/`. */
  answer(path: string, body: Body, request: FakeRequest): FakeAnswer | undefined {
    const [, mount = '', user] = /^(.+?)\/login(?:\/([^/]+))?$/.exec(path) ?? []
    const at = this.#mounts.get(mount)
    if (at === undefined) return undefined
    const text = (name: string): string => (typeof body[name] === 'string' ? body[name] : '')
    switch (at.method) {
      case 'approle': {
        const entry = at.entries.get(text('role_id'))
        if (entry === undefined) return refused('invalid role or secret ID')
        if (entry.secrets.length === 0) return this.#in(entry)
        if (text('secret_id') === '') return refused('missing secret_id')
        return this.#guarded(entry, text('secret_id'), 'invalid role or secret ID')
      }
      case 'userpass': {
        const entry = at.entries.get(user ?? '')
        if (entry === undefined) return refused('invalid username or password')
        return this.#guarded(entry, text('password'), 'invalid username or password')
      }
      case 'kubernetes': {
        const entry = at.entries.get(text('role'))
        if (entry === undefined) return refused(`invalid role name "${text('role')}"`)
        return entry.secrets.includes(text('jwt')) ? this.#in(entry) : denied
      }
      case 'jwt': {
        const entry = at.entries.get(text('role'))
        if (entry === undefined) return refused(`role "${text('role')}" could not be found`)
        if (entry.secrets.includes(text('jwt'))) return this.#in(entry)
        return refused(
          'error validating token: error verifying token signature: no known key successfully validated the token signature',
        )
      }
      case 'cert':
        return this.#byCertificate(at.entries, text('name'), request.clientName ?? '')
    }
  }

  #byCertificate(entries: ReadonlyMap<string, Entry>, role: string, clientName: string): FakeAnswer {
    if (clientName === '') return refused('no client certificate found')
    for (const [name, entry] of entries) {
      if ((role === '' || role === name) && entry.secrets.includes(clientName)) return this.#in(entry)
    }
    return refused('no chain matching all constraints could be found for this login certificate')
  }

  #guarded(entry: Entry, secret: string, text: string): FakeAnswer {
    if (entry.failures >= LOCKOUT) return denied
    if (entry.secrets.includes(secret)) {
      entry.failures = 0
      return this.#in(entry)
    }
    entry.failures += 1
    return refused(text)
  }

  #in({ token }: Entry): FakeAnswer {
    return this.#tokens.auth(this.#tokens.make(token))
  }
}
