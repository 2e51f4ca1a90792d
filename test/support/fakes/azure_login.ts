/** Plays Microsoft Entra and the metadata service of a virtual machine: who gets a token, for what, and why not. */
import {
  createHash,
  createPublicKey,
  randomBytes,
  verify,
  X509Certificate,
  constants,
  type KeyObject,
} from 'node:crypto'
import type { FakeAnswer, FakeRequest } from './fake_server.js'

export const TENANT = '11111111-2222-3333-4444-555555555555'
export const CLIENT = 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee'

/** What a cluster's service account token must say, and whose key it must be signed by. */
export interface Federation {
  readonly issuer: string
  readonly subject: string
  readonly audience: string
  readonly key: KeyObject
}

interface Token {
  readonly resource: string
  readonly endsMs: number
}

const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/** By so much the clocks of others may be wrong. */
const CLOCK_SKEW_SECONDS = 300

export class FakeEntra {
  /** What the app registration knows; `undefined`: none of that kind. */
  secret: string | undefined = randomBytes(20).toString('base64url')
  certificate: string | undefined
  federation: Federation | undefined
  /** Whether the machine has the identity {@link CLIENT}. */
  hasManagedIdentity = true
  tokenSeconds = 3600
  /** How it is reached; assertions are made out to its address. */
  scheme = 'https'
  /** All that were given out, for tests that look for them in logs. */
  readonly given: string[] = []
  readonly #tokens = new Map<string, Token>()

  /** Refuses all tokens that were given out so far. */
  endSessions(): void {
    this.#tokens.clear()
  }

  /** Whether a request to the resource is let in. */
  letsIn(authorization: string | string[] | undefined, resource: string): boolean {
    const token = this.#tokens.get(/^Bearer (\S+)$/.exec(String(authorization))?.[1] ?? '')
    return token !== undefined && token.resource === resource && Date.now() < token.endsMs
  }

  /** `undefined`: the request is for somebody else. */
  answer(request: FakeRequest): FakeAnswer | undefined {
    const { pathname } = request.url
    // The official client puts a slash behind it where the environment has moved it.
    if (/^\/metadata\/identity\/oauth2\/token\/?$/.test(pathname)) return this.#imds(request)
    const [, tenant, rest] =
      /^\/([^/]+)\/(oauth2\/v2\.0\/token|v2\.0\/\.well-known\/openid-configuration)$/.exec(pathname) ?? []
    if (tenant === undefined) return undefined
    const base = `${this.scheme}://${String(request.headers['host'])}/${tenant}`
    if (rest?.startsWith('v2.0') === true) return { status: 200, body: discovery(base) }
    return this.#login(request, tenant, `${base}/oauth2/v2.0/token`)
  }

