/** Plays Azure Key Vault and Managed HSM, together with the Entra that lets one in. As strict as the real ones. */
import type { ServerOptions } from 'node:https'
import { FakeEntra, TENANT } from './azure_login.js'
import { makeVersion, type FakeVersion, type Kty, type VersionWish } from './azure_keys.js'
import { FakeServer, type FakeAnswer, type FakeRequest } from './fake_server.js'

const API_VERSIONS = ['2016-10-01', '7.4', '7.5', '7.6', '2025-07-01']

type Operation = 'encrypt' | 'decrypt' | 'wrapKey' | 'unwrapKey'

/** By the last part of the path. */
const OPERATIONS: ReadonlyMap<string, Operation> = new Map(
  (['encrypt', 'decrypt', 'wrapKey', 'unwrapKey'] as const).map((name) => [name.toLowerCase(), name]),
)

interface FakeKey {
  /** As it was written when the key was made. */
  readonly name: string
  readonly versions: FakeVersion[]
  isDeleted: boolean
}

export class FakeAzure {
  readonly entra = new FakeEntra()
  /** Of the vault: tokens must be for it. */
  resource = 'https://vault.azure.net'
  /** What a 401 says; {@link resource} unless a test plays somebody who steals tokens. */
  challengedResource: string | undefined
  /** What our role allows. */
  readonly rights = new Set(['get', 'wrapKey', 'unwrapKey'])
  /** The code inside the 403 of whoever is not allowed. */
  forbiddenBy = 'ForbiddenByRbac'
  /** `ForbiddenByFirewall`: whoever asks is kept out, whatever the roles say. */
  network: string | undefined
  /** What its key identifiers begin with; its own address unless set. */
  kidBase: string | undefined
  /** Versions in a page of their list. */
  pageSize = 25
  /** The clock of the vault is ahead of ours by so much. */
  aheadSeconds = 0
  readonly #keys = new Map<string, FakeKey>()
  #server: FakeServer | undefined

  /** @param tls `undefined`: plain HTTP. */
  static async start(tls?: ServerOptions): Promise<FakeAzure> {
    const fake = new FakeAzure()
    if (tls === undefined) fake.entra.scheme = 'http'
    fake.#server = await FakeServer.start((request) => fake.#answer(request), tls)
    return fake
  }

  get server(): FakeServer {
    if (this.#server === undefined) throw new Error('the fake has not been started')
    return this.#server
  }

  /** Makes a key, or a new version of it: a rotation. */
  addVersion(name: string, kty: Kty = 'RSA', bits = 2048, wish?: VersionWish): FakeVersion {
    const key = this.#keys.get(name.toLowerCase()) ?? { name, versions: [], isDeleted: false }
    this.#keys.set(name.toLowerCase(), key)
    const version = makeVersion(kty, bits, key.versions.length, wish)
    key.versions.push(version)
    return version
  }

  /** Deletes it softly, or recovers it. */
  setDeleted(name: string, isDeleted: boolean): void {
    const key = this.#keys.get(name)
    if (key === undefined) throw new Error(`no key ${name}`)
    key.isDeleted = isDeleted
  }

  purge(name: string): void {
    this.#keys.delete(name)
  }

  /** `METHOD /path` of what reached the vault, logins left out. */
  get asked(): string[] {
    return this.server.requests
      .map(({ method, url }) => `${method} ${url.pathname}`)
      .filter((line) => /^\w+ \/(keys|deletedkeys)\//.test(line))
  }

  #answer(request: FakeRequest): FakeAnswer {
    return this.entra.answer(request) ?? this.#vault(request)
  }

  #vault(request: FakeRequest): FakeAnswer {
    const { method, url, headers } = request
    if (!this.entra.letsIn(headers['authorization'], this.resource)) return this.#challenge()
    const apiVersion = url.searchParams.get('api-version')
    if (apiVersion === null || !API_VERSIONS.includes(apiVersion)) {
      return failure(400, 'BadParameter', `The specified version (${String(apiVersion)}) is not recognized.`)
    }
    if (this.network !== undefined)
      return failure(403, 'Forbidden', 'Client address is not authorized.', this.network)
    const [, kind, asked = '', ...rest] = url.pathname.split('/')
    const key = this.#keys.get(asked.toLowerCase())
    const name = key?.name ?? asked
    if (method === 'GET' && kind === 'deletedkeys' && rest.length === 0) return this.#deleted(name, key)
    if (kind !== 'keys') return failure(404, 'NotFound', 'no such resource')
    if (method === 'GET' && rest.length === 1 && rest[0] === 'versions') return this.#list(name, key, url)
    if (method === 'GET' && rest.length <= 1) return this.#get(name, key, rest[0] ?? '')
    const [version = '', verb = ''] = rest
    const operation = OPERATIONS.get(verb)
    if (method === 'POST' && operation !== undefined && rest.length === 2) {
      return this.#operate(request, name, key, version, operation)
    }
    return failure(405, 'MethodNotAllowed', 'not here')
  }

