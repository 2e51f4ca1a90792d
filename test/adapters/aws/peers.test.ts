/** What other plugins for AWS KMS got wrong is not wrong here. */
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { AwsKeyWrapper } from '../../../src/adapters/backends/aws/wrapper.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { FakeAws } from '../../support/fakes/aws.js'
import type { FakeKey } from '../../support/fakes/aws/kms.js'
import { envOf, openOn, useEnv, within } from '../../support/aws_scene.js'

let aws: FakeAws
let keys: readonly [FakeKey, FakeKey]
let wrappers: readonly [AwsKeyWrapper, AwsKeyWrapper]
let restore: () => void
const dek = randomBytes(32)

beforeEach(async () => {
  aws = await FakeAws.start()
  keys = [aws.addKey(), aws.addKey()]
  restore = useEnv(envOf(aws.addIdentity()))
  wrappers = [openOn(aws, keys[0].arn), openOn(aws, keys[1].arn)]
})

afterEach(async () => {
  await Promise.all(wrappers.map(async (one) => one.close()))
  restore()
  await aws.close()
})

test('two keys never have the same key id, and each is judged by itself', async () => {
  const [one, other] = await Promise.all(wrappers.map(async (each) => each.currentKeyId(within())))
  expect(one).not.toBe(other)
  keys[0].state = 'Disabled'
  expect(await outcomeOf(wrappers[0].currentKeyId(within()))).toBe('ERR_KEY_DISABLED')
  expect(await outcomeOf(wrappers[1].currentKeyId(within()))).toBe('OK')
})

test('values of one key do not open with the other, and are not sent to it', async () => {
  const wrapped = await wrappers[0].wrap(dek, within())
  await wrappers[1].currentKeyId(within())
  const before = aws.operations.length
  expect(wrappers[1].recognizes(wrapped.keyId)).toBe('no')
  expect(await outcomeOf(wrappers[1].unwrap(wrapped, within()))).toBe('ERR_KEY_UNKNOWN')
  expect(aws.operations.length).toBe(before)
})

test.each([0, 1, 2])('a wrapped DEK of %i bytes ends in an error, not in a crash', async (length) => {
  const keyId = await wrappers[0].currentKeyId(within())
  const bytes = Buffer.alloc(length, 1)
  expect(await outcomeOf(wrappers[0].unwrap({ keyId, bytes }, within()))).toBe('ERR_DECRYPTION_FAILED')
})

test('a missing right to decrypt is found when the key wraps, not when the first Secret is read', async () => {
  restore()
  const deny = { Effect: 'Deny', Action: 'kms:Decrypt', Resource: '*' }
  const allow = { Effect: 'Allow', Action: 'kms:*', Resource: '*' }
  const policies = [{ Version: '2012-10-17', Statement: [allow, deny] }]
  restore = useEnv(envOf(aws.addIdentity({ policies })))
  const wrapper = openOn(aws, keys[0].arn)
  expect(await outcomeOf(wrapper.wrap(dek, within()))).toBe('ERR_ACCESS_DENIED')
  await wrapper.close()
})
