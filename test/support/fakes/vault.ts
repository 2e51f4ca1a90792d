/**
 * A Vault for tests: Transit engine, tokens, policies and auth methods as the API of OpenBao 2.6 has them. Shares no code with
 * the adapter.
 */
import type { ServerOptions } from 'node:https'
import { FakeServer, type FakeAnswer, type FakeRequest } from './fake_server.js'
import { Logins } from './vault/logins.js'
import { Policies, type Policy } from './vault/policies.js'
import { data, denied, failed, noRoute, refused } from './vault/reply.js'
import { Tokens, type FakeToken } from './vault/tokens.js'
import { Transit, type Body } from './vault/transit.js'

/** What a KMS plugin needs, and nothing else. */
export function pluginPolicy(mount = 'transit', key = 'kek'): Policy {
  return {
    [`${mount}/keys/${key}`]: ['read'],
    [`${mount}/encrypt/${key}`]: ['update'],
    [`${mount}/decrypt/${key}`]: ['update'],
  }
}

export class FakeVault {
  readonly server: FakeServer
  readonly policies = new Policies()
  readonly tokens = new Tokens(() => this.nowMs() / 1000)
  readonly logins = new Logins(this.tokens)
  /** `Vault is sealed` to everything. */
  isSealed = false
  readonly #mounts = new Map<string, Transit>()
  readonly #namespaces = new Set<string>()
  #aheadMs = 0

  private constructor(server: FakeServer) {
    this.server = server
    this.mount('transit')
    this.policies.set('plugin', pluginPolicy())
  }

  /** With an empty Transit engine at `transit/` and the policy `plugin` for its key `kek`. */
  static async start(tls?: ServerOptions): Promise<FakeVault> {
    const server = await FakeServer.start((request) => vault.#answer(request), tls)
    const vault: FakeVault = new FakeVault(server)
    return vault
  }

  /** The server's own time. */
  nowMs(): number {
    return Date.now() + this.#aheadMs
  }

  advance(ms: number): void {
    this.#aheadMs += ms
  }

  /** An empty Transit engine; makes the namespace as well. */
  mount(path: string, namespace = ''): Transit {
    const engine = new Transit(() => this.nowMs())
    this.#namespaces.add(namespace)
    this.#mounts.set(within(namespace, path), engine)
    return engine
  }

  get transit(): Transit {
    return this.#mounts.get('transit')!
  }

  /** Paths asked for so far, as `GET transit/keys/kek`. */
  get asked(): readonly string[] {
    return this.server.requests.map(({ method, url }) => `${method} ${pathOf(url)}`)
  }

  async close(): Promise<void> {
    return this.server.close()
  }

  #answer(request: FakeRequest): FakeAnswer {
    if (this.isSealed) return { status: 503, body: { errors: ['Vault is sealed'] } }
    const namespace = textOf(request.headers['x-vault-namespace'])
    if (!this.#namespaces.has(namespace)) return { status: 404, body: { errors: ['namespace not found'] } }
    const path = pathOf(request.url)
    const body = bodyOf(request)
    if (body === undefined) return refused('failed to decode JSON input: unexpected EOF')
    const login = path.startsWith('auth/')
      ? this.logins.answer(within(namespace, path.slice(5)), body, request)
      : undefined
    if (login !== undefined) return request.method === 'POST' ? login : failed(405, 'unsupported operation')
    const token = this.tokens.use(textOf(request.headers['x-vault-token']))
    if (token === undefined) return denied
    return (
      this.#own(namespace, path, token, body, request) ??
      this.#engine(within(namespace, path), token, body, request)
    )
  }

  /** `auth/token` and `sys`. */
  #own(
    namespace: string,
    path: string,
    token: FakeToken,
    body: Body,
    { method }: FakeRequest,
  ): FakeAnswer | undefined {
    const may = (capability: 'read' | 'update') => this.policies.allows(token.policies, path, capability)
    switch (`${method} ${path}`) {
      case 'GET auth/token/lookup-self':
        return may('read') ? this.tokens.lookup(token) : denied
      case 'POST auth/token/renew-self':
        return may('update') ? this.tokens.renew(token) : denied
      case 'POST auth/token/revoke-self':
        return may('update') ? this.tokens.revokeSelf(token) : denied
      case 'POST sys/capabilities-self': {
        if (!may('update')) return denied
        const paths = Array.isArray(body['paths']) ? body['paths'].map(String) : []
        return data(
          Object.fromEntries(
            paths.map((one) => [one, this.policies.capabilities(token.policies, within(namespace, one))]),
          ),
        )
      }
      default:
        return undefined
    }
  }

  #engine(path: string, token: FakeToken, body: Body, request: FakeRequest): FakeAnswer {
    const method = request.method === 'PUT' ? 'POST' : request.method
    const [, mount = '', what = '', name = ''] = /^(.+)\/(keys|encrypt|decrypt)\/([^/]+)$/.exec(path) ?? []
    const engine = this.#mounts.get(mount)
    // Whether it is a create or an update depends on whether the key is there: so it is looked up before the policy.
    const isMissing = what === 'encrypt' && engine?.get(name) === undefined
    const needed = method === 'GET' ? 'read' : isMissing ? 'create' : 'update'
    if (!this.policies.allows(token.policies, path, needed)) return denied
    if (engine === undefined) return noRoute(path)
    switch (`${method} ${what}`) {
      case 'GET keys':
        return engine.read(name)
      case 'POST encrypt':
        return engine.encrypt(name, body, isMissing)
      case 'POST decrypt':
        return engine.decrypt(name, body)
      default:
        return failed(405, 'unsupported operation')
    }
  }
}

function within(namespace: string, path: string): string {
  return namespace === '' ? path : `${namespace}/${path}`
}

function pathOf(url: URL): string {
  return decodeURIComponent(url.pathname.replace(/^\/v1\//, ''))
}

function textOf(header: string | string[] | undefined): string {
  return [header ?? ''].flat().join()
}

function bodyOf({ body }: FakeRequest): Body | undefined {
  if (body.length === 0) return {}
  try {
    return JSON.parse(body.toString('utf8')) as Body
  } catch {
    return undefined
  }
}
