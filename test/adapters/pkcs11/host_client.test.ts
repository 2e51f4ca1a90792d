import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { MAX_WAITING_CALLS } from '../../../src/adapters/backends/pkcs11/call_queue.js'
import { HostClient } from '../../../src/adapters/backends/pkcs11/host_client.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'
import { compiled } from '../../support/compiled.js'
import { until } from '../../support/plugin.js'
import { clock, soon } from './opened.js'

const identify = { op: 'identify', seals: false } as const

let built: string
let fakeHsm: URL
let dir: string
let host: HostClient
let log: RecordingLogger
let restarts: number

beforeAll(async () => {
  built = await mkdtemp(join(tmpdir(), 'kmsplugin-fake-'))
  fakeHsm = pathToFileURL(compiled('test/adapters/pkcs11/fake_hsm.mjs', built))
})

afterAll(async () => rm(built, { recursive: true }))

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'kmsplugin-host-'))
  await writeFile(join(dir, 'pin'), '1234\n', { mode: 0o600 })
  await writeFile(join(dir, 'module.so'), '', { mode: 0o644 })
})

afterEach(async () => {
  vi.useRealTimers()
  await host.close()
  await rm(dir, { recursive: true })
})

function start(behaviour: string, callTimeoutMs = 10_000, stateDir?: string): void {
  log = new RecordingLogger()
  restarts = 0
  host = new HostClient({
    module: join(dir, 'module.so'),
    target: {
      token: { label: dir },
      key: { label: behaviour },
      mechanism: 'auto',
      allowWeakKey: [],
      parallelCalls: 4,
    },
    pinPath: join(dir, 'pin'),
    entry: fakeHsm,
    env: {},
    callTimeoutMs,
    stateDir,
    oneShot: false,
    clock,
    logger: log,
    onRestart: () => (restarts += 1),
  })
}

function pid(): number {
  return Number(log.lines.filter(({ text }) => text === 'HSM process started').at(-1)?.fields['pid'])
}

/** Gone, or only waiting to be reaped. */
async function isGone(id: number): Promise<boolean> {
  const status = await readFile(`/proc/${id}/status`, 'utf8').catch(() => 'State:\tX')
  return /State:\t[XZ]/.test(status)
}

