/**
 * What access token do these credentials give? google-auth-library knows their forms; every request that it makes goes
 * over our own client: bounded, never tried again, with our proxy and our certificates, and nothing of it is logged.
 */
import type * as GoogleAuthLibrary from 'google-auth-library'
import type { gaxios } from 'google-auth-library'
import { KmsError } from '../../../ports/errors.js'
import type { Lease } from '../remote/credential.js'
import { errorCode, UNKNOWN_ERROR } from '../system_error.js'
import { sourceOf, type GoogleCredentials, type SourceCredentials } from './credentials_file.js'
import { requestsOver, sendRequest } from './library_requests.js'
import { isTokenText } from './token_text.js'
import type { TokenHttp } from './token_http.js'

export type AuthLibrary = typeof GoogleAuthLibrary
export type LoadAuthLibrary = () => Promise<AuthLibrary>

/** A stolen token opens no other service. */
const SCOPE = 'https://www.googleapis.com/auth/cloudkms'

/** Of a token that only serves to get one for another account. */
const IMPERSONATING_SCOPE = 'https://www.googleapis.com/auth/iam'

/** Where a service does not say how long its token holds. */
const DEFAULT_LIFETIME_MS = 300_000

/**
 * A token is believed for so long, whatever is said of its end: that may be a moment by a clock that is not ours. One
 * that holds no longer is refused, and replaced then.
 */
const MIN_LIFETIME_MS = 60_000

export const loadAuthLibrary: LoadAuthLibrary = async () => import('google-auth-library')

/**
 * @throws {KmsError} `ERR_CONFIG_INVALID`: the library is not installed, or does not take the credentials;
 * `ERR_LOGIN_REFUSED`, `ERR_ACCESS_DENIED`, `ERR_BACKEND_*` and what HttpClient throws.
 */
export async function exchangeForToken(
  credentials: GoogleCredentials,
  http: TokenHttp,
  signal: AbortSignal,
  load: LoadAuthLibrary,
): Promise<Lease<string>> {
  const library = await loaded(load)
  const failures: KmsError[] = []
  let answers = 0
  const requests = requestsOver(library, async (options) => {
    try {
      const answer = await sendRequest(options, tokenUrlOf(credentials), http, signal)
      answers += 1
      return answer
    } catch (error) {
      if (error instanceof KmsError) failures.push(error)
      // The library rewrites the messages of errors, and this one is not kept.
      throw new KmsError('ERR_INTERNAL', 'the request failed')
    }
  })
  try {
    const client = clientOf(library, credentials, requests)
    const { token } = await client.getAccessToken()
    if (!isTokenText(token)) throw new Error('no token')
    return { value: token, lifetimeMs: lifetimeUntil(client.credentials.expiry_date) }
  } catch (error) {
    const first = failures[0]
    if (first !== undefined) throw first
    // The library's own message may quote what it read.
    const what = `${credentials.type} credentials`
    throw answers > 0
      ? new KmsError('ERR_BACKEND_RESPONSE', `the services that give tokens for the ${what} gave none`)
      : new KmsError(
          'ERR_CONFIG_INVALID',
          `google-auth-library does not take the ${what}, or their token (${errorCode(error) ?? UNKNOWN_ERROR}); make the file anew with gcloud`,
        )
  }
}

/** @param endMs As the library made it of whatever was answered: `NaN` of a date that is none. */
function lifetimeUntil(endMs: number | null | undefined): number {
  if (typeof endMs !== 'number' || !Number.isFinite(endMs)) return DEFAULT_LIFETIME_MS
  return Math.max(endMs - Date.now(), MIN_LIFETIME_MS)
}

async function loaded(load: LoadAuthLibrary): Promise<AuthLibrary> {
  try {
    return await load()
  } catch (error) {
    const text = `files of Google credentials need the package google-auth-library, which does not load here (${errorCode(error) ?? UNKNOWN_ERROR}); run npm install google-auth-library@10.9.1 where kmsplugin is installed`
    throw new KmsError('ERR_CONFIG_INVALID', text)
  }
}

function clientOf(library: AuthLibrary, credentials: GoogleCredentials, transporter: gaxios.Gaxios) {
  if (credentials.type !== 'impersonated_service_account') {
    return sourceClientOf(library, credentials, SCOPE, transporter)
  }
  const source = sourceClientOf(library, sourceOf(credentials), IMPERSONATING_SCOPE, transporter)
  const { origin, pathname } = new URL(credentials.service_account_impersonation_url)
  const targetPrincipal = decodeURIComponent(/([^/]+):generateAccessToken$/.exec(pathname)?.[1] ?? '')
  return new library.Impersonated({
    sourceClient: source,
    targetPrincipal,
    targetScopes: [SCOPE],
    delegates: credentials.delegates ?? [],
    endpoint: origin,
    transporter,
  })
}

function sourceClientOf(
  library: AuthLibrary,
  credentials: SourceCredentials,
  scope: string,
  transporter: gaxios.Gaxios,
) {
  switch (credentials.type) {
    case 'service_account': {
      const { client_email: email, private_key: key } = credentials
      return new library.JWT({ email, key, scopes: [scope], transporter })
    }
    case 'authorized_user': {
      const { client_id: clientId, client_secret: clientSecret, refresh_token: refreshToken } = credentials
      return new library.UserRefreshClient({ clientId, clientSecret, refreshToken, transporter })
    }
    case 'external_account': {
      const client = library.ExternalAccountClient.fromJSON({ ...credentials, transporter } as Parameters<
        typeof library.ExternalAccountClient.fromJSON
      >[0])
      if (client === null) throw new Error('no client')
      client.scopes = [scope]
      // The exchange of tokens is not given the transporter by the library; a test tells when that changes.
      client['stsCredential']['transporter'] = transporter
      return client
    }
  }
}

function tokenUrlOf(credentials: GoogleCredentials): string | undefined {
  const source = sourceOf(credentials)
  return source.type === 'external_account' ? undefined : source.token_uri
}
