/** What `kmsplugin check` finds out about a key in AWS KMS. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { aws as backend } from '../../../src/adapters/backends/aws/index.js'
import type { BackendDeps } from '../../../src/adapters/backends/backend.js'
import type { Finding } from '../../../src/ports/operations.js'
import { FakeAws } from '../../support/fakes/aws.js'
import { ANYTHING } from '../../support/fakes/aws/identities.js'
import { envOf, partsWith, useEnv } from '../../support/aws_scene.js'

let aws: FakeAws
let restore: () => void

beforeEach(async () => {
  aws = await FakeAws.start()
  restore = useEnv(envOf(aws.addIdentity()))
})

afterEach(async () => {
  restore()
  await aws.close()
})

async function check(keyId: string): Promise<readonly Finding[]> {
  const deps: BackendDeps = {
    ...partsWith(),
    key: 'cloud',
    isPrimary: true,
    stateDir: undefined,
    onRestart: () => undefined,
    onTokenHealth: () => undefined,
  }
  return backend.check({ backend: 'aws', keyId, region: 'eu-west-1', endpoint: aws.server.url }, deps)
}

const lines = (findings: readonly Finding[]): string[] =>
  findings.map(({ level, text }) => `${level} ${text}`)

test('says of a good key what it is', async () => {
  const key = aws.addKey()
  const found = await check(key.arn)
  expect(lines(found)).toEqual([
    `ok ${key.arn}: state Enabled, SYMMETRIC_DEFAULT, origin AWS_KMS, one region, not rotated by AWS`,
  ])
  expect(found[0]?.subject).toBe('keys.cloud.keyId')
})

test('leaves out the rotation that it may not ask for, without a word', async () => {
  const key = aws.addKey()
  const [allow] = ANYTHING.Statement
  const deny = { ...allow!, Effect: 'Deny', Action: 'kms:GetKeyRotationStatus' }
  restore()
  const policies = [{ ...ANYTHING, Statement: [allow!, deny] }]
  restore = useEnv(envOf(aws.addIdentity({ policies })))
  const found = lines(await check(key.arn))
  expect(found).toHaveLength(1)
  expect(found[0]).not.toContain('rotated')
})

test('warns of an alias, of imported material and of replicas', async () => {
  aws.addKey({ alias: 'alias/kek', origin: 'EXTERNAL', multiRegion: true })
  const found = lines(await check('alias/kek'))
  expect(found.slice(1)).toEqual([
    expect.stringMatching(/^warning alias\/kek is an alias/),
    expect.stringMatching(/^warning .*imported/),
    expect.stringMatching(/^warning .*multi-Region/),
  ])
})

test('an error is one line, with what to do', async () => {
  const key = aws.addKey()
  key.state = 'PendingDeletion'
  expect(lines(await check(key.arn))[0]).toMatch(/^error .*cancel-key-deletion/)
  expect(lines(await check('alias/none'))).toEqual([expect.stringMatching(/^error .*has no key alias\/none/)])
})

test('a key that may not be looked at is an error where an ARN does not name it, and a warning where one does', async () => {
  const key = aws.addKey()
  restore()
  restore = useEnv(envOf(aws.addIdentity({ policies: [] })))
  expect(lines(await check(key.arn))).toEqual([expect.stringMatching(/^warning .*kms:DescribeKey/)])
  const [, uuid = ''] = key.arn.split('/')
  expect(lines(await check(uuid))).toEqual([expect.stringMatching(/^error .*kms:DescribeKey/)])
})

test('changes nothing and asks nobody but KMS', async () => {
  await check(aws.addKey().arn)
  expect(aws.operations).toEqual(['DescribeKey', 'GetKeyRotationStatus'])
  expect(aws.server.requests).toHaveLength(2)
})
