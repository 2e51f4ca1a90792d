/** Each source of credentials, end to end: found, renewed, replaced, refused, absent. */
import { randomBytes, randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { AwsKeyWrapper } from '../../../src/adapters/backends/aws/wrapper.js'
import type { AwsSettings } from '../../../src/adapters/backends/aws/settings.js'
import { asKmsError, type KmsError } from '../../../src/ports/errors.js'
import { ManualClock } from '../../doubles/manual_clock.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'
import { PrivateFiles } from '../../support/certificates.js'
import { awsError, FakeAws } from '../../support/fakes/aws.js'
import type { Identity } from '../../support/fakes/aws/identities.js'
import type { FakeKey } from '../../support/fakes/aws/kms.js'
import { envOf, openOn, useEnv, within, type Env, type Parts } from '../../support/aws_scene.js'

let aws: FakeAws
let kek: FakeKey
let files: PrivateFiles
let logger: RecordingLogger
let restore: () => void = () => undefined
const opened: AwsKeyWrapper[] = []
const dek = randomBytes(32)

beforeEach(async () => {
  aws = await FakeAws.start()
  kek = aws.addKey()
  files = new PrivateFiles()
  logger = new RecordingLogger()
})

afterEach(async () => {
  await Promise.all(opened.splice(0).map(async (one) => one.close()))
  restore()
  await aws.close()
  files.remove()
})

/** In the environment `env`; STS is that of the fake. */
function open(env: Env, change: Partial<AwsSettings> = {}, parts: Parts = {}): AwsKeyWrapper {
  restore = useEnv({ AWS_ENDPOINT_URL_STS: aws.server.url, ...env })
  const wrapper = openOn(aws, kek.arn, change, { logger, ...parts })
  opened.push(wrapper)
  return wrapper
}

async function failure(wrapper: AwsKeyWrapper): Promise<KmsError> {
  return wrapper.currentKeyId(within()).then(
    () => expect.unreachable('it did not fail'),
    (error: unknown) => asKmsError(error),
  )
}

const profileText = (name: string, { accessKeyId, secretAccessKey }: Identity): string =>
  `[${name}]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`

/** The access key ids of all requests to KMS, in order, each once in a row. */
const signers = (): string[] =>
  aws.server.requests
    .map(({ headers }) => /Credential=([^/]+)/.exec(String(headers['authorization']))?.[1] ?? '')
    .filter((id, at, all) => id !== '' && id !== all[at - 1])

const podIdentity = (): Env => ({
  AWS_CONTAINER_CREDENTIALS_FULL_URI: `${aws.metadata.url}/v1/credentials`,
  AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: files.write('pod-token', aws.machine.podToken),
})

const instance = (): Env => ({ AWS_EC2_METADATA_SERVICE_ENDPOINT: aws.metadata.url })

/** Each way to be let in: its environment, and what must have been set up for it. */
const sources: Record<string, () => Env> = {
  'the environment': () => envOf(aws.addIdentity()),
  'the environment, with a session': () => envOf(aws.openSession()),
  'the default profile of a shared file': () => ({
    AWS_SHARED_CREDENTIALS_FILE: files.write('credentials', profileText('default', aws.addIdentity())),
  }),
  'the profile that AWS_PROFILE names': () => ({
    AWS_PROFILE: 'kms',
    AWS_SHARED_CREDENTIALS_FILE: files.write('credentials', profileText('kms', aws.addIdentity())),
  }),
  'IRSA: the token of a service account, and STS': () => ({
    AWS_ROLE_ARN: aws.addRole('kms', ['pod-jwt']).arn,
    AWS_WEB_IDENTITY_TOKEN_FILE: files.write('jwt', 'pod-jwt'),
  }),
  'EKS Pod Identity': () => {
    aws.machine.openPodRole = () => aws.openSession()
    return podIdentity()
  },
  'the role of the instance, by IMDSv2': () => {
    aws.machine.openInstanceRole = () => aws.openSession()
    return instance()
  },
}

describe.each(Object.entries(sources))('credentials from %s', (_name, setUp) => {
  test('let us in', async () => {
    const wrapper = open(setUp())
    const wrapped = await wrapper.wrap(dek, within())
    expect(Buffer.from(await wrapper.unwrap(wrapped, within())).equals(dek)).toBe(true)
  })

  test('are asked for once, not for each call', async () => {
    const wrapper = open(setUp())
    await wrapper.currentKeyId(within())
    const before = aws.metadata.requests.length
    for (let i = 0; i < 5; i += 1) await wrapper.currentKeyId(within())
    expect(aws.metadata.requests.length).toBe(before)
    expect(signers()).toHaveLength(1)
  })
})

test('the profile of the settings goes before the keys in the environment, and nothing is said on the console', async () => {
  const stranger = envOf(aws.addIdentity({ policies: [] }))
  const file = files.write('credentials', profileText('kms', aws.addIdentity()))
  const wrapper = open({ ...stranger, AWS_SHARED_CREDENTIALS_FILE: file }, { profile: 'kms' })
  expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('OK')
})

describe('credentials that end', () => {
  test.each([
    'IRSA: the token of a service account, and STS',
    'EKS Pod Identity',
    'the role of the instance, by IMDSv2',
  ])(
    'are dropped when the service refuses them before their time, and the next try has others: %s',
    async (name) => {
      const wrapper = open(sources[name]!())
      await wrapper.currentKeyId(within())
      aws.endSessions()
      const error = await failure(wrapper)
      expect([error.code, error.retryable]).toEqual(['ERR_CREDENTIALS_EXPIRED', true])
      expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('OK')
      expect(signers()).toHaveLength(2)
    },
  )

  test('are renewed in the background before they do', async () => {
    const clock = new ManualClock()
    const wrapper = open(sources['EKS Pod Identity']!(), {}, { clock })
    await wrapper.currentKeyId(within())
    const before = aws.metadata.requests.length
    await clock.advance(46 * 60_000)
    while (aws.metadata.requests.length === before) await new Promise((resolve) => setImmediate(resolve))
    expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('OK')
  })

  test('and are not replaced by their source are said to be so', async () => {
    const session = aws.openSession()
    const wrapper = open(envOf(session))
    await wrapper.currentKeyId(within())
    aws.endSessions()
    const error = await failure(wrapper)
    expect(error.code).toBe('ERR_CREDENTIALS_EXPIRED')
    expect(error.message).toContain('gives no others')
  })

  test('with the clock of this node ahead by hours they still let us in, without a call to their source each time', async () => {
    aws.machine.openPodRole = () => aws.openSession({ expiresAtMs: Date.now() - 1000 })
    const wrapper = open(podIdentity())
    // Its clock is behind, so that the session holds there.
    aws.clockOffsetMs = -60_000
    for (let i = 0; i < 5; i += 1) await wrapper.currentKeyId(within())
    expect(aws.metadata.requests.length).toBe(1)
  })
})

describe('credentials in a file', () => {
  test('that was replaced before the old were refused are used without a restart and without a failure', async () => {
    const [old, next] = [aws.addIdentity(), aws.addIdentity()]
    const path = files.write('credentials', profileText('default', old))
    const wrapper = open({ AWS_SHARED_CREDENTIALS_FILE: path })
    await wrapper.currentKeyId(within())
    files.write('credentials', profileText('default', next))
    aws.identities.delete(old.accessKeyId)
    // The one call that meets the refusal may be tried again by the core.
    expect((await failure(wrapper)).retryable).toBe(true)
    expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('OK')
    expect(signers()).toEqual([old.accessKeyId, next.accessKeyId])
  })

  test('that is replaced after they were refused are used at the next call', async () => {
    const [old, next] = [aws.addIdentity(), aws.addIdentity()]
    const path = files.write('credentials', profileText('default', old))
    const wrapper = open({ AWS_SHARED_CREDENTIALS_FILE: path })
    await wrapper.currentKeyId(within())
    aws.identities.delete(old.accessKeyId)
    expect((await failure(wrapper)).code).toBe('ERR_LOGIN_REFUSED')
    files.write('credentials', profileText('default', next))
    expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('OK')
  })

  test('that are refused again and again are asked for once a call, so that their source is not stormed', async () => {
    const role = aws.addRole('kms', ['pod-jwt'])
    const env = { AWS_ROLE_ARN: role.arn, AWS_WEB_IDENTITY_TOKEN_FILE: files.write('jwt', 'pod-jwt') }
    const wrapper = open(env)
    await wrapper.currentKeyId(within())
    aws.server.fault = ({ headers }) =>
      headers['x-amz-target'] === undefined ? undefined : awsError('UnrecognizedClientException')
    const before = aws.server.requests.length
    for (let i = 0; i < 5; i += 1) await failure(wrapper)
    const toSts = aws.server.requests
      .slice(before)
      .filter(({ headers }) => headers['x-amz-target'] === undefined)
    expect(toSts).toHaveLength(5)
  })

  test('with the wrong secret are refused, and the secret is not repeated', async () => {
    const identity = aws.addIdentity()
    const secretAccessKey = randomBytes(30).toString('base64')
    const error = await failure(open(envOf({ ...identity, secretAccessKey })))
    expect(error.code).toBe('ERR_LOGIN_REFUSED')
    expect(error.message).toContain('the secret access key is not that of the access key id')
    expect(JSON.stringify([error, logger.lines])).not.toContain(secretAccessKey)
  })
})

describe('without credentials', () => {
  test('the message names each source that was looked at', async () => {
    const { code, message } = await failure(open({}))
    expect(code).toBe('ERR_LOGIN_REFUSED')
    for (const source of [
      'AWS_ACCESS_KEY_ID',
      'profile default',
      'AWS_WEB_IDENTITY_TOKEN_FILE',
      'switched off',
    ]) {
      expect(message).toContain(source)
    }
  })

  test('it says of an instance without a role that it has none', async () => {
    const { code, message } = await failure(open(instance()))
    expect([code, message]).toEqual(['ERR_LOGIN_REFUSED', expect.stringContaining('has no role')])
  })

  test('it says of a metadata service that is out that it is, and works when it is back', async () => {
    const env = instance()
    const gone = await FakeAws.start()
    const url = gone.metadata.url
    await gone.close()
    const wrapper = open({ AWS_EC2_METADATA_SERVICE_ENDPOINT: url })
    const { code, message } = await failure(wrapper)
    expect([code, message]).toEqual(['ERR_BACKEND_UNREACHABLE', expect.stringContaining('hop limit')])
    aws.machine.openInstanceRole = () => aws.openSession()
    Object.assign(process.env, env)
    expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('OK')
  })

  test('it says of a pod without an association that it has none', async () => {
    const { code, message } = await failure(open(podIdentity()))
    expect([code, message]).toEqual(['ERR_LOGIN_REFUSED', expect.stringContaining('association')])
  })

  test('it says of a token of a pod that is refused or cannot be read that it is', async () => {
    aws.machine.openPodRole = () => aws.openSession()
    const env = podIdentity()
    files.write('pod-token', 'another')
    expect((await failure(open(env))).message).toContain('status 401')
    restore()
    const gone = { ...env, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: '/nonexistent/token' }
    expect((await failure(open(gone))).message).toContain('/nonexistent/token')
  })

  test.each([
    ['an unknown token', 'jwt-of-another', 'ERR_LOGIN_REFUSED', 'OIDC provider'],
    ['an expired token', 'jwt-expired', 'ERR_LOGIN_REFUSED', 'has expired'],
  ])('STS refuses %s, and the token is not repeated', async (_name, token, code, text) => {
    const role = aws.addRole('kms', ['jwt-good'])
    role.expiredTokens.add('jwt-expired')
    const file = files.write('jwt', token)
    const error = await failure(open({ AWS_ROLE_ARN: role.arn, AWS_WEB_IDENTITY_TOKEN_FILE: file }))
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(text)])
    expect(JSON.stringify([error, logger.lines])).not.toContain(token)
  })

  test('STS refuses a role that does not trust us', async () => {
    const role = 'arn:aws:iam::111122223333:role/other'
    const file = files.write('jwt', randomUUID())
    const error = await failure(open({ AWS_ROLE_ARN: role, AWS_WEB_IDENTITY_TOKEN_FILE: file }))
    expect([error.code, error.message]).toEqual([
      'ERR_LOGIN_REFUSED',
      expect.stringContaining('trust policy'),
    ])
  })

  test('a token file that is not there is named', async () => {
    const env = {
      AWS_ROLE_ARN: 'arn:aws:iam::111122223333:role/x',
      AWS_WEB_IDENTITY_TOKEN_FILE: '/nonexistent/jwt',
    }
    const { code, message } = await failure(open(env))
    expect([code, message]).toEqual(['ERR_CONFIG_INVALID', expect.stringContaining('/nonexistent/jwt')])
  })

  test('STS that throttles or is out may be tried again', async () => {
    const role = aws.addRole('kms', ['jwt'])
    const env = { AWS_ROLE_ARN: role.arn, AWS_WEB_IDENTITY_TOKEN_FILE: files.write('jwt', 'jwt') }
    const wrapper = open(env)
    const xml = (name: string) =>
      `<ErrorResponse><Error><Code>${name}</Code><Message/></Error></ErrorResponse>`
    aws.server.failNext({ status: 400, body: xml('Throttling') })
    expect((await failure(wrapper)).code).toBe('ERR_BACKEND_THROTTLED')
    aws.server.failNext({ status: 503, body: xml('ServiceUnavailable') })
    expect((await failure(wrapper)).code).toBe('ERR_BACKEND_UNAVAILABLE')
    aws.server.failNext('reset', Infinity)
    expect((await failure(wrapper)).code).toBe('ERR_BACKEND_UNREACHABLE')
    aws.server.fault = undefined
    expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('OK')
  })
})

