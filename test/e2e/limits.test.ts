import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { refusal } from '../support/kms_client.js'
import { until } from '../support/plugin.js'
import { dial, framed, hungUp, RawClient, v2Message } from '../support/raw_grpc.js'
import { sandboxPerTest, sharedPlugin } from '../support/scene.js'

const STATUS = '/v2.KeyManagementService/Status'
const ENCRYPT = '/v2.KeyManagementService/Encrypt'
const MAX_CONNECTIONS = 64

describe('a message', () => {
  const scene = sharedPlugin()

  test.each([128 * 1024 + 1, 1024 * 1024, 8 * 1024 * 1024])(
    'of more than %d bytes is refused',
    async (bytes) => {
      const client = scene.connect()
      expect(await refusal(client.v2Encrypt(Buffer.alloc(bytes)))).toMatch(/^RESOURCE_EXHAUSTED: /)
      expect((await client.v2Status()).healthz).toBe('ok')
    },
  )

  test('of almost 128 KiB is read, and refused for what it is', async () => {
    const answer = await refusal(scene.connect().v2Encrypt(Buffer.alloc(127 * 1024)))
    expect(answer).toBe('INVALID_ARGUMENT: request too large')
  })

  test('in frames of one byte each is read like any other', async () => {
    const call = scene.connectRaw().open(ENCRYPT)
    for (const byte of framed(v2Message('Encrypt', { plaintext: Buffer.alloc(32), uid: 'u' })))
      call.stream.write(Buffer.of(byte))
    call.stream.end()
    expect((await call.ending).grpcStatus).toBe(0)
  })

  test('with headers of more than 64 KiB is refused and the connection of others lives on', async () => {
    const good = scene.connect()
    await good.v2Status()
    const long = Object.fromEntries(
      ['a', 'b', 'c', 'd', 'e'].map((name) => [`x-${name}`, name.repeat(16_000)]),
    )
    const { grpcStatus } = await scene.connectRaw().call(STATUS, framed(Buffer.alloc(0)), long)
    expect(grpcStatus).not.toBe(0)
    expect((await good.v2Status()).healthz).toBe('ok')
  })
})

describe('connections', () => {
  const scene = sandboxPerTest()

  test(`of at most ${MAX_CONNECTIONS} are served, and the next one as soon as another has gone`, async () => {
    await scene.sandbox.serveLocal()
    const raw: RawClient[] = []
    for (let index = 0; index < MAX_CONNECTIONS; index += 1) {
      const client = scene.connectRaw()
      expect((await client.call(STATUS, framed(Buffer.alloc(0)))).grpcStatus).toBe(0)
      raw.push(client)
    }
    await hungUp(await dial(scene.sandbox.socket))
    for (const client of raw) expect((await client.call(STATUS, framed(Buffer.alloc(0)))).grpcStatus).toBe(0)

    raw[0]!.close()
    expect((await scene.connect().v2Status()).healthz).toBe('ok')
  })

  test('that say nothing are dropped, however many, while a good one is served', async () => {
    await scene.sandbox.serveLocal()
    const good = scene.connect()
    await good.v2Status()
    const silent = await Promise.all(Array.from({ length: 200 }, async () => dial(scene.sandbox.socket)))
    expect((await good.v2Status()).healthz).toBe('ok')
    await Promise.all(silent.map(hungUp))
    expect((await scene.connect().v2Status()).healthz).toBe('ok')
  })

  test('that come and go leave no descriptor behind', async () => {
    const plugin = await scene.sandbox.serveLocal()
    const descriptors = () => readdirSync(`/proc/${plugin.pid}/fd`).length
    const good = scene.connect()
    await good.v2Status()
    const before = descriptors()
    for (let round = 0; round < 5; round += 1) {
      const clients = Array.from({ length: 20 }, () => scene.connectRaw())
      await Promise.all(clients.map(async (client) => client.call(STATUS, framed(Buffer.alloc(0)))))
      for (const client of clients) client.close()
    }
    await until(() => descriptors() <= before)
    expect((await good.v2Status()).healthz).toBe('ok')
  })

  test('when the descriptors run out: the one that is there is served, and new ones again afterwards', async () => {
    const plugin = await scene.sandbox.serveLocal()
    const good = scene.connect()
    await good.v2Status()
    const descriptors = readdirSync(`/proc/${plugin.pid}/fd`).length
    execFileSync('prlimit', ['--pid', String(plugin.pid), `--nofile=${descriptors + 8}`])
    const crowd = await Promise.all(Array.from({ length: 100 }, async () => dial(scene.sandbox.socket)))
    for (let call = 0; call < 10; call += 1) expect((await good.v2Status()).healthz).toBe('ok')
    const keyed = await good.v2Encrypt(Buffer.from('x'))
    expect((await good.v2Decrypt(keyed)).toString()).toBe('x')
    for (const socket of crowd) socket.destroy()
    await until(async () => scene.isHealthy())
    expect(plugin.isRunning).toBe(true)
  })
})

describe('streams', () => {
  const scene = sharedPlugin()

  test('of 1,000 on one connection most are refused, and another connection is served', async () => {
    const good = scene.connect()
    await good.v2Status()
    // Opened before the server's settings arrive, as an attacker would.
    const attacker = scene.connectRaw(10_000)
    const calls = Array.from({ length: 1000 }, () => attacker.open(ENCRYPT))
    let refused = 0
    for (const call of calls) void call.ending.then(() => (refused += 1))
    await until(() => refused >= 1000 - 256)
    expect((await good.v2Status()).healthz).toBe('ok')
    expect((await good.v2Encrypt(Buffer.alloc(32))).keyId).toMatch(/^local:/)
    attacker.close()
    expect((await good.v2Status()).healthz).toBe('ok')
  })

  test('of 200 good calls at once all are answered', async () => {
    const client = scene.connect()
    const answers = await Promise.all(
      Array.from({ length: 200 }, async () => client.v2Encrypt(Buffer.alloc(32))),
    )
    expect(new Set(answers.map(({ keyId }) => keyId)).size).toBe(1)
  })
})
