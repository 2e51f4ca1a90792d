/** Where a token for the vault comes from, whichever way we log in. */
import type { Lease } from '../remote/credential.js'
import { malformed, textAt, type JsonObject } from '../remote/json_answer.js'

export interface TokenSource {
  /**
   * One login.
   *
   * @param resource As in `https://vault.azure.net`.
   * @throws {KmsError} `ERR_LOGIN_REFUSED`; `ERR_CONFIG_INVALID`: a file or an environment variable; as `HttpClient.send`.
   */
  obtain(resource: string, signal: AbortSignal): Promise<Lease<string>>
  /** Requests under way fail with `ERR_SHUTTING_DOWN`. */
  close(): void
}

/** @throws {KmsError} `ERR_BACKEND_RESPONSE`: no token in it that can be used. */
export function tokenIn(body: JsonObject, service: string): Lease<string> {
  const value = textAt(body, 'access_token')
  const seconds = secondsIn(body['expires_in'])
  if (value === undefined || !/^[\x21-\x7e]{1,32768}$/.test(value) || seconds === undefined) {
    throw malformed(service, 'a login without a token and its lifetime')
  }
  return { value, lifetimeMs: seconds * 1000 }
}

/** Entra writes a number, IMDS a text. A token that ends at once would have to be fetched again without a rest. */
function secondsIn(value: unknown): number | undefined {
  const isText = typeof value === 'string' && /^[0-9]{1,9}$/.test(value)
  const seconds = isText || typeof value === 'number' ? Number(value) : 0
  return Number.isFinite(seconds) && seconds > 0 ? seconds : undefined
}