describe('the region', () => {
  const byId = (env: Env, change: Partial<AwsSettings> = {}): AwsKeyWrapper => {
    restore = useEnv({ ...envOf(aws.addIdentity()), ...env })
    const wrapper = openOn(aws, kek.id, { region: undefined, ...change }, { logger })
    opened.push(wrapper)
    return wrapper
  }
  const regions = (): string[] =>
    aws.server.requests.map(
      ({ headers }) => /Credential=[^/]+\/[0-9]+\/([^/]+)/.exec(String(headers['authorization']))?.[1] ?? '',
    )

  test('is that of AWS_REGION where neither settings nor ARN name one', async () => {
    await byId({ AWS_REGION: 'eu-west-1' }).currentKeyId(within())
    expect(regions()).toEqual(['eu-west-1'])
  })

  test('is that of AWS_DEFAULT_REGION, before the profile, where AWS_REGION is not set', async () => {
    const env = { AWS_CONFIG_FILE: files.write('config', '[default]\nregion = us-east-1\n') }
    await byId({ ...env, AWS_DEFAULT_REGION: 'eu-west-1', AWS_REGION: '' }).currentKeyId(within())
    expect(regions()).toEqual(['eu-west-1'])
    await byId({ ...env, AWS_DEFAULT_REGION: 'us-east-1', AWS_REGION: 'eu-west-1' }).currentKeyId(within())
    expect(regions()).toEqual(['eu-west-1', 'eu-west-1'])
  })

  test('is that of the profile', async () => {
    const file = files.write('config', '[default]\nregion = eu-west-1\n')
    await byId({ AWS_CONFIG_FILE: file }).currentKeyId(within())
    expect(regions()).toEqual(['eu-west-1'])
  })

  test('is that of the instance, by IMDSv2, where nobody else names one', async () => {
    await byId(instance()).currentKeyId(within())
    expect(regions()).toEqual(['eu-west-1'])
  })

  test('is asked for in one line where there is none', async () => {
    const { code, message } = await failure(byId({}))
    expect([code, message]).toEqual(['ERR_CONFIG_INVALID', expect.stringContaining('set region')])
  })
})

