/** What the KEK in AWS KMS is, from its birth over rotations to another target of its alias. */
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { awsKeyId, type AwsKeyWrapper } from '../../../src/adapters/backends/aws/wrapper.js'
import { ManualClock } from '../../doubles/manual_clock.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { awsError, FakeAws } from '../../support/fakes/aws.js'
import type { FakeKey } from '../../support/fakes/aws/kms.js'
import { envOf, openOn, useEnv, within } from '../../support/aws_scene.js'

let aws: FakeAws
let kek: FakeKey
let restore: () => void
let wrapper: AwsKeyWrapper
const dek = randomBytes(32)

beforeEach(async () => {
  aws = await FakeAws.start()
  kek = aws.addKey({ alias: 'alias/kek' })
  restore = useEnv(envOf(aws.addIdentity()))
  wrapper = openOn(aws, kek.arn)
})

afterEach(async () => {
  await wrapper.close()
  restore()
  await aws.close()
})

const inputs = (operation: string): Record<string, unknown>[] =>
  aws.server.requests
    .filter(({ headers }) => headers['x-amz-target'] === `TrentService.${operation}`)
    .map(({ body }) => JSON.parse(body.toString('utf8')) as Record<string, unknown>)

describe('wrapping', () => {
  test('asks three times: which key, encrypt, and decrypt to learn the key material', async () => {
    await wrapper.wrap(dek, within())
    expect(aws.operations).toEqual(['DescribeKey', 'Encrypt', 'Decrypt'])
  })

  test('opening asks once, and names the key each time', async () => {
    const wrapped = await wrapper.wrap(dek, within())
    await wrapper.unwrap(wrapped, within())
    expect(aws.operations.slice(3)).toEqual(['Decrypt'])
    for (const input of [...inputs('Encrypt'), ...inputs('Decrypt')]) expect(input['KeyId']).toBe(kek.arn)
  })

  test('a plugin that has just started looks at the key once, however many values it opens', async () => {
    const wrapped = await wrapper.wrap(dek, within())
    const fresh = openOn(aws, kek.arn)
    const before = aws.operations.length
    await fresh.unwrap(wrapped, within())
    await fresh.unwrap(wrapped, within())
    expect(aws.operations.slice(before)).toEqual(['DescribeKey', 'Decrypt', 'Decrypt'])
    await fresh.close()
  })

  test('however many values wait when the plugin starts, the key is looked at once for all', async () => {
    const wrapped = await wrapper.wrap(dek, within())
    const fresh = openOn(aws, kek.arn)
    const before = aws.operations.length
    const all = Array.from({ length: 50 }, async () => fresh.unwrap(wrapped, within()))
    for (const one of await Promise.all(all)) expect(Buffer.from(one).equals(dek)).toBe(true)
    const asked = aws.operations.slice(before)
    expect(asked.filter((operation) => operation === 'DescribeKey')).toHaveLength(1)
    expect(asked).toHaveLength(51)
    await fresh.close()
  })

  test('a blob that does not open to the same DEK is thrown away', async () => {
    const other = kek.encrypt(randomBytes(32), {}).toString('base64')
    aws.server.fault = ({ headers }) =>
      headers['x-amz-target'] === 'TrentService.Encrypt'
        ? { status: 200, body: { CiphertextBlob: other, KeyId: kek.arn } }
        : undefined
    expect(await outcomeOf(wrapper.wrap(dek, within()))).toBe('ERR_WRAP_UNVERIFIED')
  })

  test.each([
    ['Encrypt', { CiphertextBlob: 'AAAA', KeyId: 'arn:aws:kms:eu-west-1:1:key/other' }],
    ['Encrypt', { KeyId: 'arn' }],
    ['Decrypt', { Plaintext: 'AAAA', KeyId: 'arn:aws:kms:eu-west-1:1:key/other' }],
    ['Decrypt', {}],
    ['DescribeKey', { KeyMetadata: {} }],
    ['DescribeKey', { KeyMetadata: { Arn: 'alias/kek' } }],
  ])('an answer to %s that is not about our key is refused: %j', async (operation, body) => {
    aws.server.fault = ({ headers }) =>
      headers['x-amz-target'] === `TrentService.${operation}` ? { status: 200, body } : undefined
    expect(await outcomeOf(wrapper.wrap(dek, within()))).toBe('ERR_BACKEND_RESPONSE')
  })
})

