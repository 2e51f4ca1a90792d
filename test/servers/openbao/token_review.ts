/** The one request of a Kubernetes API server that the `kubernetes` login needs: whose token is this (TokenReview)? */
import { makeAuthority } from '../../support/certificates.js'
import { FakeServer } from '../../support/fakes/fake_server.js'

export interface ServiceAccount {
  readonly namespace: string
  readonly name: string
}

export class TokenReviewer {
  readonly #server: FakeServer
  /** PEM. */
  readonly ca: string
  readonly #accounts: Map<string, ServiceAccount>

  private constructor(server: FakeServer, ca: string, accounts: Map<string, ServiceAccount>) {
    this.#server = server
    this.ca = ca
    this.#accounts = accounts
  }

  static async start(): Promise<TokenReviewer> {
    const authority = await makeAuthority('a cluster')
    const accounts = new Map<string, ServiceAccount>()
    const server = await FakeServer.start(
      ({ body }) => {
        const { spec } = JSON.parse(body.toString()) as { spec: Question }
        return { status: 201, body: review(spec, accounts.get(spec.token)) }
      },
      await authority.issue(),
    )
    return new TokenReviewer(server, authority.cert, accounts)
  }

  get url(): string {
    return this.#server.url
  }

  /** From now on the token is that of this account; `undefined`: of nobody. */
  know(token: string, account: ServiceAccount | undefined): void {
    if (account === undefined) this.#accounts.delete(token)
    else this.#accounts.set(token, account)
  }

  async close(): Promise<void> {
    await this.#server.close()
  }
}

interface Question {
  readonly token: string
  readonly audiences?: readonly string[]
}

/** It does not look at the token's own audience: that OpenBao wants one is what a test can see. */
function review({ audiences }: Question, account: ServiceAccount | undefined): object {
  const head = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview' }
  if (account === undefined) return { ...head, status: { authenticated: false } }
  const { namespace, name } = account
  const groups = ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated']
  const user = { username: `system:serviceaccount:${namespace}:${name}`, uid: `uid-of-${name}`, groups }
  return { ...head, status: { authenticated: true, user, audiences } }
}
