/**
 * Google Cloud as the backend `gcp` meets it: Cloud KMS over REST, and the services that give access tokens. Made from
 * the protos and the API's documents; the official client is driven against it in test/servers/gcp/.
 */
import { createPublicKey, verify, type KeyObject } from 'node:crypto'
import type { ServerOptions } from 'node:https'
import { FakeServer, type FakeAnswer, type FakeRequest } from './fake_server.js'
import { deniedAnswer, googleError } from './gcp_errors.js'
import { FakeCryptoKey, type Lie } from './gcp_key.js'

/** Of every service account's JSON key: its token endpoint, as it stands in assertions. */
const AUDIENCE = 'https://oauth2.googleapis.com/token'

export const KMS_SCOPES = [
  'https://www.googleapis.com/auth/cloudkms',
  'https://www.googleapis.com/auth/cloud-platform',
]

/** Of the identity pool that the fake knows. */
export const POOL = '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q'

export const KEY_NAME = 'projects/acme-prod/locations/europe-west1/keyRings/clusters/cryptoKeys/kek'

interface Token {
  readonly identity: string
  readonly scopes: readonly string[]
  isRevoked: boolean
}

export class FakeGcp {
  readonly key = new FakeCryptoKey(KEY_NAME)
  /** By e-mail address. */
  readonly accounts = new Map<string, KeyObject>()
  /** By refresh token. */
  readonly users = new Map<string, string>()
  /** What another identity provider signed, and whom it names. */
  readonly subjects = new Map<string, string>()
  /** `identity permission`: refused. */
  readonly denied = new Set<string>()
  /** The service account of the machine; `undefined`: there is none. */
  machine: string | undefined = 'node@acme-prod.iam.gserviceaccount.com'
  /** A machine of another cloud answers without it. */
  hasMetadataFlavor = true
  /** Seconds. */
  tokenLifetime = 3600
  /** In place of an answer of Cloud KMS that went well. */
  lie: Lie | undefined
  /** Every token that was given out; secret. */
  readonly tokens = new Map<string, Token>()
  server!: FakeServer

  static async start(tls?: ServerOptions): Promise<FakeGcp> {
    const fake = new FakeGcp()
    fake.server = await FakeServer.start((request) => fake.#answer(request), tls)
    return fake
  }

  addAccount(email: string, privateKey: string): void {
    this.accounts.set(email, createPublicKey(privateKey))
  }

  revokeTokens(): void {
    for (const token of this.tokens.values()) token.isRevoked = true
  }

  async close(): Promise<void> {
    await this.server.close()
  }

  #answer(request: FakeRequest): FakeAnswer {
    const { pathname } = request.url
    const route = `${request.method} ${decodeURIComponent(pathname)}`
    if (route === 'POST /token') return this.#oauth(new URLSearchParams(request.body.toString()))
    if (route === 'POST /v1/token') return this.#exchange(new URLSearchParams(request.body.toString()))
    if (route.startsWith('GET /computeMetadata/')) return this.#metadata(request)
    if (route === 'GET /subject') return { status: 200, body: [...this.subjects.keys()][0] ?? '' }
    const account = /^POST \/v1\/projects\/-\/serviceAccounts\/([^/]+):generateAccessToken$/.exec(route)?.[1]
    if (account !== undefined) return this.#impersonate(account, request)
    const call = /^(GET|POST) \/v1\/(projects\/.+?)(?::([a-zA-Z]+))?$/.exec(route)
    if (call !== null) return this.#kms(call[2] ?? '', call[3] ?? 'get', request)
    return { status: 404, headers: { 'content-type': 'text/html' }, body: '<html>Not Found</html>' }
  }

  #kms(name: string, method: string, request: FakeRequest): FakeAnswer {
    const identity = this.#identityOf(request)
    if (typeof identity !== 'string') return identity
    const body =
      request.body.length === 0 ? {} : (JSON.parse(request.body.toString()) as Record<string, unknown>)
    if (method === 'testIamPermissions') {
      const asked = Array.isArray(body['permissions']) ? body['permissions'].map(String) : []
      const held = asked.filter(
        (permission) => !this.#isDenied(identity, permission) && name === this.key.name,
      )
      return { status: 200, body: held.length === 0 ? {} : { permissions: held } }
    }
    const permission = PERMISSIONS[method]
    if (permission === undefined) return googleError(404, 'NOT_FOUND', 'no such method')
    if (this.#isDenied(identity, permission)) return deniedAnswer(permission, name)
    const answer = this.key.call(method, name, body)
    return answer.status === 200 && this.lie !== undefined ? this.lie(answer) : answer
  }

