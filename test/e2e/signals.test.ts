import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { until, type Process } from '../support/plugin.js'
import { framed, v2Message, type RawCall } from '../support/raw_grpc.js'
import { sandboxPerTest } from '../support/scene.js'

const scene = sandboxPerTest()

const ENCRYPT = '/v2.KeyManagementService/Encrypt'
const STOPPED = { code: 0, signal: null }
const request = framed(v2Message('Encrypt', { plaintext: Buffer.alloc(32), uid: 'uid' }))

/** A call whose headers the plugin has and whose message is still to come: pending for as long as we want. */
async function pendingCall(): Promise<RawCall> {
  const client = scene.connectRaw()
  const call = client.open(ENCRYPT)
  await once(call.stream, 'ready')
  // A whole call behind it on the same connection: the headers before it have been read then.
  expect((await client.call('/v2.KeyManagementService/Status', framed(Buffer.alloc(0)))).grpcStatus).toBe(0)
  return call
}

describe('a stop', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('by %s is exit 0, and nothing is left', async (signal) => {
    const plugin = await scene.sandbox.serveLocal()
    await scene.connect().v2Status()
    plugin.signal(signal)
    expect(await plugin.exited).toEqual(STOPPED)
    expect(readdirSync(scene.sandbox.path('run'))).toEqual([])
    expect(plugin.log().at(-1)).toMatchObject({ level: 'info', msg: 'stopped' })
  })

  test('lets a pending call finish: it is answered, then exit 0', async () => {
    const plugin = await scene.sandbox.serveLocal({ server: { drainTimeout: '20s' } })
    const call = await pendingCall()
    plugin.signal('SIGTERM')
    await until(() => !existsSync(scene.sandbox.socket))
    call.stream.end(request)
    expect((await call.ending).grpcStatus).toBe(0)
    expect(await plugin.exited).toEqual(STOPPED)
    expect(plugin.log().filter(({ level }) => level === 'error')).toEqual([])
  })

  test('cuts a call that never ends, after drainTimeout, and is exit 0 all the same', async () => {
    const plugin = await scene.sandbox.serveLocal({ server: { drainTimeout: '500ms' } })
    const call = await pendingCall()
    plugin.signal('SIGTERM')
    expect(await plugin.exited).toEqual(STOPPED)
    expect((await call.ending).grpcStatus).not.toBe(0)
    expect(plugin.stderr()).toContain('server.drainTimeout')
  })

  test('asked for again and again is one stop', async () => {
    const plugin = await scene.sandbox.serveLocal({ server: { drainTimeout: '20s' } })
    const call = await pendingCall()
    plugin.signal('SIGTERM')
    await until(() => !existsSync(scene.sandbox.socket))
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGTERM', 'SIGHUP'] as const) plugin.signal(signal)
    call.stream.end(request)
    expect((await call.ending).grpcStatus).toBe(0)
    expect(await plugin.exited).toEqual(STOPPED)
    expect(plugin.log().filter(({ msg }) => msg === 'stopping')).toHaveLength(1)
  })

  test('while the key has not proved itself is exit 0 too', async () => {
    const plugin = scene.sandbox.begin(scene.sandbox.localConfig())
    await plugin.says('listening')
    expect(await plugin.stop()).toEqual(STOPPED)
  })
})

describe('a signal that asks for nothing', () => {
  test.each(['SIGHUP', 'SIGUSR1', 'SIGPIPE'] as const)('%s does not end the plugin', async (signal) => {
    const plugin = await scene.sandbox.serveLocal()
    for (let time = 0; time < 3; time += 1) plugin.signal(signal)
    expect(await scene.isHealthy()).toBe(true)
    expect(plugin.isRunning).toBe(true)
  })

  test('SIGUSR1 opens no debugger', async () => {
    const plugin = await scene.sandbox.serveLocal()
    plugin.signal('SIGUSR1')
    await plugin.says('SIGUSR1 changes nothing')
    expect(await scene.isHealthy()).toBe(true)
    expect(plugin.stderr()).not.toContain('Debugger')
    expect(listeningTcpSockets(plugin)).toEqual([])
  })
})

describe('a reader of the output', () => {
  const lines = 2000

  /** Enough calls for more log lines than a pipe holds. */
  async function makeNoise(): Promise<void> {
    const client = scene.connect()
    for (let call = 0; call < lines; call += 100)
      await Promise.all(Array.from({ length: 100 }, async () => client.v2Status()))
  }

  test('of stderr that goes away does not end the plugin', async () => {
    const plugin = await scene.sandbox.serveLocal()
    plugin.child.stderr!.destroy()
    plugin.child.stdout!.destroy()
    await makeNoise()
    expect(await scene.isHealthy()).toBe(true)
    expect(await plugin.stop()).toEqual(STOPPED)
  })

  test('of stderr that stops reading does not stop the plugin, nor its end', async () => {
    const plugin = await scene.sandbox.serveLocal()
    plugin.child.stderr!.pause()
    await makeNoise()
    expect(await scene.isHealthy()).toBe(true)
    plugin.signal('SIGTERM')
    await until(() => !plugin.isRunning)
    expect(plugin.child.exitCode).toBe(0)
  })

  test('that was never there is not missed', async () => {
    await scene.sandbox.makeKeyFile()
    const plugin = scene.sandbox.begin(scene.sandbox.localConfig(), { shellPrefix: 'exec 0<&- 1>&- 2>&- ;' })
    await until(async () => scene.isHealthy())
    expect(await plugin.stop()).toEqual(STOPPED)
  })
})

/** Inodes of the TCP sockets on which this process listens (proc_net(5), state 0A). */
function listeningTcpSockets(plugin: Process): string[] {
  const folder = `/proc/${plugin.pid}/fd`
  const own = readdirSync(folder).map((fd) => /^socket:\[(\d+)\]$/.exec(readlinkSync(`${folder}/${fd}`))?.[1])
  return ['tcp', 'tcp6'].flatMap((family) =>
    readFileSync(`/proc/net/${family}`, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((columns) => columns[3] === '0A' && own.includes(columns[9] ?? ''))
      .map((columns) => columns[9] ?? ''),
  )
}

test('a core file of the plugin would hold no memory, and what it makes is for its user alone', async () => {
  const plugin = await scene.sandbox.serveLocal()
  const proc = `/proc/${plugin.pid}`
  expect(Number.parseInt(readFileSync(`${proc}/coredump_filter`, 'utf8'), 16)).toBe(0)
  expect(/^Umask:\s+(\d+)$/m.exec(readFileSync(`${proc}/status`, 'utf8'))?.[1]).toBe('0077')
})
