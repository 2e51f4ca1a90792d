/** The policies in docs/aws.md are enough, and no more than enough: the fake enforces exactly them. */
import { readFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { AwsSettings } from '../../../src/adapters/backends/aws/settings.js'
import { awsKeyId } from '../../../src/adapters/backends/aws/wrapper.js'
import { createConfig } from '../../../src/container.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'
import { FakeAws } from '../../support/fakes/aws.js'
import { iamPolicy, type FakeKey } from '../../support/fakes/aws/kms.js'
import type { PolicyDocument } from '../../support/fakes/aws/policy.js'
import type { IdentityWish } from '../../support/fakes/aws/identities.js'
import { envOf, openOn, useEnv, within } from '../../support/aws_scene.js'

const pathOf = (name: string): string => fileURLToPath(new URL(`../../../${name}`, import.meta.url))
const PAGE = readFileSync(pathOf('docs/aws.md'), 'utf8')
const KEY_IN_PAGE = 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'
const CONTEXT = { cluster: 'prod-1' }

const documents = [...PAGE.matchAll(/```json\n([\s\S]*?)```/g)].map(([, text = '']) => text)
const [ofIdentity = '', ofKey = '', ofKeyForOther = ''] = documents

let aws: FakeAws
let kek: FakeKey
let restore: () => void = () => undefined

beforeEach(async () => {
  aws = await FakeAws.start()
  kek = aws.addKey()
})

afterEach(async () => {
  restore()
  await aws.close()
})

/** As in the page, for the key of the test. */
function policy(text: string): PolicyDocument {
  return JSON.parse(text.replaceAll(KEY_IN_PAGE, kek.arn)) as PolicyDocument
}

/** What becomes of each of the three operations. */
async function outcomes(wish: IdentityWish, change: Partial<AwsSettings> = {}): Promise<string[]> {
  const encryptionContext = CONTEXT
  restore = useEnv(envOf(aws.addIdentity(wish)))
  const wrapper = openOn(aws, kek.arn, { encryptionContext, ...change })
  const made = kek.encrypt(randomBytes(32), change.encryptionContext ?? encryptionContext)
  const bytes = Buffer.concat([Buffer.of(1), made])
  const wrapped = {
    keyId: awsKeyId(kek.arn, kek.materialId, change.encryptionContext ?? encryptionContext),
    bytes,
  }
  const all = [
    await outcomeOf(wrapper.currentKeyId(within())),
    await outcomeOf(wrapper.wrap(randomBytes(32), within())),
    await outcomeOf(wrapper.unwrap(wrapped, within())),
  ]
  await wrapper.close()
  restore()
  return all
}

const ALL = ['OK', 'OK', 'OK']
const DENIED = 'ERR_ACCESS_DENIED'

test('the page has three policies, and each is JSON', () => {
  expect(documents).toHaveLength(3)
  for (const text of documents) expect(policy(text).Version).toBe('2012-10-17')
})

test('the example config is valid and goes with the policies', async () => {
  const result = await createConfig().load(pathOf('config/aws.yaml'))
  expect(result.problems).toEqual([])
  if (!('config' in result)) throw new Error('unreachable: there are no problems')
  expect(result.config.keys['cloud']).toEqual({
    backend: 'aws',
    keyId: KEY_IN_PAGE,
    encryptionContext: CONTEXT,
  })
})

function without(action: string): PolicyDocument {
  const { Version, Statement } = policy(ofIdentity)
  const less = Statement.map((one) => ({ ...one, Action: [one.Action].flat().filter((a) => a !== action) }))
  return { Version, Statement: less }
}

/** An ARN says by itself which key it is. */
const NOTHING = ['OK', DENIED, DENIED]

describe('the policy of the identity', () => {
  test('is enough, with a key that leaves it to IAM', async () => {
    expect(await outcomes({ policies: [policy(ofIdentity)] })).toEqual(ALL)
  })

  test('has nothing to spare: without one action, what needs it is denied', async () => {
    for (const action of ['kms:Encrypt', 'kms:Decrypt']) {
      expect(await outcomes({ policies: [without(action)] }), action).toContain(DENIED)
    }
  })

  test('that does not let us look at the key is enough where an ARN names it', async () => {
    expect(await outcomes({ policies: [without('kms:DescribeKey')] })).toEqual(ALL)
  })

  test('that does not let us look at the key leaves a rotation to the next wrap, and says so once', async () => {
    restore = useEnv(envOf(aws.addIdentity({ policies: [without('kms:DescribeKey')] })))
    const logger = new RecordingLogger()
    const wrapper = openOn(aws, kek.arn, { encryptionContext: CONTEXT }, { logger })
    const old = await wrapper.wrap(randomBytes(32), within())
    expect(old.keyId).toBe(awsKeyId(kek.arn, kek.materialId, CONTEXT))
    expect(await wrapper.currentKeyId(within())).toBe(old.keyId)
    kek.rotate()
    expect(await wrapper.currentKeyId(within())).toBe(old.keyId)
    const fresh = await wrapper.wrap(randomBytes(32), within())
    expect(fresh.keyId).toBe(awsKeyId(kek.arn, kek.materialId, CONTEXT))
    expect(fresh.keyId).not.toBe(old.keyId)
    expect(await wrapper.currentKeyId(within())).toBe(fresh.keyId)
    expect(await wrapper.unwrap(old, within())).toHaveLength(32)
    const warned = logger.lines.filter(({ text }) => text.includes('kms:DescribeKey'))
    expect(warned).toHaveLength(1)
    await wrapper.close()
  })

  test('that does not let us look at the key is too little where something else names it', async () => {
    const [, uuid = ''] = kek.arn.split('/')
    const got = await outcomes({ policies: [without('kms:DescribeKey')] }, { keyId: uuid })
    expect(got).toEqual([DENIED, DENIED, DENIED])
  })

  test('does not allow another encryption context, nor none', async () => {
    const policies = [policy(ofIdentity)]
    const other = await outcomes({ policies }, { encryptionContext: { cluster: 'prod-2' } })
    expect(other).toEqual(['OK', DENIED, DENIED])
    expect(await outcomes({ policies }, { encryptionContext: {} })).toEqual(['OK', DENIED, DENIED])
  })

  test('does not allow another key', async () => {
    const policies = [policy(ofIdentity)]
    kek = aws.addKey()
    expect(await outcomes({ policies })).toEqual(NOTHING)
  })

  test('is nothing without the key: one that does not leave it to IAM denies', async () => {
    kek.policy = { Version: '2012-10-17', Statement: [] }
    expect(await outcomes({ policies: [policy(ofIdentity)] })).toEqual(NOTHING)
  })
})

describe('the policy of the key', () => {
  test('is enough for the role that it names, without a policy of its own', async () => {
    kek.policy = policy(ofKey)
    expect(await outcomes({ name: 'kmsplugin', policies: [] })).toEqual(ALL)
  })

  test('allows no other role, and no other context', async () => {
    kek.policy = policy(ofKey)
    expect(await outcomes({ name: 'other', policies: [] })).toEqual(NOTHING)
    const change = { encryptionContext: { cluster: 'prod-2' } }
    expect(await outcomes({ name: 'kmsplugin', policies: [] }, change)).toEqual(['OK', DENIED, DENIED])
  })
})

describe('a key of another account', () => {
  const account = '444455556666'

  test('works when both sides allow', async () => {
    kek.policy = policy(ofKeyForOther)
    expect(await outcomes({ account, policies: [policy(ofIdentity)] })).toEqual(ALL)
  })

  test('is denied when one side does not', async () => {
    kek.policy = iamPolicy('111122223333')
    expect(await outcomes({ account, policies: [policy(ofIdentity)] })).toEqual(NOTHING)
    kek.policy = policy(ofKeyForOther)
    expect(await outcomes({ account, policies: [] })).toEqual(NOTHING)
  })
})

test('a condition on whom we act for refuses the wrong cluster', async () => {
  const sourceArn = 'arn:aws:eks:eu-west-1:111122223333:cluster/prod-1'
  const { Version, Statement } = policy(ofKey)
  const Condition = { StringEquals: { 'aws:SourceArn': sourceArn, 'aws:SourceAccount': '111122223333' } }
  kek.policy = { Version, Statement: Statement.slice(1).map((one) => ({ ...one, Condition })) }
  const wish = { name: 'kmsplugin', policies: [] }
  expect(await outcomes(wish, { sourceArn })).toEqual(ALL)
  const other = sourceArn.replace('prod-1', 'prod-2')
  expect(await outcomes(wish, { sourceArn: other })).toEqual(NOTHING)
  expect(await outcomes(wish)).toEqual(NOTHING)
})