test('an endpoint in the environment without TLS is not used, since DEKs would cross the network', async () => {
  const wrapper = open(
    { ...envOf(aws.addIdentity()), AWS_ENDPOINT_URL_KMS: 'http://kms.example.com' },
    {
      endpoint: undefined,
    },
  )
  const { code, message } = await failure(wrapper)
  expect([code, message]).toEqual(['ERR_CONFIG_INVALID', expect.stringContaining('https://')])
})

test('a combination of endpoint and environment that AWS has no address for is a mistake in the configuration', async () => {
  const wrapper = open({ ...envOf(aws.addIdentity()), AWS_USE_FIPS_ENDPOINT: 'true' })
  const { code, message } = await failure(wrapper)
  expect([code, message]).toEqual(['ERR_CONFIG_INVALID', expect.stringContaining('AWS_USE_FIPS_ENDPOINT')])
})

test('an instance that answers without a token is not believed: IMDSv1 is never used', async () => {
  aws.machine.openInstanceRole = () => aws.openSession()
  const wrapper = open(instance())
  aws.metadata.fault = ({ method }) => (method === 'PUT' ? { status: 403, body: '' } : undefined)
  expect((await failure(wrapper)).code).toBe('ERR_LOGIN_REFUSED')
  const roles = aws.metadata.requests.filter(({ url }) => url.pathname.endsWith('/kmsplugin-node'))
  expect(roles).toEqual([])
})