  #challenge(): FakeAnswer {
    const resource = this.challengedResource ?? this.resource
    const header = `Bearer authorization="https://login.microsoftonline.com/${TENANT}", resource="${resource}"`
    return {
      ...failure(401, 'Unauthorized', 'AKV10000: Request is missing a Bearer or PoP token.'),
      headers: { 'www-authenticate': header },
    }
  }

  #deleted(name: string, key: FakeKey | undefined): FakeAnswer {
    if (!this.rights.has('get')) return this.#denied('get')
    const latest = key?.versions.at(-1)
    if (key?.isDeleted !== true || latest === undefined) return absent(name)
    return {
      status: 200,
      body: { ...this.#bundle(name, latest), recoveryId: `${this.server.url}/deletedkeys/${name}` },
    }
  }

  #get(name: string, key: FakeKey | undefined, version: string): FakeAnswer {
    if (!this.rights.has('get')) return this.#denied('get')
    const found = versionOf(key, version)
    if (found === undefined) return absent(name)
    if (!found.enabled) return disabled('get')
    return { status: 200, body: this.#bundle(name, found) }
  }

  /** Pages, each with the address of the next one. */
  #list(name: string, key: FakeKey | undefined, url: URL): FakeAnswer {
    if (!this.rights.has('list')) return this.#denied('list')
    if (key === undefined || key.isDeleted) return absent(name)
    const from = Number(url.searchParams.get('$skiptoken') ?? '0')
    const page = key.versions.slice(from, from + this.pageSize)
    const value = page.map((one) => ({ kid: this.#kid(name, one), attributes: { enabled: one.enabled } }))
    const next = from + this.pageSize
    const query = new URLSearchParams({ 'api-version': '7.4', $skiptoken: String(next) }).toString()
    const nextLink = next < key.versions.length ? `${this.server.url}/keys/${name}/versions?${query}` : null
    return { status: 200, body: { value, nextLink } }
  }

  #bundle(name: string, version: FakeVersion): object {
    const { kty, operations: key_ops, jwk, enabled, nbf, exp, exportable, recoveryLevel } = version
    const dates = { ...(nbf === undefined ? {} : { nbf }), ...(exp === undefined ? {} : { exp }) }
    return {
      key: { kid: this.#kid(name, version), kty, key_ops, ...jwk },
      attributes: { enabled, ...dates, created: 1764115200, updated: 1764115200, recoveryLevel, exportable },
    }
  }

  #kid(name: string, { version }: FakeVersion): string {
    return `${this.kidBase ?? this.server.url}/keys/${name}/${version}`
  }

  #operate(
    { headers, body }: FakeRequest,
    name: string,
    key: FakeKey | undefined,
    versionName: string,
    operation: Operation,
  ): FakeAnswer {
    if (!this.rights.has(operation)) return this.#denied(operation)
    if (!String(headers['content-type']).startsWith('application/json')) {
      return failure(415, 'UnsupportedMediaType', 'the content type must be application/json')
    }
    const { alg, value } = JSON.parse(body.toString()) as { alg?: unknown; value?: unknown }
    const bytes = typeof value === 'string' ? Buffer.from(value, 'base64url') : undefined
    if (
      typeof alg !== 'string' ||
      bytes === undefined ||
      bytes.length === 0 ||
      bytes.toString('base64url') !== value
    ) {
      return failure(
        400,
        'BadParameter',
        "Content of 'value' is not base64url.\r\nProperty 'value' is required.\r\n",
      )
    }
    const version = versionOf(key, versionName)
    if (version === undefined) return absent(name)
    const state = this.#refusalByState(version, operation)
    if (state !== undefined) return state
    try {
      const isForth = operation === 'wrapKey' || operation === 'encrypt'
      const result = isForth ? version.wrap(alg, bytes) : version.unwrap(alg, bytes)
      if (result === undefined) return failure(400, 'BadParameter', 'Key and algorithm do not go together.')
      return { status: 200, body: { kid: this.#kid(name, version), value: result.toString('base64url') } }
    } catch {
      return failure(400, 'BadParameter', 'Unable to decrypt specified value with this key.')
    }
  }

  /** Outside its dates a key still unwraps. */
  #refusalByState(
    { enabled, nbf = -Infinity, exp = Infinity, operations }: FakeVersion,
    operation: string,
  ): FakeAnswer | undefined {
    const on = `Operation ${operation} is not allowed on`
    const seconds = Date.now() / 1000 + this.aheadSeconds
    if (!enabled) return disabled(operation)
    const isForth = operation === 'wrapKey' || operation === 'encrypt'
    if (isForth && exp <= seconds) return failure(403, 'Forbidden', `${on} an expired key.`, 'KeyExpired')
    if (isForth && nbf > seconds) {
      return failure(403, 'Forbidden', `${on} a key that is not yet valid.`, 'KeyNotYetValid')
    }
    if (operations.includes(operation)) return undefined
    return failure(
      403,
      'Forbidden',
      `Operation ${operation} is not permitted on this key.`,
      'KeyOperationForbidden',
    )
  }

  /** Says who asked, as the real one does. */
  #denied(operation: string): FakeAnswer {
    const text = `Caller is not authorized to perform action ${operation} on resource. Caller: appid=SECRET-APP-ID;oid=SECRET-OID`
    return failure(403, 'Forbidden', text, this.forbiddenBy)
  }
}

function versionOf(key: FakeKey | undefined, version: string): FakeVersion | undefined {
  if (key === undefined || key.isDeleted) return undefined
  return version === '' ? key.versions.at(-1) : key.versions.find((one) => one.version === version)
}

function disabled(operation: string): FakeAnswer {
  return failure(403, 'Forbidden', `Operation ${operation} is not allowed on a disabled key.`, 'KeyDisabled')
}

function absent(name: string): FakeAnswer {
  const text = `A key with (name/id) ${name} was not found in this key vault. If you recently deleted this key you may be able to recover it.`
  return failure(404, 'KeyNotFound', text)
}

function failure(status: number, code: string, message: string, inner?: string): FakeAnswer {
  const innererror = inner === undefined ? {} : { innererror: { code: inner } }
  return { status, body: { error: { code, message, ...innererror } } }
}
