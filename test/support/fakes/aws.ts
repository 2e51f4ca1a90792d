/**
 * AWS on loopback: KMS and STS at one address, the metadata services of a machine at another. Written from the
 * documentation of AWS; test/servers/aws compares it with LocalStack and drives it with botocore.
 */
import { randomUUID } from 'node:crypto'
import type { ServerOptions } from 'node:https'
import { FakeServer, type FakeAnswer, type FakeRequest } from './fake_server.js'
import { makeIdentity, type Identity, type IdentityWish } from './aws/identities.js'
import { AwsError, FakeKey, type KeyWish } from './aws/kms.js'
import { answerMetadata, type FakeMachine } from './aws/metadata.js'
import { answerKms } from './aws/operations.js'
import { verifySignature } from './aws/sigv4.js'
import { answerSts, type FakeRole } from './aws/sts.js'

const HOUR_MS = 3_600_000

export class FakeAws {
  /** KMS and STS. */
  readonly server: FakeServer
  /** IMDS and the credentials of containers; plain HTTP, as they are. */
  readonly metadata: FakeServer
  readonly identities = new Map<string, Identity>()
  readonly keys: FakeKey[] = []
  /** ARN of an alias to the ARN of its key. */
  readonly aliases = new Map<string, string>()
  readonly roles = new Map<string, FakeRole>()
  readonly machine: FakeMachine
  /** What its clock is ahead of ours. */
  clockOffsetMs = 0

  private constructor(server: FakeServer, metadata: FakeServer, machine: FakeMachine) {
    this.server = server
    this.metadata = metadata
    this.machine = machine
  }

  /** @param tls Of KMS and STS; `undefined`: plain HTTP. */
  static async start(tls?: ServerOptions): Promise<FakeAws> {
    const machine: FakeMachine = {
      openInstanceRole: undefined,
      openPodRole: undefined,
      podToken: `pod-token-${randomUUID()}`,
      region: 'eu-west-1',
      metadataTokens: new Set(),
    }
    const late: { aws?: FakeAws } = {}
    const server = await FakeServer.start((request) => late.aws!.#answer(request), tls)
    const metadata = await FakeServer.start((request) => answerMetadata(request, machine))
    late.aws = new FakeAws(server, metadata, machine)
    return late.aws
  }

  addKey(wish: KeyWish & { readonly alias?: string } = {}): FakeKey {
    const key = new FakeKey(wish)
    this.keys.push(key)
    if (wish.alias !== undefined) this.setAlias(wish.alias, key)
    return key
  }

  /** Makes, or moves, `alias/NAME` in the account and region of the key. */
  setAlias(name: string, key: FakeKey): void {
    this.aliases.set(`arn:aws:kms:${key.region}:${key.account}:${name}`, key.arn)
  }

  addIdentity(wish: IdentityWish = {}): Identity {
    const identity = makeIdentity(wish)
    this.identities.set(identity.accessKeyId, identity)
    return identity
  }

  /** A session that holds for an hour. */
  openSession(wish: IdentityWish = {}): Identity {
    return this.addIdentity({ expiresAtMs: this.nowMs() + HOUR_MS, ...wish })
  }

  /** A role that a pod with one of these tokens may assume. */
  addRole(name: string, tokens: readonly string[], wish: IdentityWish = {}): FakeRole {
    const arn = `arn:aws:iam::${wish.account ?? '111122223333'}:role/${name}`
    const open = () => this.openSession({ name, ...wish })
    const role: FakeRole = { arn, tokens: new Set(tokens), expiredTokens: new Set(), open }
    this.roles.set(arn, role)
    return role
  }

  /** All sessions end now. */
  endSessions(): void {
    for (const [id, identity] of this.identities) {
      if (identity.sessionToken === undefined) continue
      this.identities.set(id, { ...identity, expiresAtMs: this.nowMs() - 1 })
    }
  }

  nowMs(): number {
    return Date.now() + this.clockOffsetMs
  }

  /** The operations of KMS that were asked for, in order: `Encrypt`. */
  get operations(): string[] {
    return this.server.requests.map(operationOf).filter((name) => name !== '')
  }

  async close(): Promise<void> {
    await this.server.close()
    await this.metadata.close()
  }

  #answer(request: FakeRequest): FakeAnswer {
    const id = { 'x-amzn-requestid': randomUUID(), date: new Date(this.nowMs()).toUTCString() }
    const answer = operationOf(request) === '' ? answerSts(request, this.roles) : this.#answerKms(request)
    return { ...answer, headers: { ...answer.headers, ...id } }
  }

  #answerKms(request: FakeRequest): FakeAnswer {
    const headers = { 'content-type': 'application/x-amz-json-1.1' }
    try {
      const found = verifySignature(request, this.identities, 'kms', this.nowMs())
      if ('name' in found) throw new AwsError(found.name, found.message)
      const input = JSON.parse(request.body.toString('utf8')) as Record<string, unknown>
      const conditions = conditionsIn(request)
      const caller = { identity: found.signer, region: found.region, conditions }
      return { status: 200, headers, body: answerKms(operationOf(request), input, caller, this) }
    } catch (error) {
      if (!(error instanceof AwsError)) throw error
      return awsError(error.name, error.message, error.status)
    }
  }
}

/** As KMS answers an error. */
export function awsError(name: string, message = '', status = 400): FakeAnswer {
  const headers = { 'content-type': 'application/x-amz-json-1.1' }
  return { status, headers, body: { __type: name, ...(message === '' ? {} : { message }) } }
}

function operationOf({ headers }: FakeRequest): string {
  const target = headers['x-amz-target']
  return typeof target === 'string' ? target.replace(/^TrentService\./, '') : ''
}

function conditionsIn({ headers }: FakeRequest): Record<string, string> {
  const text = (name: string): Record<string, string> => {
    const value = headers[`x-amz-${name.toLowerCase().replace('aws:source', 'source-')}`]
    return typeof value === 'string' ? { [name]: value } : {}
  }
  return { ...text('aws:SourceArn'), ...text('aws:SourceAccount') }
}
