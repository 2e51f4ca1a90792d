/** The fake of IBM Cloud IAM: API keys, and the tokens that it gives for them. */
import { randomBytes } from 'node:crypto'
import type { FakeAnswer, FakeRequest } from './fake_server.js'

/** Of one API key, as its service id has it. */
export type Role = 'none' | 'Reader' | 'Manager'

interface Token {
  readonly role: () => Role
  readonly untilMs: number
}

const GRANT_TYPE = 'urn:ibm:params:oauth:grant-type:apikey'
const PATHS = ['/identity/token', '/oidc/token']

export class FakeIam {
  readonly #nowMs: () => number
  readonly #roles = new Map<string, Role>()
  readonly #tokens = new Map<string, Token>()
  /** All that were given, for tests that look for them where they must not be. */
  readonly given: string[] = []
  lifetimeS = 3600
  /** How wrong the wall clock of IAM is, as we see it. */
  wallClockErrorS = 0

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  serves(request: FakeRequest): boolean {
    return PATHS.includes(request.url.pathname)
  }

  /** A new API key, for a service id with this role on all keys. */
  makeApiKey(role: Role = 'Reader'): string {
    const apiKey = randomBytes(33).toString('base64url')
    this.#roles.set(apiKey, role)
    return apiKey
  }

  setRole(apiKey: string, role: Role): void {
    this.#roles.set(apiKey, role)
  }

  /** Its tokens hold on until they end, as with IBM. */
  deleteApiKey(apiKey: string): void {
    this.#roles.delete(apiKey)
  }

  endTokens(): void {
    this.#tokens.clear()
  }

  /** `undefined`: no token of ours, or one that has ended. */
  roleOf(token: string): Role | undefined {
    const found = this.#tokens.get(token)
    return found !== undefined && this.#nowMs() < found.untilMs ? found.role() : undefined
  }

  answer(request: FakeRequest): FakeAnswer {
    if (request.method !== 'POST') return refusal(405, 'BXNIM0101E', 'Method not allowed')
    if (!String(request.headers['content-type']).startsWith('application/x-www-form-urlencoded')) {
      return refusal(415, 'BXNIM0102E', 'Unsupported media type')
    }
    const form = new URLSearchParams(request.body.toString('utf8'))
    if (form.get('grant_type') !== GRANT_TYPE) {
      return refusal(400, 'BXNIM0106E', "Validation of property 'grant_type' failed")
    }
    const apiKey = form.get('apikey') ?? ''
    if (apiKey === '') return refusal(400, 'BXNIM0109E', "Property missing or empty: 'apikey'")
    const role = this.#roles.get(apiKey)
    if (role === undefined) return refusal(400, 'BXNIM0415E', 'Provided API key could not be found.')
    const token = `eyJraWQiOiIx.${randomBytes(48).toString('base64url')}.${randomBytes(24).toString('base64url')}`
    this.#tokens.set(token, {
      role: () => this.#roles.get(apiKey) ?? role,
      untilMs: this.#nowMs() + this.lifetimeS * 1000,
    })
    this.given.push(token)
    return {
      status: 200,
      body: {
        access_token: token,
        refresh_token: 'not_supported',
        token_type: 'Bearer',
        expires_in: this.lifetimeS,
        expiration: Math.floor(Date.now() / 1000) + this.lifetimeS + this.wallClockErrorS,
        scope: 'ibm openid',
      },
    }
  }
}

function refusal(status: number, errorCode: string, errorMessage: string): FakeAnswer {
  const requestId = `bnRkYzk-${randomBytes(8).toString('hex')}`
  return {
    status,
    body: {
      errorCode,
      errorMessage,
      context: {
        requestId,
        requestType: 'incoming.Identity_Token',
        url: 'https://iam.cloud.ibm.com',
        clusterName: 'iam-id-fake',
      },
    },
  }
}
