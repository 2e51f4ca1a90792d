/** What each error of AWS becomes, and that nothing of what was sent stands in it. */
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { AwsKeyWrapper } from '../../../src/adapters/backends/aws/wrapper.js'
import { asKmsError, type KmsError } from '../../../src/ports/errors.js'
import type { WrappedDek } from '../../../src/ports/key_wrapper.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { awsError, FakeAws } from '../../support/fakes/aws.js'
import type { FakeKey, FakeKeyState } from '../../support/fakes/aws/kms.js'
import { envOf, openOn, useEnv, within } from '../../support/aws_scene.js'

let aws: FakeAws
let kek: FakeKey
let restore: () => void
let wrapper: AwsKeyWrapper
let wrapped: WrappedDek
const dek = randomBytes(32)

beforeEach(async () => {
  aws = await FakeAws.start()
  kek = aws.addKey()
  restore = useEnv(envOf(aws.addIdentity()))
  wrapper = openOn(aws, kek.arn)
  wrapped = await wrapper.wrap(dek, within())
})

afterEach(async () => {
  await wrapper.close()
  restore()
  await aws.close()
})

const isA = (operation: string) => (request: { headers: Record<string, unknown> }) =>
  request.headers['x-amz-target'] === `TrentService.${operation}`

async function failure(call: Promise<unknown>): Promise<KmsError> {
  return call.then(
    () => expect.unreachable('it did not fail'),
    (error: unknown) => asKmsError(error),
  )
}

const MESSAGE = 'a text of the service with secret-parts in it'

