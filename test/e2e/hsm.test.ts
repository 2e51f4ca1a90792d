/** The built program on a token: what kube-apiserver sees while the process that holds the HSM dies or hangs. */
import { randomBytes } from 'node:crypto'
import { existsSync, renameSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { KmsV1Provider, KmsV2Provider } from '../support/apiserver.js'
import { childrenOf, HsmSandbox } from '../support/hsm.js'
import { isHealthy, KmsClient, refusal } from '../support/kms_client.js'
import { until, type Process } from '../support/plugin.js'
import { onSoftHsm, softHsmMissing } from '../support/softhsm.js'

describe.skipIf(softHsmMissing !== undefined)(onSoftHsm('a plugin on a token'), () => {
  let sandbox: HsmSandbox
  const clients: KmsClient[] = []

  beforeEach(async () => {
    sandbox = await HsmSandbox.make()
  })
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close()
    await sandbox.close()
  })

  function connect(timeoutMs?: number): KmsClient {
    const client = new KmsClient(sandbox.socket, timeoutMs)
    clients.push(client)
    return client
  }

  /** The one process that holds the HSM. */
  async function hsmProcess(plugin: Process): Promise<number> {
    let pids: number[] = []
    await until(() => {
      pids = childrenOf(plugin.pid)
      return pids.length === 1
    })
    return pids[0]!
  }

  test('values are written and read through v2 and v1, and by the next process', async () => {
    const plugin = await sandbox.serveHsm({ server: { kmsV1: true } })
    const client = connect()
    const [v2, v1] = [new KmsV2Provider(client), new KmsV1Provider(client)]
    await Promise.all([v2.poll(), v1.check()])
    const key = '/registry/secrets/default/s1'
    const stored = [v2.write(key, Buffer.from('two')), await v1.write(key, Buffer.from('one'))] as const
    expect(await plugin.stop()).toEqual({ code: 0, signal: null })

    await sandbox.serveHsm({ server: { kmsV1: true } })
    const next = new KmsV2Provider(connect())
    await next.poll()
    expect((await next.read(stored[0])).value.toString()).toBe('two')
    expect((await v1.read(stored[1])).toString()).toBe('one')
    expect(next.keyId).toBe(v2.keyId)
  })

  test('a KEK made by keygen on one node is found by its label on another, under the same key id', async () => {
    const { stdout } = await sandbox.onToken('check')
    const plugin = await sandbox.serveHsm()
    const { keyId } = await connect().v2Status()
    expect(stdout).toContain(keyId)
    expect(await plugin.stop()).toMatchObject({ code: 0 })
  })

  test('a second key entry on the same token takes over after a restart, and old values open', async () => {
    const first = await sandbox.serveHsm()
    const plaintext = randomBytes(32)
    const old = await connect().v2Encrypt(plaintext)
    await first.stop()
    const keys = { hsm: sandbox.key(), next: sandbox.key({ keyLabel: 'kek-2' }) }
    await sandbox.run(
      ['keygen', '--config', sandbox.writeConfig(sandbox.hsmConfig({ keys })), '--key', 'next'],
      { env: sandbox.hsm.env },
    )
    await sandbox.serveHsm({ keys, primary: 'next' })
    const client = connect()
    expect((await client.v2Encrypt(plaintext)).keyId).not.toBe(old.keyId)
    expect(await client.v2Decrypt(old)).toEqual(plaintext)
  })

  test('the death of the HSM process is healed without a restart of ours, and no call of a known DEK fails', async () => {
    const plugin = await sandbox.serveHsm({ health: { probeInterval: '100ms' } })
    const client = connect()
    const plaintext = randomBytes(32)
    const sealed = await client.v2Encrypt(plaintext)
    for (let death = 0; death < 3; death += 1) {
      const pid = await hsmProcess(plugin)
      process.kill(pid, 'SIGKILL')
      expect(await client.v2Decrypt(sealed)).toEqual(plaintext)
      await until(() => childrenOf(plugin.pid).some((other) => other !== pid))
      await until(async () => isHealthy(sandbox.socket))
    }
    expect((await client.v2Encrypt(plaintext)).keyId).toBe(sealed.keyId)
    expect(plugin.isRunning).toBe(true)
  })

  test('a cold Decrypt whose HSM process dies under it is answered in time, and works on', async () => {
    const plugin = await sandbox.serveHsm({ envelope: { dek: 'fresh', dekCacheTimeout: 0 } })
    const client = connect()
    const plaintext = randomBytes(32)
    const sealed = await client.v2Encrypt(plaintext)
    for (let death = 0; death < 3; death += 1) {
      const pid = await hsmProcess(plugin)
      const answers = Promise.allSettled(Array.from({ length: 8 }, async () => client.v2Decrypt(sealed)))
      process.kill(pid, 'SIGKILL')
      for (const answer of await answers) {
        if (answer.status === 'fulfilled') expect(answer.value).toEqual(plaintext)
        else expect(await refusal(Promise.reject(answer.reason as Error))).toMatch(/^UNAVAILABLE: /)
      }
      await until(async () =>
        client.v2Decrypt(sealed).then(
          (bytes) => bytes.equals(plaintext),
          () => false,
        ),
      )
    }
  })

  test('a hung HSM: Status still answers, cold calls end before kube-apiserver gives up, then all is well', async () => {
    const plugin = await sandbox.serveHsm({ envelope: { dek: 'fresh', dekCacheTimeout: 0 } })
    const client = connect()
    const sealed = await client.v2Encrypt(Buffer.from('x'))
    process.kill(await hsmProcess(plugin), 'SIGSTOP')
    const cold = refusal(client.v2Decrypt(sealed))
    const statuses = await Promise.all(Array.from({ length: 20 }, async () => connect(1000).v2Status()))
    expect(statuses).toHaveLength(20)
    // Our own answer, not that of the caller's deadline of 3 s.
    const answer = await cold.catch(() => 'answered after all')
    expect(answer).toMatch(/^(DEADLINE_EXCEEDED: backend too slow|UNAVAILABLE: |answered after all)/)
    await until(async () => isHealthy(sandbox.socket))
    expect((await client.v2Decrypt(sealed)).toString()).toBe('x')
  })

  test('SIGTERM while the HSM hangs is still exit 0, and leaves no process behind', async () => {
    const plugin = await sandbox.serveHsm({
      envelope: { dekCacheTimeout: 0 },
      server: { drainTimeout: '1s' },
    })
    const client = connect()
    const sealed = await client.v2Encrypt(Buffer.from('x'))
    const pid = await hsmProcess(plugin)
    process.kill(pid, 'SIGSTOP')
    const pending = refusal(client.v2Decrypt(sealed)).catch(() => 'answered')
    plugin.signal('SIGTERM')
    expect(await plugin.exited).toEqual({ code: 0, signal: null })
    await pending
    await until(() => !existsSync(`/proc/${pid}`))
  })

  test('the HSM process does not outlive a killed plugin', async () => {
    const plugin = await sandbox.serveHsm()
    const pid = await hsmProcess(plugin)
    await plugin.kill()
    await until(() => !existsSync(`/proc/${pid}`))
  })

  test('a token that goes away and comes back: known DEKs open meanwhile, and it recovers alone', async () => {
    await sandbox.serveHsm({ health: { probeInterval: '100ms' } })
    const client = connect()
    const sealed = await client.v2Encrypt(Buffer.from('x'))
    let nowMs = 0
    const provider = new KmsV2Provider(client, { nowMs: () => nowMs })
    await provider.poll()
    renameSync(sandbox.hsm.tokenDir, `${sandbox.hsm.tokenDir}.away`)
    await until(async () => !(await isHealthy(sandbox.socket)))
    expect((await client.v2Decrypt(sealed)).toString()).toBe('x')
    // An outage is reported, so kube-apiserver goes on writing under the seed that it has.
    await expect(provider.poll()).rejects.toThrow('healthz')
    nowMs += 2 * 60_000
    await expect(provider.poll()).rejects.toThrow('healthz')
    nowMs += 2 * 60_000
    provider.write('/registry/secrets/a/b', Buffer.from('x'))
    renameSync(`${sandbox.hsm.tokenDir}.away`, sandbox.hsm.tokenDir)
    await until(async () => isHealthy(sandbox.socket))
    expect((await client.v2Encrypt(Buffer.from('y'))).keyId).toBe(sealed.keyId)
  })

  test('garbage never makes the HSM look ill, and restarts nothing', async () => {
    const plugin = await sandbox.serveHsm({ server: { kmsV1: true } })
    const client = connect()
    const pid = await hsmProcess(plugin)
    const { ciphertext, keyId } = await client.v2Encrypt(Buffer.alloc(32))
    const wrappedAt = ciphertext.indexOf(keyId) + keyId.length + 2
    const answers = await Promise.all(
      Array.from({ length: 61 * 8 }, async (_, bit) => {
        const copy = Buffer.from(ciphertext)
        copy.writeUInt8(copy.readUInt8(wrappedAt + (bit >> 3)) ^ (1 << (bit & 7)), wrappedAt + (bit >> 3))
        return refusal(client.v2Decrypt({ ciphertext: copy, keyId }))
      }),
    )
    // More wait at once than the queue holds: those are told so, and none is taken for a fault of the HSM.
    for (const answer of new Set(answers))
      expect([
        'INVALID_ARGUMENT: ciphertext rejected',
        'RESOURCE_EXHAUSTED: too many calls wait for the backend',
      ]).toContain(answer)
    expect(answers).toContain('INVALID_ARGUMENT: ciphertext rejected')
    expect((await client.v2Status()).healthz).toBe('ok')
    expect(await hsmProcess(plugin)).toBe(pid)
  })
})
