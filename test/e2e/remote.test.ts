/** The built program with its KEK in a KMS on the network: what kube-apiserver and the operator see, on good days and bad. */
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { KmsV1Provider, KmsV2Provider } from '../support/apiserver.js'
import { leaks, type Canary } from '../support/canaries.js'
import { refusal } from '../support/kms_client.js'
import { freePort, until, type Settings } from '../support/plugin.js'
import {
  converse,
  ofProcess,
  outputOf,
  pagesOf,
  plaintext,
  talk,
  talkative,
  type Outputs,
} from '../support/provoked.js'
import { remoteKinds } from '../support/remote/kinds.js'
import { RemoteBench } from '../support/remote/remote_kms.js'
import { Scene } from '../support/scene.js'

const etcdKey = '/registry/secrets/default/s1'
const value = Buffer.from('a value')
const quickProbe = { probeInterval: '100ms' }
const noCache = { dek: 'fresh', dekCacheTimeout: '0' }

describe.each(Object.entries(remoteKinds))('a KEK in %s', (name, make) => {
  let scene: Scene
  let bench: RemoteBench

  const config = (changes: Settings = {}): Settings =>
    scene.sandbox.localConfig({ primary: 'kek', keys: { kek: bench.section }, ...changes })

  const serve = async (changes: Settings = {}) =>
    scene.sandbox.serve(config(changes), { env: { ...bench.kms.env, ...talkative } })

  beforeEach(async () => {
    scene = new Scene()
    bench = await RemoteBench.open(make)
  })

  afterEach(async () => {
    await scene.close()
    await bench.close()
  })

  test('serves v2 and v1, and what it sealed opens after kill -9', async () => {
    const first = await serve({ server: { kmsV1: true } })
    const v2 = new KmsV2Provider(scene.connect())
    await v2.poll()
    const stored = v2.write(etcdKey, value)
    const storedV1 = await new KmsV1Provider(scene.connect()).write(etcdKey, value)
    await first.kill()

    await serve({ server: { kmsV1: true } })
    const restarted = new KmsV2Provider(scene.connect())
    await restarted.poll()
    expect(restarted.keyId).toBe(v2.keyId)
    expect(restarted.keyId).toMatch(new RegExp(`^${name}:`))
    expect(await restarted.read(stored)).toEqual({ value, stale: false })
    expect(await new KmsV1Provider(scene.connect()).read(storedV1)).toEqual(value)
  })

  test('check proves it by a round trip, and says what it found', async () => {
    const file = scene.sandbox.writeConfig(config())
    const { code, stdout, stderr } = await scene.sandbox.run(['check', '--config', file], {
      env: bench.kms.env,
    })
    expect(stderr).toBe('')
    expect(stdout).toContain('wraps and unwraps')
    expect(code).toBe(0)
  })

  test('a rotation in the KMS is noticed without a restart, and old values open', async () => {
    await serve({ keys: bench.keys, health: quickProbe })
    const provider = new KmsV2Provider(scene.connect())
    await provider.poll()
    const before = provider.keyId
    const old = provider.write(etcdKey, value)
    await bench.kms.rotate()
    await until(async () => {
      await provider.poll()
      return provider.keyId !== before
    })
    expect(await provider.read(old)).toEqual({ value, stale: true })
    const restarted = new KmsV2Provider(scene.connect())
    await restarted.poll()
    expect(restarted.keyId).toBe(provider.keyId)
    expect(await restarted.read(old)).toEqual({ value, stale: true })
  })

  test.each(['refuse', 'reset', 'blackhole'] as const)(
    'an outage of the KMS (%s) is survived: sealing goes on, Status says so, and all is well again by itself',
    async (fault) => {
      const plugin = await serve({ health: quickProbe })
      const client = scene.connect()
      const sealed = await client.v2Encrypt(plaintext)
      await bench.proxy.fail(fault)
      await until(async () => (await client.v2Status()).healthz !== 'ok')
      expect((await client.v2Encrypt(plaintext)).keyId).toBe(sealed.keyId)
      expect(await client.v2Decrypt(sealed)).toEqual(plaintext)
      await bench.proxy.fail(undefined)
      await until(async () => (await client.v2Status()).healthz === 'ok')
      expect(await client.v2Decrypt(await client.v2Encrypt(plaintext))).toEqual(plaintext)
      expect(plugin.isRunning).toBe(true)
    },
  )

  test('one that starts during an outage is refused work, and works when the KMS is there', async () => {
    await bench.proxy.fail('refuse')
    const plugin = scene.sandbox.begin(config(), { env: bench.kms.env })
    await plugin.says('a key fails its probe')
    expect(await refusal(scene.connect().v2Encrypt(plaintext))).toContain('UNAVAILABLE')
    await bench.proxy.fail(undefined)
    await plugin.says('primary key proved')
    const client = scene.connect()
    expect(await client.v2Decrypt(await client.v2Encrypt(plaintext))).toEqual(plaintext)
  })

  test('a KMS that hangs does not hang Status, and each call ends in its time', async () => {
    await serve({ envelope: noCache, retry: { callTimeout: '300ms', totalTimeout: '1s' } })
    const client = scene.connect()
    const sealed = await client.v2Encrypt(plaintext)
    bench.kms.server.failNext('stall', Infinity)
    expect(await refusal(client.v2Decrypt(sealed))).toMatch(/DEADLINE_EXCEEDED|UNAVAILABLE/)
    expect((await client.v2Status()).keyId).toBe(sealed.keyId)
    bench.kms.server.fault = undefined
    await until(async () => (await client.v2Status()).healthz === 'ok')
    expect(await client.v2Decrypt(sealed)).toEqual(plaintext)
  })

  test('values move to it from a local key, and the KMS is asked once for a DEK, never by Status', async () => {
    const local = { backend: 'local', path: scene.sandbox.keyFile }
    await scene.sandbox.makeKeyFile()
    const first = await scene.sandbox.serve(
      config({ primary: 'old', keys: { old: local, kek: bench.section } }),
      {
        env: bench.kms.env,
      },
    )
    const before = new KmsV2Provider(scene.connect())
    await before.poll()
    const old = before.write(etcdKey, value)
    await first.stop()

    await serve({ keys: { old: local, kek: bench.section }, health: { probeInterval: '10m' } })
    const client = scene.connect()
    const after = new KmsV2Provider(client)
    await after.poll()
    expect(await after.read(old)).toEqual({ value, stale: true })
    const calls = bench.calls
    for (let i = 0; i < 20; i += 1) {
      await client.v2Status()
      expect(await client.v2Decrypt(await client.v2Encrypt(randomBytes(32)))).toHaveLength(32)
    }
    expect(bench.calls).toBe(calls)
  })

  test('bad ciphertexts do not change its health', async () => {
    await serve({ envelope: noCache })
    const client = scene.connect()
    const sealed = await client.v2Encrypt(plaintext)
    for (let at = 0; at < sealed.ciphertext.length; at += 7) {
      const ciphertext = Buffer.from(sealed.ciphertext)
      ciphertext.writeUInt8(ciphertext.readUInt8(at) ^ 0x40, at)
      expect(await refusal(client.v2Decrypt({ ...sealed, ciphertext }))).toMatch(
        /^(INVALID_ARGUMENT|FAILED_PRECONDITION)/,
      )
      expect((await client.v2Status()).healthz).toBe('ok')
    }
    expect(await client.v2Decrypt(sealed)).toEqual(plaintext)
  })

  test('neither plaintext nor what lets the plugin in shows in any output', async () => {
    const port = await freePort()
    const health = { address: `127.0.0.1:${port}`, probeInterval: '100ms' }
    const plugin = await serve({ ...talk, envelope: noCache, health })
    const { errors } = await converse(scene.sandbox.socket)
    const outputs: Outputs = { errors }
    // As long as it takes: how often a backend asks again is its own affair.
    bench.kms.server.failNext({ status: 403, body: { errors: ['no'] } }, Infinity)
    await refusal(scene.connect().v2Encrypt(plaintext))
    bench.kms.server.fault = undefined
    await bench.proxy.fail('reset')
    await refusal(scene.connect().v2Encrypt(plaintext))
    Object.assign(outputs, await pagesOf(port))
    const file = scene.sandbox.writeConfig(config())
    for (const fault of ['reset', undefined] as const) {
      await bench.proxy.fail(fault)
      for (const words of [['check'], ['config', 'print'], ['config', 'validate'], ['status']]) {
        const ran = await scene.sandbox.run([...words, '--config', file], {
          env: { ...bench.kms.env, ...talkative },
        })
        Object.assign(outputs, outputOf(`${words.join(' ')} ${fault ?? ''}`, ran))
      }
    }
    await plugin.stop()
    expect(plugin.stdout()).toBe('')
    for (const line of plugin.stderr().trimEnd().split('\n')) expect(line).toMatch(/^\{"level":/)
    const canaries: Canary[] = [{ name: 'plaintext', bytes: plaintext }, ...bench.kms.canaries()]
    expect(bench.kms.canaries().length).toBeGreaterThan(1)
    expect(leaks(canaries, { ...outputs, ...outputOf('plugin', ofProcess(plugin)) })).toEqual([])
  })
})
