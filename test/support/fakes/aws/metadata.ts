/** The services on a machine that give credentials: IMDSv2 of an instance, and that of containers (EKS Pod Identity). */
import { randomBytes } from 'node:crypto'
import type { FakeAnswer, FakeRequest } from '../fake_server.js'
import type { Identity } from './identities.js'

export interface FakeMachine {
  /** Opens a session for the role of the instance; `undefined`: it has none. */
  openInstanceRole: (() => Identity) | undefined
  /** Opens a session for the role of the pod; `undefined`: no association. */
  openPodRole: (() => Identity) | undefined
  /** What the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE must hold. */
  podToken: string
  region: string
  readonly metadataTokens: Set<string>
}

const ROLES = '/latest/meta-data/iam/security-credentials/'

export function answerMetadata({ method, url, headers }: FakeRequest, machine: FakeMachine): FakeAnswer {
  const path = url.pathname
  if (path === '/latest/api/token') {
    if (method !== 'PUT' || headers['x-aws-ec2-metadata-token-ttl-seconds'] === undefined)
      return text(400, '')
    const token = randomBytes(24).toString('base64')
    machine.metadataTokens.add(token)
    return text(200, token)
  }
  if (path.startsWith('/latest/')) {
    const token = headers['x-aws-ec2-metadata-token']
    // IMDSv2 only: without a token there is no answer.
    if (typeof token !== 'string' || !machine.metadataTokens.has(token)) return text(401, '')
    return answerInstance(path, machine)
  }
  if (path === '/v1/credentials') {
    if (headers['authorization'] !== machine.podToken)
      return { status: 401, body: { message: 'Invalid token' } }
    if (machine.openPodRole === undefined) return { status: 404, body: { message: 'no association' } }
    const { accessKeyId, secretAccessKey, sessionToken = '', expiresAtMs = 0 } = machine.openPodRole()
    const Expiration = new Date(expiresAtMs).toISOString().replace(/\.\d+/, '')
    const body = {
      AccessKeyId: accessKeyId,
      SecretAccessKey: secretAccessKey,
      Token: sessionToken,
      Expiration,
    }
    return { status: 200, body: { ...body, AccountId: '111122223333' } }
  }
  return text(404, '')
}

function answerInstance(path: string, machine: FakeMachine): FakeAnswer {
  if (path === '/latest/meta-data/placement/region') return text(200, machine.region)
  if (machine.openInstanceRole === undefined || !path.startsWith(ROLES)) return text(404, '')
  if (path === ROLES) return text(200, 'kmsplugin-node')
  const { accessKeyId, secretAccessKey, sessionToken, expiresAtMs = 0 } = machine.openInstanceRole()
  return {
    status: 200,
    body: {
      Code: 'Success',
      LastUpdated: new Date().toISOString(),
      Type: 'AWS-HMAC',
      AccessKeyId: accessKeyId,
      SecretAccessKey: secretAccessKey,
      Token: sessionToken,
      Expiration: new Date(expiresAtMs).toISOString(),
    },
  }
}

function text(status: number, body: string): FakeAnswer {
  return { status, headers: { 'content-type': 'text/plain' }, body }
}
