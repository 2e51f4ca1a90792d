/** Blobs that another program had AWS KMS encrypt: with which key they open, and what a refusal means. */
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { AwsKeyWrapper } from '../../../src/adapters/backends/aws/wrapper.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { envOf, openOn, useEnv, within } from '../../support/aws_scene.js'
import { awsError, FakeAws } from '../../support/fakes/aws.js'
import type { FakeKey } from '../../support/fakes/aws/kms.js'

let aws: FakeAws
let kek: FakeKey
let other: FakeKey
let restore: () => void
let wrapper: AwsKeyWrapper
const opened: AwsKeyWrapper[] = []

beforeEach(async () => {
  aws = await FakeAws.start()
  kek = aws.addKey({ alias: 'alias/kek' })
  other = aws.addKey()
  restore = useEnv(envOf(aws.addIdentity()))
  wrapper = openAnother(kek.arn)
})

afterEach(async () => {
  await Promise.all(opened.splice(0).map(async (one) => one.close()))
  restore()
  await aws.close()
})

function openAnother(...args: [keyId: string, change?: Parameters<typeof openOn>[2]]): AwsKeyWrapper {
  const one = openOn(aws, ...args)
  opened.push(one)
  return one
}

const inputs = (): Record<string, unknown>[] =>
  aws.server.requests.map(({ body }) => JSON.parse(body.toString('utf8')) as Record<string, unknown>)

describe('a blob', () => {
  test.each([1, 32, 33, 4096])(
    'of %i bytes opens in one call, before the key was ever looked at',
    async (length) => {
      const plaintext = randomBytes(length)
      const bytes = kek.encrypt(plaintext, {})
      expect(
        Buffer.from(await wrapper.decryptNative({ bytes, keyName: kek.arn }, within())).equals(plaintext),
      ).toBe(true)
      expect(aws.operations).toEqual(['Decrypt'])
      expect(inputs()[0]).toMatchObject({ KeyId: kek.arn })
    },
  )

  test('of an old key material opens as well', async () => {
    const bytes = kek.encrypt(Buffer.from('old'), {})
    kek.rotate()
    expect(Buffer.from(await wrapper.decryptNative({ bytes }, within())).toString()).toBe('old')
  })

  test('opens with the encryption context and for the source of the entry, and with no other', async () => {
    const encryptionContext = { cluster: 'a', team: 'b' }
    const sourceArn = 'arn:aws:eks:eu-west-1:444455556666:cluster/prod'
    const bytes = kek.encrypt(Buffer.from('bound'), { team: 'b', cluster: 'a' })
    const bound = openAnother(kek.arn, { encryptionContext, sourceArn })
    expect(Buffer.from(await bound.decryptNative({ bytes }, within())).toString()).toBe('bound')
    expect(inputs()[0]).toMatchObject({ EncryptionContext: encryptionContext })
    expect(aws.server.requests[0]?.headers['x-amz-source-arn']).toBe(sourceArn)
    const elsewhere = openAnother(kek.arn, { encryptionContext: { cluster: 'b' } })
    for (const one of [elsewhere, wrapper]) {
      expect(await outcomeOf(one.decryptNative({ bytes }, within()))).toBe('ERR_DECRYPTION_FAILED')
    }
  })
})

describe('with a key that is pinned', () => {
  test('a blob of another key is refused', async () => {
    const bytes = other.encrypt(randomBytes(32), {})
    expect(await outcomeOf(wrapper.decryptNative({ bytes, keyName: kek.arn }, within()))).toBe(
      'ERR_DECRYPTION_FAILED',
    )
  })

  test('a blob of another key that the value names opens, as far as policies go', async () => {
    const bytes = other.encrypt(Buffer.from('other'), {})
    const call = wrapper.decryptNative({ bytes, keyName: other.arn }, within())
    expect(Buffer.from(await call).toString()).toBe('other')
  })

  test.each([
    ['that is not there', 'arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-0000-0000-000000000000'],
    ['of another region', 'arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'],
  ])('%s the value is of an unknown key', async (_name, keyName) => {
    const bytes = kek.encrypt(randomBytes(32), {})
    expect(await outcomeOf(wrapper.decryptNative({ bytes, keyName }, within()))).toBe('ERR_KEY_UNKNOWN')
  })

  test('and another answered, nothing is given out', async () => {
    aws.server.failNext({ status: 200, body: { Plaintext: 'AAAA', KeyId: other.arn } })
    const call = wrapper.decryptNative({ bytes: randomBytes(9), keyName: kek.arn }, within())
    expect(await outcomeOf(call)).toBe('ERR_BACKEND_RESPONSE')
  })
})