describe('the plugin in front of an HSM process', () => {
  test('garbage on the channel ends that process and its calls, and throws nothing', async () => {
    start('writes garbage')
    expect(await outcomeOf(host.call(identify, soon()))).toBe('ERR_BACKEND_UNAVAILABLE')
    const first = pid()
    expect(await outcomeOf(host.call(identify, soon()))).toBe('ERR_BACKEND_UNAVAILABLE')
    expect(pid()).not.toBe(first)
    expect(await isGone(first)).toBe(true)
    expect(restarts).toBe(1)
  })

  test('malformed messages, unknown ids and unasked verdicts are dropped and counted, never delivered', async () => {
    start('says nonsense')
    const { bytes } = await host.call(identify, soon())
    expect(Buffer.from(bytes).toString()).toMatch(/^answer/)
    expect(host.dropped).toBe(4)
    expect(restarts).toBe(0)
  })

  test('a late answer reaches nobody, and the next caller gets its own', async () => {
    start('answers late')
    expect(await outcomeOf(host.call(identify, soon(500)))).toBe('ERR_DEADLINE_EXCEEDED')
    const { bytes } = await host.call(identify, soon())
    expect(Buffer.from(bytes).toString()).toBe('answer 2')
    expect(host.dropped).toBe(1)
  })

  test('a process that crashes, at its start or in a call, fails the calls that wait for it', async () => {
    for (const behaviour of ['crashes at start', 'crashes in a call']) {
      start(behaviour)
      const calls = [1, 2, 3].map(async () => outcomeOf(host.call(identify, soon())))
      expect(await Promise.all(calls)).toEqual(Array(3).fill('ERR_BACKEND_UNAVAILABLE'))
      await host.close()
    }
  })

  test('one that dies between a refused PIN and its fingerprint is the last one with this PIN file', async () => {
    start('dies of a refusal')
    for (let i = 0; i < 5; i++) {
      expect(await outcomeOf(host.call(identify, soon()))).toBe('ERR_LOGIN_REFUSED')
    }
    expect(log.texts('info').filter((text) => text === 'HSM process started')).toHaveLength(1)
    await writeFile(join(dir, 'pin'), '4321\n')
    expect(await outcomeOf(host.call(identify, soon()))).toBe('ERR_LOGIN_REFUSED')
    expect(restarts).toBe(1)
  })

  test.each(['second login: is refused', 'second login: gets no answer'])(
    '%s. The plugin ends before the verdict, and the disk knows when it has',
    async (behaviour) => {
      const stateDir = join(dir, 'state')
      start(behaviour, 10_000, stateDir)
      await host.call(identify, soon())
      await until(async () => (await readdir(stateDir)).length === 0)
      process.kill(pid(), 'SIGKILL')
      await until(() => log.texts('warn').includes('HSM process ended'))
      const call = outcomeOf(host.call(identify, soon()))
      await until(() => existsSync(join(dir, 'second-login')))
      await host.close()
      expect(await call).toBe('ERR_SHUTTING_DOWN')
      const [file = '', ...more] = await readdir(stateDir)
      expect(more).toEqual([])
      expect(JSON.parse(await readFile(join(stateDir, file), 'utf8'))).toMatchObject({ unsettled: true })
    },
  )

  test('a refusal is on the disk while its process still computes which PIN that was', async () => {
    const stateDir = join(dir, 'state')
    start('second login: is refused', 10_000, stateDir)
    await host.call(identify, soon())
    await until(async () => (await readdir(stateDir)).length === 0)
    process.kill(pid(), 'SIGKILL')
    await until(() => log.texts('warn').includes('HSM process ended'))
    const call = outcomeOf(host.call(identify, soon()))
    await until(async () => (await readdir(stateDir)).some((name) => name.endsWith('.json')))
    await host.close()
    expect(await call).toBe('ERR_SHUTTING_DOWN')
  })

  test('a process that dies while it logs in is on the disk when the plugin has ended right after', async () => {
    const stateDir = join(dir, 'state')
    start('second login: gets no answer', 10_000, stateDir)
    await host.call(identify, soon())
    await until(async () => (await readdir(stateDir)).length === 0)
    const ended = () => log.texts('warn').filter((text) => text === 'HSM process ended').length
    process.kill(pid(), 'SIGKILL')
    await until(() => ended() === 1)
    const call = outcomeOf(host.call(identify, soon()))
    await until(() => existsSync(join(dir, 'second-login')))
    process.kill(pid(), 'SIGKILL')
    expect(await call).toBe('ERR_BACKEND_UNAVAILABLE')
    await host.close()
    expect((await readdir(stateDir)).filter((name) => name.endsWith('.json'))).toHaveLength(1)
  })

  test('a process that lost its channel and lives on is killed', async () => {
    start('closes its channel')
    expect(await outcomeOf(host.call(identify, soon()))).toBe('ERR_BACKEND_UNAVAILABLE')
    await until(async () => isGone(pid()))
  })

  test('a process that says that its device is gone is replaced at the next call', async () => {
    start('loses the device')
    expect(await outcomeOf(host.call(identify, soon()))).toBe('ERR_BACKEND_UNAVAILABLE')
    const first = pid()
    await until(async () => isGone(first))
    await outcomeOf(host.call(identify, soon()))
    expect(pid()).not.toBe(first)
  })

  test('a call leaves at its own deadline, and its process is killed when the call has hung for too long', async () => {
    start('never answers', 100)
    const patient = outcomeOf(host.call(identify, soon()))
    await until(() => log.lines.some(({ text }) => text === 'HSM process ready'))
    expect(await outcomeOf(host.call(identify, soon(50)))).toBe('ERR_DEADLINE_EXCEEDED')
    expect(await patient).toBe('ERR_BACKEND_UNAVAILABLE')
    await until(async () => isGone(pid()))
  })

  test('a caller leaves at its deadline while the process starts, and the start goes on', async () => {
    start('is never ready')
    expect(await outcomeOf(host.call(identify, soon(200)))).toBe('ERR_DEADLINE_EXCEEDED')
    expect(await isGone(pid())).toBe(false)
  })

  test('a process that is not ready within ten seconds is killed', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    start('is never ready')
    const call = outcomeOf(host.call(identify, soon(60_000)))
    while (log.lines.length === 0) await new Promise((resolve) => setImmediate(resolve))
    await vi.advanceTimersByTimeAsync(10_000)
    vi.useRealTimers()
    expect(await call).toBe('ERR_BACKEND_UNAVAILABLE')
    await until(async () => isGone(pid()))
  })

  test('once one was ready, the next one is killed sooner', async () => {
    start('is ready once')
    await host.call(identify, soon())
    process.kill(pid(), 'SIGKILL')
    await until(() => log.texts('warn').includes('HSM process ended'))
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const call = outcomeOf(host.call(identify, soon(60_000)))
    while (restarts === 0) await new Promise((resolve) => setImmediate(resolve))
    await vi.advanceTimersByTimeAsync(9_000)
    vi.useRealTimers()
    expect(await call).toBe('ERR_BACKEND_UNAVAILABLE')
  })

  test('what keeps ending for one reason is told once; a call that works makes it news again', async () => {
    start('cannot serve')
    for (let i = 0; i < 60 && restarts < 3; i++) {
      await outcomeOf(host.call(identify, soon()))
      await clock.sleep(50)
    }
    expect(restarts).toBeGreaterThanOrEqual(3)
    const told = (level: 'info' | 'warn' | 'debug', text: string) =>
      log.texts(level).filter((each) => each === text).length
    expect(told('warn', 'HSM process ended')).toBe(1)
    expect(told('info', 'HSM process started')).toBe(2)
    expect(told('debug', 'HSM process ended')).toBeGreaterThanOrEqual(2)
    await host.close()
    start('answers')
    for (let i = 1; i <= 3; i++) {
      await host.call(identify, soon())
      process.kill(pid(), 'SIGKILL')
      await until(() => told('warn', 'HSM process ended') === i)
      expect(told('info', 'HSM process started')).toBe(i)
    }
  })

  test('no more calls are under way than the process takes at once', async () => {
    start('answers slowly')
    const all = await Promise.all(Array.from({ length: 20 }, async () => host.call(identify, soon())))
    expect(all.at(-1)?.sealing?.why).toBe('2')
  })

  test('no more than 256 calls wait', async () => {
    start('is never ready')
    const waiting = Array.from({ length: MAX_WAITING_CALLS }, async () =>
      outcomeOf(host.call(identify, soon())),
    )
    expect(await outcomeOf(host.call(identify, soon()))).toBe('ERR_QUEUE_FULL')
    await host.close()
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['ERR_SHUTTING_DOWN']))
  })

  test('what an operator must mend is answered at once while a new start has to wait', async () => {
    start('cannot serve')
    const outcomes: string[] = []
    for (let i = 0; i < 20; i++) outcomes.push(await outcomeOf(host.call(identify, soon())))
    expect(new Set(outcomes)).toEqual(new Set(['ERR_CONFIG_INVALID']))
    expect(restarts).toBeLessThan(10)
  })

  test('closing ends the process and fails calls, before and after; twice does no harm', async () => {
    start('never answers')
    const call = outcomeOf(host.call(identify, soon()))
    await until(() => log.lines.some(({ text }) => text === 'HSM process ready'))
    await host.close()
    expect(await call).toBe('ERR_SHUTTING_DOWN')
    expect(await isGone(pid())).toBe(true)
    expect(await outcomeOf(host.call(identify, soon()))).toBe('ERR_SHUTTING_DOWN')
    await host.close()
  })

  test('closing before the first call starts nothing', async () => {
    start('answers')
    await host.close()
    expect(log.lines).toEqual([])
  })

  test("the module's own output goes to the log at debug level, long lines cut", async () => {
    start('talks')
    await host.call(identify, soon())
    const lines = () =>
      log.lines.filter(({ text }) => text === 'output of the HSM process').map(({ fields }) => fields['line'])
    await until(() => lines().includes('end'))
    expect(lines()).toEqual(['short', 'x'.repeat(500), 'end'])
    expect(log.texts('debug')).toContain('output of the HSM process')
  })
})
