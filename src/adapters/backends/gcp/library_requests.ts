/** What becomes of a request that google-auth-library wants to make? It goes over our own client, and only there. */
import type * as GoogleAuthLibrary from 'google-auth-library'
import type { gaxios } from 'google-auth-library'
import type { HttpRequest } from '../remote/http_client.js'
import { tokenError } from './token_errors.js'
import type { TokenHttp } from './token_http.js'

/** In the library; the `token_uri` of a credentials file takes its place, as with Google's other libraries. */
const TOKEN_URL = 'https://oauth2.googleapis.com/token'

const METHODS: readonly HttpRequest['method'][] = ['GET', 'POST', 'PUT']

type Send = (options: gaxios.GaxiosOptions) => Promise<gaxios.GaxiosResponse>

/** In the place of the library's HTTP client, with none of its retries, logs and interceptors. */
export function requestsOver({ gaxios }: typeof GoogleAuthLibrary, send: Send): gaxios.Gaxios {
  class OwnRequests extends gaxios.Gaxios {
    override async request<T>(options: gaxios.GaxiosOptions = {}): gaxios.GaxiosPromise<T> {
      return (await send(options)) as gaxios.GaxiosResponse<T>
    }
  }
  return new OwnRequests()
}

/**
 * @param tokenUrl In the place of the library's own address for tokens, if given.
 * @throws {KmsError} For any answer that is no success; nothing is tried again.
 */
export async function sendRequest(
  options: gaxios.GaxiosOptions,
  tokenUrl: string | undefined,
  http: TokenHttp,
  signal: AbortSignal,
): Promise<gaxios.GaxiosResponse> {
  const asked = String(options.url)
  const url = new URL(asked === TOKEN_URL ? (tokenUrl ?? asked) : asked)
  const service = `the token service at ${url.origin}`
  const method = METHODS.find((one) => one === (options.method ?? 'GET').toUpperCase())
  if (method === undefined) throw new Error('a method that is not known here')
  const headers = new Headers(options.headers)
  const body = bodyOf(options.data, headers)
  const request = { method, url, service, headers: Object.fromEntries(headers) }
  const answer = await http.send(body === undefined ? request : { ...request, body }, signal)
  if (answer.status < 200 || answer.status >= 300) throw tokenError(answer, service)
  const text = answer.body.toString('utf8')
  answer.body.fill(0)
  const data: unknown = options.responseType === 'text' ? text : jsonOr(text)
  const config = { ...options, headers, url }
  return Object.assign(new Response(null, { status: answer.status }), { config, data })
}

function bodyOf(data: unknown, headers: Headers): string | undefined {
  if (data === undefined) return undefined
  if (data instanceof URLSearchParams) {
    headers.set('content-type', 'application/x-www-form-urlencoded')
    return data.toString()
  }
  if (typeof data === 'string') return data
  headers.set('content-type', 'application/json')
  return JSON.stringify(data)
}

/** Some sources of tokens answer plain text without saying so. */
function jsonOr(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