describe('an error of the service, by its name', () => {
  test.each([
    ['Decrypt', 'ThrottlingException', 400, 'ERR_BACKEND_THROTTLED', 'quota'],
    ['Encrypt', 'LimitExceededException', 400, 'ERR_BACKEND_THROTTLED', 'quota'],
    ['DescribeKey', 'RequestLimitExceeded', 503, 'ERR_BACKEND_THROTTLED', 'quota'],
    ['Decrypt', 'SlowDown', 503, 'ERR_BACKEND_THROTTLED', 'quota'],
    ['Decrypt', 'TooManyRequestsException', 429, 'ERR_BACKEND_THROTTLED', 'quota'],
    ['Encrypt', 'KMSInternalException', 500, 'ERR_BACKEND_UNAVAILABLE', 'cannot serve'],
    ['Decrypt', 'DependencyTimeoutException', 503, 'ERR_BACKEND_UNAVAILABLE', 'cannot serve'],
    ['Decrypt', 'ServiceUnavailableException', 503, 'ERR_BACKEND_UNAVAILABLE', 'cannot serve'],
    ['Decrypt', 'KeyUnavailableException', 500, 'ERR_BACKEND_UNAVAILABLE', 'at the moment'],
    ['Decrypt', 'DisabledException', 400, 'ERR_KEY_DISABLED', 'enable-key'],
    ['Encrypt', 'NotFoundException', 400, 'ERR_KEY_NOT_FOUND', 'region and account'],
    ['Encrypt', 'AccessDeniedException', 400, 'ERR_ACCESS_DENIED', 'kms:Encrypt'],
    ['Decrypt', 'AccessDeniedException', 400, 'ERR_ACCESS_DENIED', 'kms:Decrypt'],
    ['DescribeKey', 'AccessDeniedException', 400, 'ERR_ACCESS_DENIED', 'kms:DescribeKey'],
    ['Decrypt', 'IncorrectKeyException', 400, 'ERR_DECRYPTION_FAILED', 'was not made by'],
    ['Decrypt', 'InvalidCiphertextException', 400, 'ERR_DECRYPTION_FAILED', 'encryptionContext'],
    ['Decrypt', 'ValidationException', 400, 'ERR_DECRYPTION_FAILED', 'altered'],
    ['Encrypt', 'ValidationException', 400, 'ERR_CONFIG_INVALID', 'keyId'],
    ['Encrypt', 'InvalidKeyUsageException', 400, 'ERR_KEY_UNUSABLE', 'symmetric'],
    ['DescribeKey', 'InvalidArnException', 400, 'ERR_CONFIG_INVALID', 'keyId'],
    ['DescribeKey', 'OptInRequired', 403, 'ERR_ACCESS_DENIED', 'enabled the region'],
    ['Decrypt', 'KMSInvalidStateException', 400, 'ERR_KEY_UNUSABLE', 'describe-key'],
    ['Decrypt', 'ExpiredTokenException', 400, 'ERR_CREDENTIALS_EXPIRED', 'expired'],
    ['Decrypt', 'UnrecognizedClientException', 400, 'ERR_LOGIN_REFUSED', 'does not know'],
    ['Decrypt', 'InvalidClientTokenId', 403, 'ERR_LOGIN_REFUSED', 'does not know'],
    ['Decrypt', 'MissingAuthenticationToken', 403, 'ERR_LOGIN_REFUSED', 'does not know'],
    ['Decrypt', 'InvalidSignatureException', 403, 'ERR_LOGIN_REFUSED', 'secret access key'],
    ['Decrypt', 'SignatureDoesNotMatch', 403, 'ERR_LOGIN_REFUSED', 'secret access key'],
    ['Decrypt', 'RequestExpired', 400, 'ERR_CREDENTIALS_EXPIRED', 'clock'],
    ['Decrypt', 'RequestTimeTooSkewed', 403, 'ERR_CREDENTIALS_EXPIRED', 'clock'],
    ['Decrypt', 'NobodyKnowsThis', 400, 'ERR_BACKEND_RESPONSE', 'proxy'],
    ['Decrypt', 'NobodyKnowsThis', 403, 'ERR_ACCESS_DENIED', 'grant'],
    ['Decrypt', 'NobodyKnowsThis', 500, 'ERR_BACKEND_UNAVAILABLE', 'cannot serve'],
  ])('%s answers %s with %i: %s', async (operation, name, status, code, says) => {
    aws.server.failNext(awsError(name, MESSAGE, status), Infinity, isA(operation))
    // What DescribeKey answers about an ARN need not matter; see policies.test.ts.
    const [, uuid = ''] = kek.arn.split('/')
    const byId = openOn(aws, uuid)
    const call = operation === 'Decrypt' ? wrapper.unwrap(wrapped, within()) : byId.wrap(dek, within())
    const error = await failure(call)
    await byId.close()
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(says)])
    expect(error.message).toContain(name)
    expect(error.message).not.toContain('secret-parts')
    expect(error.cause).toBeUndefined()
  })

  test.each([
    ['is pending deletion.', 'ERR_KEY_PENDING_DELETION'],
    ['is pending replica deletion.', 'ERR_KEY_PENDING_DELETION'],
    ['is pending import.', 'ERR_KEY_UNUSABLE'],
    ['XksProxyInvalidResponse: the external key store proxy is not reachable', 'ERR_BACKEND_UNAVAILABLE'],
    ['the CloudHSM cluster is not active', 'ERR_BACKEND_UNAVAILABLE'],
  ])('an invalid state is read from its text: %s', async (text, code) => {
    aws.server.failNext(awsError('KMSInvalidStateException', `${kek.arn} ${text}`), Infinity)
    expect(await outcomeOf(wrapper.unwrap(wrapped, within()))).toBe(code)
  })

  test('a blob that names a key which does not exist is bad data or a missing right: the core finds out', async () => {
    const text = 'The ciphertext refers to a customer master key that does not exist, or you are not allowed.'
    aws.server.failNext(awsError('AccessDeniedException', text), Infinity)
    expect(await outcomeOf(wrapper.unwrap(wrapped, within()))).toBe('ERR_UNWRAP_AMBIGUOUS')
    // Without a blob there is nothing to doubt.
    expect(await outcomeOf(wrapper.wrap(dek, within()))).toBe('ERR_ACCESS_DENIED')
  })

  test('the same text about a blob that AWS has just made is a missing right', async () => {
    const text = 'The ciphertext refers to a customer master key that does not exist, or you are not allowed.'
    aws.server.failNext(awsError('AccessDeniedException', text), Infinity, isA('Decrypt'))
    expect(await outcomeOf(wrapper.wrap(dek, within()))).toBe('ERR_ACCESS_DENIED')
  })

  test('the request id is given, for the support of AWS', async () => {
    const headers = { 'x-amzn-requestid': 'b1f0a2c4-0000-4000-8000-1234567890ab' }
    const answer = awsError('KMSInternalException', MESSAGE, 500)
    aws.server.failNext({ ...answer, headers: { ...answer.headers, ...headers } })
    const { message } = await failure(wrapper.currentKeyId(within()))
    expect(message).toContain('request b1f0a2c4-0000-4000-8000-1234567890ab')
  })
})