describe('without a pin', () => {
  test.each(['alias/kek', 'kms-test', 'arn:aws:kms:eu-west-1:111122223333:alias/kek'])(
    'under the name %s AWS takes the key that the blob names',
    async (keyName) => {
      const bytes = other.encrypt(Buffer.from('other'), {})
      expect(Buffer.from(await wrapper.decryptNative({ bytes, keyName }, within())).toString()).toBe('other')
      expect(inputs()[0]).not.toHaveProperty('KeyId')
    },
  )

  test('a moved alias loses nothing: values of the key before it still open', async () => {
    const byAlias = openAnother('alias/kek')
    const bytes = kek.encrypt(Buffer.from('before'), {})
    aws.setAlias('alias/kek', other)
    await byAlias.currentKeyId(within())
    const call = byAlias.decryptNative({ bytes, keyName: 'alias/kek' }, within())
    expect(Buffer.from(await call).toString()).toBe('before')
  })

  test('a multi-Region key opens under the ARN that it has in another region', async () => {
    const replica = aws.addKey({ multiRegion: true })
    const bytes = replica.encrypt(Buffer.from('moved'), {})
    const keyName = replica.arn.replace('eu-west-1', 'us-east-1')
    expect(Buffer.from(await wrapper.decryptNative({ bytes, keyName }, within())).toString()).toBe('moved')
    await wrapper.decryptNative({ bytes, keyName: replica.arn }, within())
    expect(inputs().map(({ KeyId }) => KeyId)).toEqual([undefined, replica.arn])
  })

  test('a key that we may not use, or that is not there, is an unknown key: no fault of AWS', async () => {
    restore()
    const allow = { Effect: 'Allow', Action: 'kms:*', Resource: kek.arn }
    restore = useEnv(envOf(aws.addIdentity({ policies: [{ Version: '2012-10-17', Statement: [allow] }] })))
    const confined = openAnother(kek.arn)
    const bytes = other.encrypt(randomBytes(32), {})
    const call = confined.decryptNative({ bytes }, within())
    expect(await outcomeOf(call)).toBe('ERR_KEY_UNKNOWN')
    await expect(call).rejects.toThrow(/grant kms:Decrypt/)
  })

  test('where the service says so in another word, it is the same', async () => {
    aws.server.failNext(awsError('NotFoundException'))
    expect(await outcomeOf(wrapper.decryptNative({ bytes: randomBytes(9) }, within()))).toBe(
      'ERR_KEY_UNKNOWN',
    )
  })
})

describe('what is no fault of the value', () => {
  test.each([
    ['Disabled', 'ERR_KEY_DISABLED'],
    ['PendingDeletion', 'ERR_KEY_PENDING_DELETION'],
    ['Unavailable', 'ERR_BACKEND_UNAVAILABLE'],
  ] as const)('a key that is %s: %s', async (state, code) => {
    const bytes = kek.encrypt(randomBytes(32), {})
    kek.state = state
    for (const keyName of [undefined, kek.arn]) {
      const value = keyName === undefined ? { bytes } : { bytes, keyName }
      expect(await outcomeOf(wrapper.decryptNative(value, within()))).toBe(code)
    }
  })

  test('an outage is one, and is not tried again', async () => {
    aws.server.failNext(awsError('KMSInternalException', '', 500), Infinity)
    expect(await outcomeOf(wrapper.decryptNative({ bytes: randomBytes(9) }, within()))).toBe(
      'ERR_BACKEND_UNAVAILABLE',
    )
    expect(aws.server.requests.length).toBe(1)
  })

  test('after the end no call goes out', async () => {
    await wrapper.close()
    expect(await outcomeOf(wrapper.decryptNative({ bytes: randomBytes(9) }, within()))).toBe(
      'ERR_SHUTTING_DOWN',
    )
    expect(aws.server.requests.length).toBe(0)
  })
})

test('an altered name of the key in a pinned blob is left to the canary, which knows that our key opens', async () => {
  const bytes = kek.encrypt(randomBytes(32), {})
  bytes.writeUInt8(bytes.readUInt8(10) ^ 1, 10)
  const pinned = wrapper.decryptNative({ bytes, keyName: kek.arn }, within())
  expect(await outcomeOf(pinned)).toBe('ERR_UNWRAP_AMBIGUOUS')
  expect(await outcomeOf(wrapper.decryptNative({ bytes }, within()))).toBe('ERR_KEY_UNKNOWN')
})