  #isDenied(identity: string, permission: string): boolean {
    return this.denied.has(`${identity} ${permission}`) || this.denied.has(`* ${permission}`)
  }

  #identityOf(request: FakeRequest, scopes = KMS_SCOPES): string | FakeAnswer {
    const value = /^Bearer (.+)$/.exec(String(request.headers['authorization']))?.[1]
    const token = this.tokens.get(value ?? '')
    if (token === undefined || token.isRevoked) {
      const text = 'Request had invalid authentication credentials. Expected OAuth 2 access token.'
      return googleError(401, 'UNAUTHENTICATED', text, [errorInfo('ACCESS_TOKEN_EXPIRED')])
    }
    if (token.scopes.some((scope) => scopes.includes(scope))) return token.identity
    const text = 'Request had insufficient authentication scopes.'
    return googleError(403, 'PERMISSION_DENIED', text, [errorInfo('ACCESS_TOKEN_SCOPE_INSUFFICIENT')])
  }

  /** @returns The token itself. */
  issue(identity: string, scopes: readonly string[]): string {
    const value = `ya29.fake-${crypto.randomUUID()}`
    this.tokens.set(value, { identity, scopes, isRevoked: false })
    return value
  }

  #oauth(form: URLSearchParams): FakeAnswer {
    if (form.get('grant_type') === 'refresh_token') {
      const user = this.users.get(form.get('refresh_token') ?? '')
      if (user === undefined) return oauthError('invalid_grant', 'Token has been expired or revoked.')
      return this.#granted(user, KMS_SCOPES)
    }
    if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:jwt-bearer') {
      return oauthError('unsupported_grant_type', 'Invalid grant_type')
    }
    const [head = '', claims = '', signature = ''] = (form.get('assertion') ?? '').split('.')
    const { iss = '', aud, scope = '', iat = 0, exp = 0 } = jsonOf(claims)
    const account = this.accounts.get(iss)
    if (account === undefined) return oauthError('invalid_grant', 'Invalid grant: account not found')
    const isSigned =
      jsonOf(head).alg === 'RS256' &&
      verify('sha256', Buffer.from(`${head}.${claims}`), account, Buffer.from(signature, 'base64url'))
    if (!isSigned) return oauthError('invalid_grant', 'Invalid JWT Signature.')
    const now = Date.now() / 1000
    if (aud !== AUDIENCE || iat > now + 300 || exp < now || exp > iat + 3600) {
      return oauthError('invalid_grant', 'Invalid JWT: Token must be a short-lived token')
    }
    return this.#granted(iss, scope.split(' '))
  }

  #exchange(form: URLSearchParams): FakeAnswer {
    if (form.get('audience') !== POOL) return oauthError('invalid_target', 'The target service is unknown.')
    if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:token-exchange') {
      return oauthError('invalid_request', 'Invalid grant_type')
    }
    const subject = (form.get('subject_token') ?? '').trim()
    const isAws = form.get('subject_token_type') === 'urn:ietf:params:aws:token-type:aws4_request'
    const identity = isAws ? awsRole(subject) : this.subjects.get(subject)
    if (identity === undefined) return oauthError('invalid_grant', 'The ID Token is stale to sign-in.')
    const issued = { issued_token_type: 'urn:ietf:params:oauth:token-type:access_token' }
    return this.#granted(identity, (form.get('scope') ?? '').split(' '), issued)
  }

  #granted(identity: string, scopes: readonly string[], more: object = {}): FakeAnswer {
    const access_token = this.issue(identity, scopes)
    return {
      status: 200,
      body: { ...more, access_token, expires_in: this.tokenLifetime, token_type: 'Bearer' },
    }
  }

  #impersonate(account: string, request: FakeRequest): FakeAnswer {
    const iamScopes = [
      'https://www.googleapis.com/auth/cloud-platform',
      'https://www.googleapis.com/auth/iam',
    ]
    const identity = this.#identityOf(request, iamScopes)
    if (typeof identity !== 'string') return identity
    const permission = 'iam.serviceAccounts.getAccessToken'
    if (this.#isDenied(identity, permission)) return deniedAnswer(permission, account)
    const { scope = [] } = JSON.parse(request.body.toString()) as { scope?: string[] }
    const expireTime = new Date(Date.now() + this.tokenLifetime * 1000).toISOString()
    return { status: 200, body: { accessToken: this.issue(account, scope), expireTime } }
  }

  #metadata(request: FakeRequest): FakeAnswer {
    const headers: Record<string, string> = this.hasMetadataFlavor ? { 'metadata-flavor': 'Google' } : {}
    if (request.headers['metadata-flavor'] !== 'Google')
      return { status: 403, headers, body: 'Missing header' }
    if (this.machine === undefined) return { status: 404, headers, body: 'Not Found' }
    const access_token = this.issue(this.machine, KMS_SCOPES)
    return {
      status: 200,
      headers,
      body: { access_token, expires_in: this.tokenLifetime, token_type: 'Bearer' },
    }
  }
}

const PERMISSIONS: Readonly<Record<string, string>> = {
  get: 'cloudkms.cryptoKeys.get',
  encrypt: 'cloudkms.cryptoKeyVersions.useToEncrypt',
  decrypt: 'cloudkms.cryptoKeyVersions.useToDecrypt',
}

/** Whoever signed a GetCallerIdentity for AWS; the signature is not looked at. */
function awsRole(subject: string): string | undefined {
  const request = JSON.parse(decodeURIComponent(subject)) as { headers: { key: string; value: string }[] }
  const header = request.headers.find(({ key }) => key.toLowerCase() === 'authorization')
  return /Credential=([A-Z0-9]+)\//.exec(header?.value ?? '')?.[1]
}

function errorInfo(reason: string): object {
  return { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason, domain: 'googleapis.com' }
}

function oauthError(error: string, error_description: string): FakeAnswer {
  return { status: error === 'invalid_client' ? 401 : 400, body: { error, error_description } }
}

interface Claims {
  readonly alg?: string
  readonly iss?: string
  readonly aud?: string
  readonly scope?: string
  readonly iat?: number
  readonly exp?: number
}

function jsonOf(part: string): Claims {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString()) as Claims
  } catch {
    return {}
  }
}