describe('the state of the key', () => {
  test.each<[FakeKeyState, string, string]>([
    ['Creating', 'ERR_BACKEND_UNAVAILABLE', 'ERR_BACKEND_UNAVAILABLE'],
    ['Enabled', 'OK', 'OK'],
    ['Disabled', 'ERR_KEY_DISABLED', 'ERR_KEY_DISABLED'],
    ['PendingDeletion', 'ERR_KEY_PENDING_DELETION', 'ERR_KEY_PENDING_DELETION'],
    ['PendingReplicaDeletion', 'ERR_KEY_PENDING_DELETION', 'ERR_KEY_PENDING_DELETION'],
    ['PendingImport', 'ERR_KEY_UNUSABLE', 'ERR_KEY_UNUSABLE'],
    ['Unavailable', 'ERR_BACKEND_UNAVAILABLE', 'ERR_BACKEND_UNAVAILABLE'],
    ['Updating', 'OK', 'OK'],
  ])('%s: %s when it is looked at, %s when it opens', async (state, looked, openedAs) => {
    kek.state = state
    expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe(looked)
    expect(await outcomeOf(wrapper.wrap(dek, within()))).toBe(looked)
    expect(await outcomeOf(wrapper.unwrap(wrapped, within()))).toBe(openedAs)
    kek.state = 'Enabled'
    expect(await outcomeOf(wrapper.unwrap(wrapped, within()))).toBe('OK')
  })

  test('one that this version does not know is no reason to go on sealing', async () => {
    kek.state = 'Melting' as FakeKeyState
    expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('ERR_KEY_UNUSABLE')
  })

  test.each([
    { spec: 'RSA_4096', usage: 'ENCRYPT_DECRYPT' },
    { spec: 'SYMMETRIC_DEFAULT', usage: 'GENERATE_VERIFY_MAC' },
    { spec: 'ECC_NIST_P256', usage: 'SIGN_VERIFY' },
  ])('a key of another kind is refused before anything is sent to it: %j', async (kind) => {
    const other = openOn(aws, aws.addKey(kind).arn)
    const { code, message } = await failure(other.wrap(dek, within()))
    expect([code, message]).toEqual(['ERR_KEY_UNUSABLE', expect.stringContaining(kind.usage)])
    expect(aws.operations.at(-1)).toBe('DescribeKey')
    await other.close()
  })
})

describe('a clock that is off by an hour', () => {
  test.each([-3_600_000, 3_600_000])('is named, and the next try works: %i ms', async (offset) => {
    aws.clockOffsetMs = offset
    const error = await failure(wrapper.unwrap(wrapped, within()))
    expect([error.code, error.retryable]).toEqual(['ERR_CREDENTIALS_EXPIRED', true])
    expect(error.message).toContain('clock')
    expect(Buffer.from(await wrapper.unwrap(wrapped, within())).equals(dek)).toBe(true)
  })

  test('does not cost the credentials: their source is not asked again', async () => {
    aws.machine.openPodRole = () => aws.openSession()
    restore()
    restore = useEnv({
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${aws.metadata.url}/v1/credentials`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN: aws.machine.podToken,
    })
    const one = openOn(aws, kek.arn)
    aws.clockOffsetMs = -3_600_000
    await failure(one.currentKeyId(within()))
    await one.currentKeyId(within())
    expect(aws.metadata.requests.length).toBe(1)
    await one.close()
  })
})
