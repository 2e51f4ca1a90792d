/** Speaks to OpenBao over its HTTP API as a test does: any request, as anybody. Shares no code with the backend. */
import { Agent, request } from 'node:https'
import { buffer } from 'node:stream/consumers'

export type Json = Readonly<Record<string, unknown>>

export interface BaoAnswer {
  readonly status: number
  /** `{}` where there is no body, or none of JSON. */
  readonly body: Json
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

export interface BaoAccess {
  readonly url: string
  /** PEM. */
  readonly ca: string
  /** `undefined`: no token is sent. */
  readonly token?: string | undefined
  readonly namespace?: string | undefined
  /** PEM, for the login by certificate. */
  readonly client?: { readonly cert: string; readonly key: string } | undefined
}

const TIMEOUT_MS = 30_000

/** Keeps connections apart by certificates, so that one does for all. */
const agent = new Agent({ keepAlive: true })

export class BaoApi {
  readonly access: BaoAccess

  constructor(access: BaoAccess) {
    this.access = access
  }

  /** The same server, but for what is said here. */
  as(change: Partial<BaoAccess>): BaoApi {
    return new BaoApi({ ...this.access, ...change })
  }

  /**
   * Whatever it answers.
   *
   * @param path Behind `/v1/`.
   * @param body A text is sent as it is.
   */
  async ask(method: string, path: string, body?: Json | string): Promise<BaoAnswer> {
    const { url, ca, token, namespace, client } = this.access
    const text = typeof body === 'object' ? JSON.stringify(body) : body
    return new Promise((resolve, reject) => {
      const outgoing = request(`${url}/v1/${path}`, {
        method,
        ca,
        ...client,
        agent,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: {
          ...(token === undefined ? {} : { 'x-vault-token': token }),
          ...(namespace === undefined ? {} : { 'x-vault-namespace': namespace }),
        },
      })
      outgoing.on('error', reject)
      outgoing.on('response', (incoming) => {
        buffer(incoming).then(
          (bytes) =>
            resolve({
              status: incoming.statusCode ?? 0,
              body: objectIn(bytes.toString()),
              headers: incoming.headers,
            }),
          reject,
        )
      })
      outgoing.end(text)
    })
  }

  /** What it answers, which must be a success: a test cannot go on without. */
  async must(method: string, path: string, body?: Json): Promise<Json> {
    const answer = await this.ask(method, path, body)
    if (answer.status >= 200 && answer.status < 300) return answer.body
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
  }
}

/** The texts under `errors`, as OpenBao says why not. */
export function errorsIn({ body }: BaoAnswer): readonly string[] {
  const { errors } = body
  return Array.isArray(errors) ? errors.map(String) : []
}

/** The object at this name of an answer. */
export function at(body: Json, name: string): Json {
  const value = body[name]
  if (typeof value !== 'object' || value === null) throw new Error(`no ${name} in ${JSON.stringify(body)}`)
  return value as Json
}

/** The text at this name of an answer. */
export function textOf(body: Json, name: string): string {
  const value = body[name]
  if (typeof value !== 'string') throw new Error(`no ${name} in ${JSON.stringify(body)}`)
  return value
}

function objectIn(text: string): Json {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {}
  } catch {
    return {}
  }
}
