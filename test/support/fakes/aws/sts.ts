/** STS of the fake: AssumeRoleWithWebIdentity, with which a pod becomes a role (IRSA). XML, as STS speaks. */
import { randomBytes } from 'node:crypto'
import type { FakeAnswer, FakeRequest } from '../fake_server.js'
import type { Identity } from './identities.js'

export interface FakeRole {
  readonly arn: string
  /** Texts that stand for tokens of service accounts which the trust policy names. */
  readonly tokens: Set<string>
  /** Once known, and expired since. */
  readonly expiredTokens: Set<string>
  /** A new session. */
  open(): Identity
}

export function answerSts(request: FakeRequest, roles: ReadonlyMap<string, FakeRole>): FakeAnswer {
  const form = new URLSearchParams(request.body.toString('utf8'))
  const action = form.get('Action') ?? ''
  if (action !== 'AssumeRoleWithWebIdentity') return refusal(400, 'InvalidAction', `no action ${action}`)
  const role = roles.get(form.get('RoleArn') ?? '')
  const token = form.get('WebIdentityToken') ?? ''
  if (role === undefined) {
    return refusal(403, 'AccessDenied', 'Not authorized to perform sts:AssumeRoleWithWebIdentity')
  }
  if (role.expiredTokens.has(token)) return refusal(400, 'ExpiredTokenException', 'Token expired')
  if (!role.tokens.has(token)) {
    return refusal(
      400,
      'InvalidIdentityToken',
      "Couldn't retrieve verification key from your identity provider",
    )
  }
  const session = role.open()
  const name = form.get('RoleSessionName') ?? 'session'
  const user = role.arn.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')
  const body = `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <AssumedRoleUser><Arn>${user}/${name}</Arn><AssumedRoleId>AROAEXAMPLE:${name}</AssumedRoleId></AssumedRoleUser>
    <Credentials>
      <AccessKeyId>${session.accessKeyId}</AccessKeyId>
      <SecretAccessKey>${session.secretAccessKey}</SecretAccessKey>
      <SessionToken>${session.sessionToken ?? ''}</SessionToken>
      <Expiration>${new Date(session.expiresAtMs ?? 0).toISOString()}</Expiration>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
  <ResponseMetadata><RequestId>${randomBytes(8).toString('hex')}</RequestId></ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>`
  return { status: 200, headers: { 'content-type': 'text/xml' }, body }
}

function refusal(status: number, code: string, message: string): FakeAnswer {
  const body = `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error><RequestId>0</RequestId></ErrorResponse>`
  return { status, headers: { 'content-type': 'text/xml' }, body }
}