describe('rotation', () => {
  test('moves the key id, and what the old material wrapped still opens', async () => {
    const before = await wrapper.wrap(dek, within())
    kek.rotate()
    const after = await wrapper.wrap(dek, within())
    expect(after.keyId).not.toBe(before.keyId)
    expect(after.keyId).toBe(awsKeyId(kek.arn, kek.materialId))
    expect(await wrapper.currentKeyId(within())).toBe(after.keyId)
    for (const wrapped of [before, after]) {
      expect(Buffer.from(await wrapper.unwrap(wrapped, within())).equals(dek)).toBe(true)
    }
  })

  test('between two of the calls of a wrap does not give it the wrong key id', async () => {
    const old = kek.materialId
    aws.server.fault = ({ headers }) => {
      if (headers['x-amz-target'] === 'TrentService.Encrypt' && kek.materialId === old) kek.rotate()
      return undefined
    }
    const wrapped = await wrapper.wrap(dek, within())
    expect(wrapped.keyId).toBe(awsKeyId(kek.arn, kek.materialId))
  })

  test('between two of the calls is noticed as well where only DescribeKey tells the material', async () => {
    kek.decryptTellsMaterial = false
    const old = kek.materialId
    aws.server.fault = ({ headers }) => {
      if (headers['x-amz-target'] === 'TrentService.Encrypt' && kek.materialId === old) kek.rotate()
      return undefined
    }
    const wrapped = await wrapper.wrap(dek, within())
    expect(wrapped.keyId).toBe(awsKeyId(kek.arn, kek.materialId))
    expect(Buffer.from(await wrapper.unwrap(wrapped, within())).equals(dek)).toBe(true)
  })

  test('a wrapped DEK under the key id of other material is refused as altered', async () => {
    const { bytes } = await wrapper.wrap(dek, within())
    kek.rotate()
    const keyId = await wrapper.currentKeyId(within())
    expect(await outcomeOf(wrapper.unwrap({ keyId, bytes }, within()))).toBe('ERR_DECRYPTION_FAILED')
  })

  test('what was wrapped before the service had ids of key material stays openable', async () => {
    kek.tellsMaterial = false
    const wrapped = await wrapper.wrap(dek, within())
    expect(wrapped.keyId).toBe(awsKeyId(kek.arn, undefined))
    kek.tellsMaterial = true
    expect(Buffer.from(await wrapper.unwrap(wrapped, within())).equals(dek)).toBe(true)
  })
})

describe('an alias', () => {
  test('is not in the key id: by whatever name, a KEK is the same', async () => {
    const names = [kek.arn, kek.id, 'alias/kek', kek.arn.replace(`key/${kek.id}`, 'alias/kek')]
    const ids = names.map(async (name) => {
      const one = openOn(aws, name)
      const keyId = await one.currentKeyId(within())
      await one.close()
      return keyId
    })
    expect(new Set(await Promise.all(ids)).size).toBe(1)
  })

  test('that is moved moves the key id; old values are of an unknown key until the old key is an entry', async () => {
    const byAlias = openOn(aws, 'alias/kek')
    const old = await byAlias.wrap(dek, within())
    const next = aws.addKey({ alias: 'alias/kek' })
    expect(await byAlias.currentKeyId(within())).toBe(awsKeyId(next.arn, next.materialId))
    const before = aws.operations.length
    expect(byAlias.recognizes(old.keyId)).toBe('no')
    expect(await outcomeOf(byAlias.unwrap(old, within()))).toBe('ERR_KEY_UNKNOWN')
    expect(aws.operations.slice(before)).not.toContain('Decrypt')
    expect(Buffer.from(await wrapper.unwrap(old, within())).equals(dek)).toBe(true)
    await byAlias.close()
  })

  test('is looked up again, after a while, before the key id of its new target is called foreign', async () => {
    const clock = new ManualClock()
    const byAlias = openOn(aws, 'alias/kek', {}, { clock })
    await byAlias.currentKeyId(within())
    const next = aws.addKey({ alias: 'alias/kek' })
    const other = openOn(aws, next.arn)
    const wrapped = await other.wrap(dek, within())
    expect(byAlias.recognizes(wrapped.keyId)).toBe('no')
    await clock.advance(31_000)
    expect(byAlias.recognizes(wrapped.keyId)).toBe('unknown')
    expect(Buffer.from(await byAlias.unwrap(wrapped, within())).equals(dek)).toBe(true)
    await byAlias.close()
    await other.close()
  })
})