  #imds({ method, headers, url }: FakeRequest): FakeAnswer {
    const query = url.searchParams
    if (headers['metadata'] !== 'true')
      return {
        status: 400,
        body: { error: 'invalid_request', error_description: 'Required metadata header not specified' },
      }
    if (method !== 'GET' || query.get('api-version') !== '2018-02-01')
      return { status: 400, body: { error: 'bad_request_102' } }
    const wanted = query.get('client_id') ?? CLIENT
    if (!this.hasManagedIdentity || wanted !== CLIENT) {
      return { status: 400, body: { error: 'invalid_request', error_description: 'Identity not found' } }
    }
    const resource = query.get('resource') ?? ''
    // All of them texts, as the real one writes them.
    const body = {
      access_token: this.#give(resource),
      expires_in: String(this.tokenSeconds),
      resource,
      token_type: 'Bearer',
    }
    return { status: 200, body }
  }

  #login({ method, headers, body }: FakeRequest, tenant: string, address: string): FakeAnswer {
    const isForm = String(headers['content-type']).startsWith('application/x-www-form-urlencoded')
    if (method !== 'POST' || !isForm) return refusal(400, 'invalid_request', 900144)
    if (tenant !== TENANT) return refusal(400, 'invalid_request', 90002)
    const form = new URLSearchParams(body.toString())
    const resource = /^(https:\/\/[^/]+)\/\.default( |$)/.exec(form.get('scope') ?? '')?.[1]
    if (form.get('grant_type') !== 'client_credentials') return refusal(400, 'unsupported_grant_type', 70003)
    if (resource === undefined) return refusal(400, 'invalid_scope', 1002012)
    if (form.get('client_id') !== CLIENT) return refusal(400, 'unauthorized_client', 700016)
    const mistake = this.#mistakeOf(form, address)
    if (mistake !== undefined) return refusal(401, 'invalid_client', mistake)
    return {
      status: 200,
      body: { token_type: 'Bearer', expires_in: this.tokenSeconds, access_token: this.#give(resource) },
    }
  }

  /** The number of Entra's error; `undefined`: the proof is good. */
  #mistakeOf(form: URLSearchParams, address: string): number | undefined {
    const secret = form.get('client_secret')
    if (secret !== null) return secret === this.secret ? undefined : 7000215
    const assertion = form.get('client_assertion')
    if (assertion === null || form.get('client_assertion_type') !== JWT_BEARER) return 7000218
    const jwt = parsed(assertion)
    if (jwt === undefined) return 50027
    const { header, claims } = jwt
    const seconds = Date.now() / 1000
    const isOver = Number(claims['exp']) + CLOCK_SKEW_SECONDS <= seconds
    if (isOver || Number(claims['nbf'] ?? 0) - CLOCK_SKEW_SECONDS > seconds) return 700024
    return header['x5t#S256'] === undefined && header['x5t'] === undefined
      ? this.#federationMistake(jwt)
      : this.#certificateMistake(jwt, address)
  }

  #certificateMistake({ header, claims, signed, signature }: Jwt, address: string): number | undefined {
    if (this.certificate === undefined) return 700027
    const { raw, publicKey } = new X509Certificate(this.certificate)
    if (header['x5t#S256'] !== createHash('sha256').update(raw).digest('base64url')) return 700027
    if (header['alg'] !== 'PS256' || !signedBy(publicKey, signed, signature, true)) return 700027
    if (claims['iss'] !== CLIENT || claims['sub'] !== CLIENT || typeof claims['jti'] !== 'string')
      return 700021
    return claims['aud'] === address ? undefined : 700023
  }

  #federationMistake({ header, claims, signed, signature }: Jwt): number | undefined {
    const { federation } = this
    if (federation === undefined) return 70021
    if (claims['iss'] !== federation.issuer) return 700211
    if (claims['aud'] !== federation.audience) return 700212
    if (claims['sub'] !== federation.subject) return 700213
    return header['alg'] === 'RS256' && signedBy(federation.key, signed, signature, false) ? undefined : 50013
  }

  #give(resource: string): string {
    const token = `eyJ0.${randomBytes(24).toString('base64url')}.sig`
    this.#tokens.set(token, { resource, endsMs: Date.now() + this.tokenSeconds * 1000 })
    this.given.push(token)
    return token
  }
}

interface Jwt {
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
  readonly signed: Buffer
  readonly signature: Buffer
}

function parsed(text: string): Jwt | undefined {
  const [header, claims, signature, ...more] = text.split('.')
  if (header === undefined || claims === undefined || signature === undefined || more.length > 0)
    return undefined
  const json = (part: string) =>
    JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>
  try {
    const signed = Buffer.from(`${header}.${claims}`)
    return {
      header: json(header),
      claims: json(claims),
      signed,
      signature: Buffer.from(signature, 'base64url'),
    }
  } catch {
    return undefined
  }
}

function signedBy(key: KeyObject, signed: Buffer, signature: Buffer, isPss: boolean): boolean {
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
  const publicKey = key.type === 'public' ? key : createPublicKey(key)
  return verify('sha256', signed, { key: publicKey, ...(isPss ? pss : {}) }, signature)
}

/** Quotes what it was asked, as the real one does; nothing of that may show up in a log. */
function refusal(status: number, error: string, number: number): FakeAnswer {
  const description = `AADSTS${number}: refused for the app '${CLIENT}'. Trace ID: 0 Correlation ID: 0 Timestamp: 2026-11-27 00:00:00Z`
  return { status, body: { error, error_description: description, error_codes: [number] } }
}

function discovery(base: string): object {
  return {
    issuer: `${base}/v2.0`,
    authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
    token_endpoint: `${base}/oauth2/v2.0/token`,
    jwks_uri: `${base}/discovery/v2.0/keys`,
  }
}
