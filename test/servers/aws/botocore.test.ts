/** The fake, driven with the other official client: what botocore signs and reads, the fake must take and write. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PrivateFiles } from '../../support/certificates.js'
import { FakeAws } from '../../support/fakes/aws.js'
import type { FakeKey } from '../../support/fakes/aws/kms.js'
import { envOf, type Env } from '../../support/aws_scene.js'
import { pythonWithLocalStack } from './localstack.js'

const SCRIPT = fileURLToPath(new URL('./botocore_client.py', import.meta.url))
const python = pythonWithLocalStack()

const GOOD = {
  'there and back': [true, true, 64],
  describe: 'Enabled',
  rotation: false,
  'other context': 'InvalidCiphertextException',
  'other key': 'IncorrectKeyException',
  'no such key': 'NotFoundException',
  'too long': 'ValidationException',
}

describe.skipIf(python === undefined)('botocore on the fake', () => {
  let aws: FakeAws
  let files: PrivateFiles
  let key: FakeKey
  let other: FakeKey

  beforeAll(async () => {
    aws = await FakeAws.start()
    files = new PrivateFiles()
    key = aws.addKey()
    other = aws.addKey()
  })

  afterAll(async () => {
    files.remove()
    await aws.close()
  })

  async function run(env: Env): Promise<unknown> {
    const all = {
      PATH: process.env['PATH'],
      HOME: files.folder,
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_ENDPOINT_URL_STS: aws.server.url,
      AWS_REGION: 'eu-west-1',
      AWS_DEFAULT_REGION: 'eu-west-1',
      ...env,
    }
    const args = [SCRIPT, aws.server.url, key.arn, other.arn]
    const { stdout } = await promisify(execFile)(python ?? '', args, { env: all })
    return JSON.parse(stdout)
  }

  test('with an access key', async () => {
    expect(await run(envOf(aws.addIdentity()))).toEqual(GOOD)
  })

  test('with a session', async () => {
    expect(await run(envOf(aws.openSession()))).toEqual(GOOD)
  })

  test('with the token of a service account, by STS', async () => {
    const role = aws.addRole('kms', ['pod-jwt'])
    const file = files.write('jwt', 'pod-jwt')
    expect(await run({ AWS_ROLE_ARN: role.arn, AWS_WEB_IDENTITY_TOKEN_FILE: file })).toEqual(GOOD)
  })

  test('with EKS Pod Identity', async () => {
    aws.machine.openPodRole = () => aws.openSession()
    const env = {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${aws.metadata.url}/v1/credentials`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: files.write('token', aws.machine.podToken),
    }
    expect(await run(env)).toEqual(GOOD)
  })

  test('with the role of the instance', async () => {
    aws.machine.openInstanceRole = () => aws.openSession()
    const env = { AWS_EC2_METADATA_DISABLED: 'false', AWS_EC2_METADATA_SERVICE_ENDPOINT: aws.metadata.url }
    expect(await run(env)).toEqual(GOOD)
  })

  test.each([
    ['a wrong secret', 'InvalidSignatureException', { secretAccessKey: 'wrong' }],
    ['an unknown access key', 'UnrecognizedClientException', { accessKeyId: 'AKIAUNKNOWN' }],
  ])('%s is refused as AWS refuses it', async (_name, code, change) => {
    const outcomes = (await run(envOf({ ...aws.addIdentity(), ...change }))) as Record<string, unknown>
    expect(new Set(Object.values(outcomes))).toEqual(new Set([code]))
  })

  test('a clock that is off by an hour is refused as AWS refuses it', async () => {
    aws.clockOffsetMs = 3_600_000
    const outcomes = (await run(envOf(aws.addIdentity()))) as Record<string, unknown>
    aws.clockOffsetMs = 0
    expect(new Set(Object.values(outcomes))).toEqual(new Set(['InvalidSignatureException']))
  })
})