describe('what is sent', () => {
  test('the encryption context goes along, and without it nothing opens', async () => {
    const bound = openOn(aws, kek.arn, { encryptionContext: { cluster: 'a' } })
    const wrapped = await bound.wrap(dek, within())
    expect(inputs('Encrypt').at(-1)?.['EncryptionContext']).toEqual({ cluster: 'a' })
    expect(await outcomeOf(wrapper.unwrap(wrapped, within()))).toBe('ERR_KEY_UNKNOWN')
    const elsewhere = openOn(aws, kek.arn, { encryptionContext: { cluster: 'b' } })
    expect(await outcomeOf(elsewhere.unwrap(wrapped, within()))).toBe('ERR_KEY_UNKNOWN')
    const forged = { ...wrapped, keyId: await elsewhere.currentKeyId(within()) }
    expect(await outcomeOf(elsewhere.unwrap(forged, within()))).toBe('ERR_DECRYPTION_FAILED')
    expect(await outcomeOf(bound.unwrap(wrapped, within()))).toBe('OK')
    await bound.close()
    await elsewhere.close()
  })

  test('for whom we act is sent, signed, with its account', async () => {
    const sourceArn = 'arn:aws:eks:eu-west-1:444455556666:cluster/prod'
    const one = openOn(aws, kek.arn, { sourceArn })
    await one.currentKeyId(within())
    const { headers } = aws.server.requests.at(-1)!
    expect(headers['x-amz-source-arn']).toBe(sourceArn)
    expect(headers['x-amz-source-account']).toBe('444455556666')
    expect(headers['authorization']).toContain('x-amz-source-account;x-amz-source-arn')
    await one.close()
  })

  test('two encryption contexts of one key are two KEKs, so that both can stand under keys; their order is none', async () => {
    const contexts = [{ a: '1' }, { a: '2' }, { a: '1', b: '2' }, { a: '2', b: '1' }]
    const bound = contexts.map((encryptionContext) => openOn(aws, kek.arn, { encryptionContext }))
    const ids = await Promise.all(bound.map(async (one) => one.currentKeyId(within())))
    const known = ids.map((keyId) => bound.map((one) => one.recognizes(keyId)))
    expect(known).toEqual(ids.map((_, at) => ids.map((_id, other) => (at === other ? 'yes' : 'no'))))
    const turned = openOn(aws, kek.arn, { encryptionContext: { b: '2', a: '1' } })
    expect(await turned.currentKeyId(within())).toBe(ids[2])
    await Promise.all([turned, ...bound].map(async (one) => one.close()))
  })

  test('blobs of several keys never pass for another: the key is always named', async () => {
    const other = aws.addKey()
    const blob = other.encrypt(dek, {})
    const keyId = awsKeyId(kek.arn, kek.materialId)
    const bytes = Buffer.concat([Buffer.of(1), blob])
    expect(await outcomeOf(wrapper.unwrap({ keyId, bytes }, within()))).toBe('ERR_DECRYPTION_FAILED')
  })

  test('what opens to no DEK is refused, whoever made it', async () => {
    const keyId = awsKeyId(kek.arn, kek.materialId)
    for (const length of [1, 31, 33, 64]) {
      const bytes = Buffer.concat([Buffer.of(1), kek.encrypt(randomBytes(length), {})])
      expect(await outcomeOf(wrapper.unwrap({ keyId, bytes }, within()))).toBe('ERR_DECRYPTION_FAILED')
    }
  })
})

test('after the end no call goes out', async () => {
  await wrapper.currentKeyId(within())
  const before = aws.server.requests.length
  await wrapper.close()
  const calls = [wrapper.currentKeyId(within()), wrapper.wrap(dek, within())]
  for (const call of calls) expect(await outcomeOf(call)).toBe('ERR_SHUTTING_DOWN')
  expect(aws.server.requests.length).toBe(before)
})

test('the SDK does not try again by itself', async () => {
  aws.server.failNext(awsError('ThrottlingException'), Infinity)
  expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('ERR_BACKEND_THROTTLED')
  expect(aws.server.requests.length).toBe(1)
})
