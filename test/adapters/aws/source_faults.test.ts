/** Sources of credentials that are slow, hang, refuse us without end, or are not what the SDK would ask. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { atMost } from '../../../src/adapters/backends/aws/credentials.js'
import { awsKeyId, type AwsKeyWrapper } from '../../../src/adapters/backends/aws/wrapper.js'
import { asKmsError, type KmsError } from '../../../src/ports/errors.js'
import { ManualClock } from '../../doubles/manual_clock.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'
import { PrivateFiles } from '../../support/certificates.js'
import { FakeAws } from '../../support/fakes/aws.js'
import { answerSts } from '../../support/fakes/aws/sts.js'
import { FakeServer } from '../../support/fakes/fake_server.js'
import { openOn, useEnv, within, type Env, type Parts } from '../../support/aws_scene.js'

let aws: FakeAws
let files: PrivateFiles
let restore: () => void = () => undefined
const opened: AwsKeyWrapper[] = []
const servers: FakeServer[] = []

beforeEach(async () => {
  aws = await FakeAws.start()
  files = new PrivateFiles()
})

afterEach(async () => {
  await Promise.all(opened.splice(0).map(async (one) => one.close()))
  restore()
  await Promise.all([aws, ...servers.splice(0)].map(async (one) => one.close()))
  files.remove()
})

function open(env: Env, parts: Parts = {}): AwsKeyWrapper {
  restore = useEnv({ AWS_ENDPOINT_URL_STS: aws.server.url, ...env })
  const wrapper = openOn(aws, aws.addKey().arn, {}, { logger: new RecordingLogger(), ...parts })
  opened.push(wrapper)
  return wrapper
}

async function failure(wrapper: AwsKeyWrapper, ms?: number): Promise<KmsError> {
  return wrapper.currentKeyId(within(ms)).then(
    () => expect.unreachable('it did not fail'),
    (error: unknown) => asKmsError(error),
  )
}

function webIdentity(): Env {
  return {
    AWS_ROLE_ARN: aws.addRole('kms', ['jwt']).arn,
    AWS_WEB_IDENTITY_TOKEN_FILE: files.write('jwt', 'jwt'),
  }
}

test('an STS that takes longer than a call to KMS may still gives credentials', async () => {
  const far = await FakeServer.start(async (request) => {
    await sleep(1000)
    return answerSts(request, aws.roles)
  })
  servers.push(far)
  const wrapper = open({ ...webIdentity(), AWS_ENDPOINT_URL_STS: far.url }, { callTimeoutMs: 500 })
  expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('OK')
  expect(far.requests).toHaveLength(1)
})

test('where one endpoint stands for all services, an outage of KMS is not said to be one of STS', async () => {
  const wrapper = open(webIdentity())
  await wrapper.currentKeyId(within())
  aws.server.failNext('reset', Infinity)
  expect((await failure(wrapper)).message).toMatch(/^AWS KMS at /)
})

test('the token of a pod goes nowhere without TLS but to this machine, not to find out what is wrong either', async () => {
  const elsewhere = aws.metadata.url.replace('127.0.0.1', '0.0.0.0')
  const wrapper = open({
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `${elsewhere}/v1/credentials`,
    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: files.write('pod-token', aws.machine.podToken),
  })
  const { code, message } = await failure(wrapper)
  expect([code, message]).toEqual(['ERR_LOGIN_REFUSED', expect.stringContaining('was not asked')])
  expect(aws.metadata.requests).toEqual([])
})

test('a source that hangs is not asked without end, and is asked again when what hung has ended, or now and then', async () => {
  const hanging: (() => void)[] = []
  const clock = new ManualClock()
  const find = atMost(2, clock, async () => new Promise<void>((resolve) => hanging.push(resolve)))
  const first = find()
  void find()
  const third = await find().then(undefined, asKmsError)
  expect([third?.code, third?.message]).toEqual([
    'ERR_BACKEND_UNREACHABLE',
    expect.stringContaining('end what hangs'),
  ])
  expect(hanging).toHaveLength(2)
  hanging[0]?.()
  await first
  void find()
  expect(hanging).toHaveLength(3)
  await clock.advance(60_000)
  void find()
  expect(hanging).toHaveLength(4)
  await expect(find()).rejects.toThrow('end what hangs')
})

test.each([
  ['AccessDenied', 'ERR_LOGIN_REFUSED', 'sts:AssumeRole'],
  ['ExpiredToken', 'ERR_CREDENTIALS_EXPIRED', 'our credentials have expired'],
])('STS refuses the role of a profile (%s), and no web identity is blamed', async (name, code, text) => {
  const profiles = [
    '[default]\nrole_arn = arn:aws:iam::111122223333:role/kms\nsource_profile = base',
    '[profile base]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret',
  ]
  const wrapper = open({ AWS_CONFIG_FILE: files.write('config', profiles.join('\n')) })
  const body = `<ErrorResponse><Error><Code>${name}</Code><Message/></Error></ErrorResponse>`
  aws.server.failNext({ status: 403, headers: { 'content-type': 'text/xml' }, body })
  const error = await failure(wrapper)
  expect([error.code, error.message]).toEqual([code, expect.stringContaining(text)])
  expect(error.message).not.toMatch(/OIDC|web identity|kubelet/)
})

test('whoever opens a value while STS hangs leaves at his own deadline', async () => {
  aws.server.failNext('stall', Infinity)
  const wrapper = open(webIdentity())
  const wrapped = {
    keyId: awsKeyId('arn:aws:kms:eu-west-1:111122223333:key/x', undefined),
    bytes: Buffer.alloc(9, 1),
  }
  const begunMs = performance.now()
  expect(await outcomeOf(wrapper.unwrap(wrapped, within(300)))).toBe('ERR_DEADLINE_EXCEEDED')
  expect(performance.now() - begunMs).toBeLessThan(2500)
})

test('whoever calls while the region is asked for in vain leaves at his own deadline', async () => {
  const silent = await FakeServer.start(async () => new Promise(() => undefined))
  servers.push(silent)
  restore = useEnv({ AWS_EC2_METADATA_SERVICE_ENDPOINT: silent.url })
  const wrapper = openOn(aws, aws.addKey().id, { region: undefined })
  opened.push(wrapper)
  const begunMs = performance.now()
  expect(await outcomeOf(wrapper.currentKeyId(within(200)))).toBe('ERR_DEADLINE_EXCEEDED')
  expect(performance.now() - begunMs).toBeLessThan(800)
})
