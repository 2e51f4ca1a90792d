/**
 * The fake of OVHcloud KMS, written from its published OpenAPI description 2.14.0: the part on service keys. Strict
 * where the description is: no additional fields, lengths, formats. It knows its clients by their certificates.
 */
import { randomUUID } from 'node:crypto'
import { FakeServer, type FakeAnswer, type FakeRequest } from './fake_server.js'
import { makeServiceKey, seal, unseal, type FakeServiceKey, type JweForm } from './okms_keys.js'

/** As four bits of `error_code` number them. */
export const categories = {
  internal: 1,
  argument: 2,
  authentication: 3,
  authorization: 4,
  notFound: 5,
  database: 6,
  unavailable: 7,
  badArgument: 8,
  tooManyRequests: 9,
  conflict: 10,
} as const

/** REST, Service Keys API. */
const SUBSYSTEM = 0x03030000
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const STATES = [
  'pre_active',
  'active',
  'deactivated',
  'compromised',
  'destroyed',
  'destroyed_compromised',
  'all',
]
const READER = ['get', 'encrypt', 'decrypt']
const REASONS = ['unspecified', 'key_compromise', 'superseded', 'cessation_of_operation']

/** An error answer of the service. */
export function okmsError(
  status: number,
  category: keyof typeof categories | undefined,
  text = 'no',
): FakeAnswer {
  const code = category === undefined ? 0 : SUBSYSTEM | (categories[category] << 12) | 1
  return {
    status,
    body: { error_id: `OKMS-${code}`, error_code: code, errors: [text], request_id: randomUUID() },
  }
}

class Refusal extends Error {
  readonly answer: FakeAnswer

  constructor(...args: Parameters<typeof okmsError>) {
    super(args[2])
    this.answer = okmsError(...args)
  }
}

interface Asked {
  readonly request: FakeRequest
  readonly key: FakeServiceKey
}

export class FakeOkms {
  readonly okmsId: string = randomUUID()
  readonly keys: FakeServiceKey[] = []
  /** By the common names of their certificates: the actions that IAM allows them. */
  readonly clients = new Map<string, readonly string[]>([['kmsplugin', READER]])
  form: JweForm = { alg: 'gcmkw', header: {} }
  /** OVHcloud documents that a deactivated key is of no use at all; KMIP would let it open old values. */
  deactivatedOpens = false
  #server: FakeServer | undefined

  /** @param tls PEM; `ca` is the authority of the clients. */
  static async start(tls: {
    readonly cert: string
    readonly key: string
    readonly ca: string
  }): Promise<FakeOkms> {
    const fake = new FakeOkms()
    const options = { ...tls, requestCert: true, rejectUnauthorized: false }
    fake.#server = await FakeServer.start((request) => fake.#answer(request), options)
    return fake
  }

  get server(): FakeServer {
    return this.#server!
  }

  addKey(change: Partial<FakeServiceKey> = {}): FakeServiceKey {
    const key = makeServiceKey(change)
    this.keys.push(key)
    return key
  }

  async close(): Promise<void> {
    await this.server.close()
  }

