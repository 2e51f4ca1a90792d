/**
 * Which access token does the metadata server give to this machine or pod? One read, done here: the library's own way
 * to it knows no time limit on Google's machines, and another HTTP client.
 */
import { KmsError } from '../../../ports/errors.js'
import { jsonObject, malformed, textAt } from '../remote/json_answer.js'
import type { Lease } from '../remote/credential.js'
import { tokenError } from './token_errors.js'
import type { TokenHttp } from './token_http.js'
import { isTokenText } from './token_text.js'

const DEFAULT_HOST = '169.254.169.254'
const PATH = '/computeMetadata/v1/instance/service-accounts/default/token'
const FLAVOR = 'metadata-flavor'

export function metadataUrl(env: Readonly<Record<string, string | undefined>>): URL {
  const { GCE_METADATA_IP: ip = '', GCE_METADATA_HOST: host = '' } = env
  const authority = ip !== '' ? ip : host !== '' ? host : DEFAULT_HOST
  const url = `http://${authority}${PATH}`
  if (URL.canParse(url)) return new URL(url)
  throw new KmsError('ERR_CONFIG_INVALID', 'GCE_METADATA_HOST must be a host, or host:port')
}

/**
 * @throws {KmsError} `ERR_CONFIG_INVALID`: it is none of Google, or the machine has no service account; those of
 * HttpClient; `ERR_BACKEND_*`.
 */
export async function metadataToken(http: TokenHttp, url: URL, signal: AbortSignal): Promise<Lease<string>> {
  const service = `the metadata server at ${url.origin} (asked since no file of credentials is named)`
  const answer = await http.send({ method: 'GET', url, headers: { [FLAVOR]: 'Google' }, service }, signal)
  // Whoever cannot serve now may leave the header out, as what stands before it does.
  if (answer.status === 429 || answer.status >= 500) throw tokenError(answer, service)
  if (answer.headers[FLAVOR] !== 'Google') {
    answer.body.fill(0)
    const text = `${service} is not that of Google Cloud; set credentials, or GOOGLE_APPLICATION_CREDENTIALS`
    throw new KmsError('ERR_CONFIG_INVALID', text)
  }
  if (answer.status === 404) {
    answer.body.fill(0)
    const text = `${service} says that this machine has no service account; attach one, or set credentials`
    throw new KmsError('ERR_CONFIG_INVALID', text)
  }
  if (answer.status !== 200) throw tokenError(answer, service)
  const body = jsonObject(answer, service)
  const value = textAt(body, 'access_token')
  const seconds = body['expires_in']
  if (!isTokenText(value) || typeof seconds !== 'number') throw malformed(service, 'no token')
  return { value, lifetimeMs: seconds * 1000 }
}
