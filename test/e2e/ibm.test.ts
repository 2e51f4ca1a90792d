/** The built program with a root key of the fake IBM KMS: what kube-apiserver sees of a day with it, and what nobody sees. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { KmsV2Provider } from '../support/apiserver.js'
import { leaks, type Canary } from '../support/canaries.js'
import { makeVersion } from '../support/fakes/ibm_keys.js'
import { IbmSubject } from '../support/ibm_subject.js'
import { refusal } from '../support/kms_client.js'
import { until, type Settings } from '../support/plugin.js'
import {
  converse,
  ofProcess,
  outputOf,
  plaintext,
  talk,
  talkative,
  type Outputs,
} from '../support/provoked.js'
import { sandboxPerTest } from '../support/scene.js'

const scene = sandboxPerTest()
const key = '/registry/secrets/default/s1'
const value = Buffer.from('a value')

let subject: IbmSubject
beforeEach(async () => {
  subject = await IbmSubject.start()
})
afterEach(async () => subject.close())

const config = (changes: Settings = {}): Settings =>
  scene.sandbox.localConfig({
    health: { probeInterval: '100ms' },
    primary: 'kp',
    keys: { kp: { ...subject.settings(), keyRing: 'default' } },
    ...changes,
  })

test('values are written and read; a rotation moves the key id, and what is older is read and known to be stale', async () => {
  await scene.sandbox.serve(config())
  const client = scene.connect()
  const provider = new KmsV2Provider(client)
  await provider.poll()
  const before = provider.keyId
  const old = provider.write(key, value)
  subject.key.versions.push(makeVersion())
  await until(async () => (await client.v2Status()).keyId !== before)
  await provider.poll()
  expect(await provider.read(old)).toEqual({ value, stale: true })
  expect(await provider.read(provider.write(key, value))).toEqual({ value, stale: false })
  const restarted = new KmsV2Provider(scene.connect())
  await restarted.poll()
  expect(await restarted.read(old)).toEqual({ value, stale: true })
})

test('a key that was disabled stops writes and says so; enabled again it needs no restart', async () => {
  const plugin = await scene.sandbox.serve(config())
  const client = scene.connect()
  subject.key.state = 2
  await until(async () =>
    client.v2Status().then(
      () => false,
      () => true,
    ),
  )
  expect(await refusal(client.v2Status())).toMatch(/^FAILED_PRECONDITION/)
  expect(plugin.stderr()).toContain('ERR_KEY_DISABLED')
  subject.key.state = 1
  await until(async () => scene.isHealthy())
})

test('check looks at the key and proves it; without rights it says what is missing', async () => {
  const file = scene.sandbox.writeConfig(config())
  const good = await scene.sandbox.run(['check', '--config', file])
  expect(good.stdout).toContain('the role Reader on this key is all')
  expect(good.code).toBe(0)
  subject.fake.iam.setRole(subject.apiKey, 'none')
  const bad = await scene.sandbox.run(['check', '--config', file])
  expect(bad.code).toBe(1)
  expect(bad.stdout).toContain('give its service id the role Reader on the key')
})

test('neither API key nor tokens nor DEKs nor values in any output', async () => {
  const settings = config({ ...talk, health: { address: '' } })
  const plugin = await scene.sandbox.serve(settings, { env: talkative })
  const { errors } = await converse(scene.sandbox.socket)
  const file = scene.sandbox.writeConfig(settings)
  const outputs: Outputs = { errors }
  for (const words of [['check'], ['config', 'print'], ['status']]) {
    Object.assign(outputs, outputOf(words.join(' '), await scene.sandbox.run([...words, '--config', file])))
  }
  subject.fake.iam.endTokens()
  subject.fake.iam.deleteApiKey(subject.apiKey)
  Object.assign(
    outputs,
    outputOf('check without rights', await scene.sandbox.run(['check', '--config', file])),
  )
  await plugin.stop()
  Object.assign(outputs, outputOf('plugin', ofProcess(plugin)))
  const deks = subject.fake.kmsRequests
    .filter(({ url }) => url.pathname.endsWith('/wrap'))
    .map(({ body }) => (JSON.parse(body.toString()) as { plaintext: string }).plaintext)
  const canaries: Canary[] = [
    { name: 'API key', bytes: Buffer.from(subject.apiKey) },
    { name: 'plaintext', bytes: plaintext },
    ...subject.fake.iam.given.map((token) => ({ name: 'token', bytes: Buffer.from(token) })),
    ...deks.map((dek) => ({ name: 'DEK', bytes: Buffer.from(dek, 'base64') })),
  ]
  expect(deks.length).toBeGreaterThan(0)
  expect(leaks(canaries, outputs)).toEqual([])
})