  #answer(request: FakeRequest): FakeAnswer {
    try {
      return this.#route(request)
    } catch (error) {
      if (error instanceof Refusal) return error.answer
      throw error
    }
  }

  #route(request: FakeRequest): FakeAnswer {
    const [, api, okmsId = '', version, servicekey, keyId, action, ...more] = request.url.pathname.split('/')
    if (api !== 'api' || version !== 'v1' || servicekey !== 'servicekey' || more.length > 0) {
      return { status: 404, body: '404 page not found' }
    }
    const allowed = this.clients.get(request.clientName ?? '')
    if (allowed === undefined) throw new Refusal(401, 'authentication', 'unknown certificate')
    if (!UUID.test(okmsId) || (keyId !== undefined && !UUID.test(keyId))) {
      throw new Refusal(400, 'argument', 'not a UUID')
    }
    const wanted = action ?? (keyId === undefined && request.method === 'POST' ? 'create' : nameOf(request))
    if (!allowed.includes(wanted)) throw new Refusal(401, 'authorization', `${wanted} is not allowed`)
    if (okmsId !== this.okmsId) throw new Refusal(404, 'notFound', 'no such domain')
    if (keyId === undefined) return wanted === 'create' ? this.#create(request) : this.#list(request)
    const key = this.keys.find(({ id }) => id === keyId.toLowerCase())
    if (key === undefined) throw new Refusal(404, 'notFound', 'no such key')
    const handle = this.#actions[`${request.method} ${action ?? ''}`]
    return handle === undefined ? { status: 405, body: '' } : handle({ request, key })
  }

  /** By method and what follows the id of the key. */
  readonly #actions: Readonly<Record<string, (asked: Asked) => FakeAnswer>> = {
    'GET ': ({ key }) => ({ status: 200, body: view(key) }),

    'POST encrypt': ({ request, key }) => {
      const body = fieldsOf(request, ['plaintext'], ['context'])
      const plaintext = textOf(body, 'plaintext', 5464)
      if (!BASE64.test(plaintext)) throw new Refusal(400, 'argument', 'plaintext is no base64')
      assertMay(key, 'encrypt', ['active'])
      const ciphertext = seal(key, Buffer.from(plaintext, 'base64'), contextOf(body), this.form)
      return { status: 200, body: { ciphertext } }
    },

    'POST decrypt': ({ request, key }) => {
      const body = fieldsOf(request, ['ciphertext'], ['context'])
      const ciphertext = textOf(body, 'ciphertext', 5464)
      assertMay(key, 'decrypt', this.deactivatedOpens ? ['active', 'deactivated'] : ['active'])
      const plaintext = unseal(key, ciphertext, contextOf(body))
      if (plaintext === undefined) throw new Refusal(400, 'badArgument', 'decryption failed')
      return { status: 200, body: { plaintext: plaintext.toString('base64') } }
    },

    'POST activate': ({ key }) => moved(key, ['pre_active', 'deactivated'], 'active'),

    'POST deactivate': ({ request, key }) => {
      const reason = textOf(fieldsOf(request, ['reason'], []), 'reason', 64)
      if (!REASONS.includes(reason)) throw new Refusal(400, 'argument', 'no such reason')
      return moved(key, ['active'], reason === 'key_compromise' ? 'compromised' : 'deactivated')
    },

    'PATCH ': ({ request, key }) => {
      key.name = textOf(fieldsOf(request, ['name'], []), 'name', 32)
      return { status: 200, body: view(key) }
    },

    'DELETE ': ({ key }) =>
      moved(
        key,
        ['deactivated', 'compromised'],
        key.state === 'compromised' ? 'destroyed_compromised' : 'destroyed',
      ),
  }

  #create(request: FakeRequest): FakeAnswer {
    const optional = ['id', 'context', 'type', 'size', 'curve', 'operations', 'protectionLevel', 'keys']
    const body = fieldsOf(request, ['name'], optional)
    const { type, size, operations, protectionLevel = 'SOFTWARE' } = body
    if (type !== 'oct' || typeof size !== 'number' || !Array.isArray(operations)) {
      throw new Refusal(400, 'argument', 'only symmetric keys are made here')
    }
    const key = this.addKey({
      name: textOf(body, 'name', 32),
      size,
      operations: operations as string[],
      protectionLevel: String(protectionLevel),
    })
    return { status: 201, body: view(key) }
  }

  /** The token is where to go on; the last page has one too, since the description wants one in each. */
  #list({ url }: FakeRequest): FakeAnswer {
    const {
      state = 'active',
      max = '100',
      'continuation-token': token = '0',
      ...more
    } = Object.fromEntries(url.searchParams)
    const size = Number(max)
    const isGood = STATES.includes(state) && size >= 10 && size <= 100 && /^\d+$/.test(token)
    if (!isGood || Object.keys(more).length > 0) throw new Refusal(400, 'argument', 'no such query')
    const all = this.keys.filter((key) => state === 'all' || (key.state ?? 'active') === state)
    const end = Number(token) + size
    return {
      status: 200,
      body: {
        objects_list: all.slice(Number(token), end).map(view),
        continuation_token: String(end),
        is_truncated: end < all.length,
      },
    }
  }
}

function nameOf({ method }: FakeRequest): string {
  return { PATCH: 'update', DELETE: 'delete' }[method] ?? 'get'
}

function view({ id, name, type, operations, size, protectionLevel, state }: FakeServiceKey): object {
  const attributes = state === undefined ? {} : { state, created_at: '2026-11-26T12:00:00Z' }
  return { id, name, type, operations, size, protectionLevel, attributes }
}

function moved(key: FakeServiceKey, from: readonly string[], to: string): FakeAnswer {
  if (!from.includes(key.state ?? '')) throw new Refusal(400, 'conflict', `the key is ${key.state ?? ''}`)
  key.state = to
  return { status: 204 }
}

function assertMay(key: FakeServiceKey, operation: string, states: readonly string[]): void {
  const isMeant = key.type === 'oct' && key.operations.includes(operation)
  if (!isMeant) throw new Refusal(400, 'badArgument', 'the key is not made for this')
  if (!states.includes(key.state ?? 'active')) throw new Refusal(400, 'badArgument', 'key is not active')
}

function fieldsOf(
  { headers, body }: FakeRequest,
  required: readonly string[],
  optional: readonly string[],
): Record<string, unknown> {
  if (!String(headers['content-type']).startsWith('application/json')) {
    throw new Refusal(400, 'argument', 'the content type is not supported')
  }
  let fields: unknown
  try {
    fields = JSON.parse(body.toString('utf8'))
  } catch {
    throw new Refusal(400, 'argument', 'no JSON')
  }
  const isObject = typeof fields === 'object' && fields !== null && !Array.isArray(fields)
  const names = isObject ? Object.keys(fields as object) : []
  const isGood =
    required.every((name) => names.includes(name)) &&
    names.every((name) => required.includes(name) || optional.includes(name))
  if (!isGood) throw new Refusal(400, 'argument', 'fields that the API does not have, or too few')
  return fields as Record<string, unknown>
}

function textOf(body: Record<string, unknown>, name: string, max: number): string {
  const text = body[name]
  if (typeof text === 'string' && text.length > 0 && text.length <= max) return text
  throw new Refusal(400, 'argument', `${name} must be a text of 1 to ${max} characters`)
}

function contextOf(body: Record<string, unknown>): string | undefined {
  const context = body['context'] ?? undefined
  if (context === undefined || (typeof context === 'string' && context.length <= 64)) return context
  throw new Refusal(400, 'argument', 'context must be a text of at most 64 characters')
}
