/** The built program with a KEK in AWS: what kube-apiserver sees, what AWS is asked, what stands in the log. */
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { KmsV2Provider } from '../support/apiserver.js'
import { envOf, type Env } from '../support/aws_scene.js'
import { FakeAws } from '../support/fakes/aws.js'
import type { Identity } from '../support/fakes/aws/identities.js'
import type { FakeKey } from '../support/fakes/aws/kms.js'
import { until, type Settings } from '../support/plugin.js'
import { sandboxPerTest } from '../support/scene.js'

const scene = sandboxPerTest()
const path = '/registry/secrets/default/s1'
const value = randomBytes(40)

let aws: FakeAws
let kek: FakeKey
let identity: Identity

beforeEach(async () => {
  aws = await FakeAws.start()
  kek = aws.addKey()
  identity = aws.addIdentity()
})

afterEach(async () => aws.close())

function configWith(probeInterval: string): Settings {
  const cloud = { backend: 'aws', keyId: kek.arn, endpoint: aws.server.url }
  // Calls are counted here: none may be tried again because this machine is busy.
  const retry = { callTimeout: '10s', totalTimeout: '20s' }
  return scene.sandbox.localConfig({ primary: 'cloud', keys: { cloud }, health: { probeInterval }, retry })
}

const env = (): Env => ({ ...envOf(identity), AWS_EC2_METADATA_DISABLED: 'true' })

async function startAll(probeInterval = '10m'): Promise<KmsV2Provider> {
  await scene.sandbox.serve(configWith(probeInterval), { env: env() })
  const provider = new KmsV2Provider(scene.connect())
  await provider.poll()
  return provider
}

test('starting costs five calls; Status and writing none; reading back one, and only once', async () => {
  const provider = await startAll()
  expect(aws.operations).toEqual(['DescribeKey', 'DescribeKey', 'Encrypt', 'Decrypt', 'Decrypt'])
  const stored = provider.write(path, value)
  for (let i = 0; i < 10; i += 1) await provider.poll()
  expect(aws.operations).toHaveLength(5)
  const restarted = new KmsV2Provider(scene.connect())
  await restarted.poll()
  expect(await restarted.read(stored)).toEqual({ value, stale: false })
  expect(await restarted.read(stored)).toEqual({ value, stale: false })
  expect(aws.operations.length).toBeLessThanOrEqual(6)
})

test('a rotation in AWS moves the key id, and what was written before stays readable', async () => {
  const provider = await startAll('100ms')
  const stored = provider.write(path, value)
  const before = provider.keyId
  kek.rotate()
  await until(async () => {
    await provider.poll()
    return provider.keyId !== before
  })
  expect(await provider.read(stored)).toEqual({ value, stale: true })
})

test('a probe of a healthy key asks two things: the key, and to open what it wrapped', async () => {
  await startAll('100ms')
  await until(async () => Promise.resolve(aws.operations.length >= 15))
  const probes = aws.operations.slice(5, 15)
  expect(probes).toEqual(Array.from({ length: 5 }, () => ['DescribeKey', 'Decrypt']).flat())
})

test('the log holds lines of ours alone, and no secret, over refusals and an outage', async () => {
  const plugin = await scene.sandbox.serve(configWith('100ms'), { env: env() })
  aws.identities.clear()
  await plugin.says('a key fails its probe')
  aws.identities.set(identity.accessKeyId, identity)
  await plugin.says('a key works')
  aws.server.failNext('reset', Infinity)
  await until(async () =>
    Promise.resolve(plugin.log().filter(({ msg }) => msg === 'a key fails its probe').length > 1),
  )
  await plugin.stop()
  const lines = plugin.stderr().trimEnd().split('\n')
  expect(lines.filter((line) => !line.startsWith('{'))).toEqual([])
  expect(plugin.stderr()).not.toContain(identity.secretAccessKey)
})
