/**
 * The fake of IBM's KMS and of the IAM beside it, on one server. Strict where IBM is; test/servers/ibm shows that IBM's
 * own Go client is content with it.
 */
import { randomUUID } from 'node:crypto'
import type { ServerOptions } from 'node:https'
import { FakeServer, type FakeAnswer, type FakeRequest } from './fake_server.js'
import { FakeIam } from './ibm_iam.js'
import { actions, kmsError, metadataOf, Refusal, versionsOf } from './ibm_kms.js'
import { makeKey, type FakeKey } from './ibm_keys.js'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const BODY_TYPES = /^application\/(json|vnd\.ibm\.kms\.key_action(_(wrap|unwrap|rewrap|rotate))?\+json)$/
const READER_ACTIONS = ['wrap', 'unwrap', 'metadata', 'versions']

export class FakeIbm {
  readonly iam = new FakeIam(() => this.nowMs)
  readonly instanceId: string = randomUUID()
  readonly #instances = new Map<string, FakeKey[]>([[this.instanceId, []]])
  #server: FakeServer | undefined
  /** The clock of both services. */
  nowMs = 0
  /** An older service tells no versions. */
  tellsVersions = true
  /** The KMS of IBM Cloud Private knows the older addresses only. */
  speaksOlderApi = false
  /** What stands before the service forbids us. */
  refusesNetwork = false

  /** @param tls `undefined`: plain HTTP. */
  static async start(tls?: ServerOptions): Promise<FakeIbm> {
    const fake = new FakeIbm()
    fake.#server = await FakeServer.start((request) => fake.#answer(request), tls)
    return fake
  }

  get server(): FakeServer {
    return this.#server!
  }

  get tokenUrl(): string {
    return `${this.server.url}/identity/token`
  }

  /** Requests to the KMS, without those to IAM. */
  get kmsRequests(): readonly FakeRequest[] {
    return this.server.requests.filter((request) => !this.iam.serves(request))
  }

  get iamRequests(): readonly FakeRequest[] {
    return this.server.requests.filter((request) => this.iam.serves(request))
  }

  addInstance(): string {
    const id = randomUUID()
    this.#instances.set(id, [])
    return id
  }

  addKey(change: Partial<FakeKey> = {}, instanceId = this.instanceId): FakeKey {
    const key = makeKey(change)
    this.#instances.get(instanceId)!.push(key)
    return key
  }

  /** As a purge does. */
  removeKey(key: FakeKey): void {
    const keys = this.#instances.get(this.instanceId)!
    keys.splice(keys.indexOf(key), 1)
  }

  async close(): Promise<void> {
    await this.server.close()
  }

  #answer(request: FakeRequest): FakeAnswer {
    if (this.iam.serves(request)) return this.iam.answer(request)
    try {
      return this.#kmsAnswer(request)
    } catch (error) {
      if (error instanceof Refusal) return error.answer
      throw error
    }
  }

  #kmsAnswer(request: FakeRequest): FakeAnswer {
    const route = this.#routeOf(request)
    if (route === undefined) return { status: 404, body: '404 page not found\n' }
    if (this.refusesNetwork) {
      const message = 'Requested change is not compliant with configuration rules'
      throw new Refusal(403, 'Forbidden', 'CONFIG_RULE_CONFLICT_ERR', message)
    }
    const instance = String(request.headers['bluemix-instance'] ?? '').toLowerCase()
    if (!UUID.test(instance)) {
      throw new Refusal(
        400,
        'Bad Request: Request requires valid Bluemix-Instance Header containing a valid UUID',
      )
    }
    this.#assertAllowed(request, instance, route.action)
    const key = this.#find(instance, route.idOrAlias, request.headers['x-kms-key-ring'])
    if (request.method === 'GET' && route.action === 'metadata') {
      return { status: 200, body: metadataOf(key, this.tellsVersions) }
    }
    if (request.method === 'GET') return { status: 200, body: versionsOf(key) }
    const action = actions[route.action]
    if (action === undefined) return kmsError(404, 'Not Found: Action could not be performed on key.')
    return action({ key, body: bodyOf(request), nowMs: this.nowMs, tellsVersions: this.tellsVersions })
  }

  #routeOf({ method, url }: FakeRequest): { idOrAlias: string; action: string } | undefined {
    const pattern = this.speaksOlderApi
      ? /^\/api\/v2\/keys\/(?<id>[^/]+)$/
      : /^\/api\/v2\/keys\/(?<id>[^/]+)\/(?:(?<view>metadata|versions)|actions\/(?<action>[a-zA-Z]+)|(?<restore>restore))$/
    const groups = pattern.exec(url.pathname)?.groups
    if (groups === undefined) {
      const deleted = /^\/api\/v2\/keys\/(?<id>[^/]+)$/.exec(url.pathname)?.groups
      return method === 'DELETE' && deleted !== undefined
        ? { idOrAlias: deleted['id']!, action: 'delete' }
        : undefined
    }
    const { id = '', view, action, restore } = groups
    if (method === 'GET') {
      return view === undefined && !this.speaksOlderApi
        ? undefined
        : { idOrAlias: id, action: view ?? 'metadata' }
    }
    const asked = this.speaksOlderApi ? url.searchParams.get('action') : (action ?? restore)
    return method === 'POST' && typeof asked === 'string' ? { idOrAlias: id, action: asked } : undefined
  }

  /** An expired token, a missing role and a foreign instance look alike, as with IBM. */
  #assertAllowed(request: FakeRequest, instance: string, action: string): void {
    const header = String(request.headers['authorization'] ?? '')
    const bearer = /^Bearer (\S+)$/.exec(header)?.[1] ?? ''
    if (bearer.split('.').length !== 3) {
      const message = 'Extracting the subject from the bearer token failed'
      throw new Refusal(400, 'Bad Request', 'BEARER_SUB_EXTRACTION_ERR', message)
    }
    const role = this.iam.roleOf(bearer)
    const isEnough = role === 'Manager' || (role === 'Reader' && READER_ACTIONS.includes(action))
    if (!isEnough || !this.#instances.has(instance)) {
      throw new Refusal(401, 'Unauthorized: The user does not have access to the specified resource')
    }
  }

  #find(instance: string, idOrAlias: string, ring: string | string[] | undefined): FakeKey {
    const found = this.#instances
      .get(instance)!
      .filter((key) => ring === undefined || key.ring === ring)
      .find((key) => key.id === idOrAlias || key.aliases.has(idOrAlias))
    if (found !== undefined) return found
    throw new Refusal(404, 'Not Found: Key could not be retrieved', 'KEY_NOT_FOUND_ERR', 'Key does not exist')
  }
}

/** IBM's Go client names no type, and sends `null` where an action needs no body. */
function bodyOf({ headers, body }: FakeRequest): unknown {
  const type = headers['content-type']
  if (type !== undefined && !BODY_TYPES.test(String(type))) {
    throw new Refusal(
      415,
      'Unsupported Media Type',
      'UNSUPPORTED_MEDIA_TYPE_ERR',
      'The content type is not supported',
    )
  }
  if (body.length === 0) return undefined
  try {
    return JSON.parse(body.toString('utf8')) ?? undefined
  } catch {
    throw new Refusal(400, 'Bad Request', 'BAD_BODY_ERR', 'Invalid body data was passed')
  }
}
