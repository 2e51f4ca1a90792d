import { once } from 'node:events'
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { isSocket, until, type Process, type Settings } from '../support/plugin.js'
import { sandboxPerTest } from '../support/scene.js'

const scene = sandboxPerTest()

const isRoot = process.getuid?.() === 0
const NOBODY = 65_534
const UNAVAILABLE = 69
const CONFIG_INVALID = 78

const lockOf = (socket: string) => socket.replace(/[^/]+$/, '.$&.lock')
const modeOf = (path: string) => (lstatSync(path).mode & 0o7777).toString(8)

/** A serve that must not start: its exit code and the one line that is for people. */
async function refusedStart(changes: Settings): Promise<{ code: number | null; line: string }> {
  await scene.sandbox.makeKeyFile()
  const plugin = scene.sandbox.begin(scene.sandbox.localConfig(changes))
  const { code } = await plugin.exited
  const lines = plugin.stderr().split('\n')
  return { code, line: lines.filter((text) => text !== '' && !text.startsWith('{')).join('\n') }
}

/** The socket of a process that is gone. */
async function makeDeadSocket(path: string): Promise<void> {
  const server = createServer().listen(`${path}.bound`)
  await once(server, 'listening')
  renameSync(`${path}.bound`, path)
  server.close()
  await once(server, 'close')
}

describe('a published socket', () => {
  test('is for our own user alone, in a folder that is made for it', async () => {
    await scene.sandbox.serveLocal()
    expect(modeOf(scene.sandbox.socket)).toBe('600')
    expect(modeOf(scene.sandbox.path('run'))).toBe('700')
    expect(readdirSync(scene.sandbox.path('run')).sort()).toEqual(['.kms.sock.lock', 'kms.sock'])
    expect(modeOf(lockOf(scene.sandbox.socket))).toBe('600')
  })

  test('is for a group too when the config says so, and the group can reach it', async () => {
    const gid = isRoot ? NOBODY : (process.getgid?.() ?? 0)
    await scene.sandbox.serveLocal({ server: { socketMode: '0660', socketGroup: String(gid) } })
    expect(modeOf(scene.sandbox.socket)).toBe('660')
    expect(lstatSync(scene.sandbox.socket).gid).toBe(gid)
    expect(modeOf(scene.sandbox.path('run'))).toBe('750')
    expect(lstatSync(scene.sandbox.path('run')).gid).toBe(gid)
    expect(await scene.isHealthy()).toBe(true)
  })

  test('is gone after a stop, with its lock', async () => {
    const plugin = await scene.sandbox.serveLocal()
    expect(await plugin.stop()).toEqual({ code: 0, signal: null })
    expect(readdirSync(scene.sandbox.path('run'))).toEqual([])
  })
})

describe('a socket whose name was taken away', () => {
  test('is there again soon, open to new callers and not lost to old ones, and goes with a stop', async () => {
    const plugin = await scene.sandbox.serveLocal()
    const old = scene.connect()
    await old.v2Status()
    rmSync(scene.sandbox.socket)
    await until(() => existsSync(scene.sandbox.socket))
    expect(modeOf(scene.sandbox.socket)).toBe('600')
    expect((await scene.connect().v2Status()).healthz).toBe('ok')
    expect((await old.v2Status()).healthz).toBe('ok')
    expect(plugin.stderr()).toContain('the socket was removed by somebody')
    expect(await plugin.stop()).toEqual({ code: 0, signal: null })
    expect(readdirSync(scene.sandbox.path('run'))).toEqual([])
  })

  test('by another file is left to that file, and the log says so', async () => {
    const plugin = await scene.sandbox.serveLocal()
    rmSync(scene.sandbox.socket)
    writeFileSync(scene.sandbox.socket, 'mine')
    await plugin.says('another file has the name of the socket; it is left alone')
    await plugin.stop()
    expect(readFileSync(scene.sandbox.socket, 'utf8')).toBe('mine')
  })
})

describe('what a dead process left', () => {
  test('socket and lock, is replaced', async () => {
    const plugin = await scene.sandbox.serveLocal()
    await plugin.kill()
    expect(isSocket(scene.sandbox.socket)).toBe(true)
    expect(existsSync(lockOf(scene.sandbox.socket))).toBe(true)
    await scene.sandbox.serveLocal()
    expect(await scene.isHealthy()).toBe(true)
  })

  test.each([
    [
      'with a pid that is another process now',
      () => JSON.stringify({ pid: process.pid, startTicks: '1', bootId: bootId() }),
    ],
    ['from before the boot', () => JSON.stringify({ pid: process.pid, startTicks: '1', bootId: 'other' })],
    ['that is cut off', () => '{"pid":'],
    ['that is empty', () => ''],
  ])('a lock %s, is replaced', async (_what, content) => {
    scene.sandbox.makeFolder('run')
    writeFileSync(lockOf(scene.sandbox.socket), content())
    await makeDeadSocket(scene.sandbox.socket)
    await scene.sandbox.serveLocal()
    expect(await scene.isHealthy()).toBe(true)
  })
})

describe('a second plugin on the same path', () => {
  test('waits, then gives up and says who is there; the first is not affected', async () => {
    const first = await scene.sandbox.serveLocal()
    const inode = lstatSync(scene.sandbox.socket).ino
    const { code, line } = await refusedStart({ server: { drainTimeout: '300ms' } })
    expect(code).toBe(UNAVAILABLE)
    expect(line).toContain(scene.sandbox.socket)
    expect(line).toContain(`pid ${first.pid}`)
    expect(lstatSync(scene.sandbox.socket).ino).toBe(inode)
    expect(await scene.isHealthy()).toBe(true)
    expect(await first.stop()).toEqual({ code: 0, signal: null })
  })

  test('gives up on a living socket that has no lock', async () => {
    scene.sandbox.makeFolder('run')
    const other = createServer((socket) => socket.end())
    other.listen(scene.sandbox.socket)
    await once(other, 'listening')
    const { code, line } = await refusedStart({ server: { drainTimeout: '300ms' } })
    expect(code).toBe(UNAVAILABLE)
    expect(line).toContain('in use')
    expect(isSocket(scene.sandbox.socket)).toBe(true)
    expect(existsSync(lockOf(scene.sandbox.socket))).toBe(false)
    other.close()
  })

  test('takes over when the first is asked to stop, and the first does not take its socket away', async () => {
    const first = await scene.sandbox.serveLocal()
    const client = scene.connect()
    const sealed = await client.v2Encrypt(Buffer.from('before'))
    const second = scene.sandbox.begin(scene.sandbox.localConfig({ server: { drainTimeout: '20s' } }))
    await second.says('waiting for another plugin to leave the socket')
    expect(await first.stop()).toEqual({ code: 0, signal: null })
    await second.says('primary key proved')
    // The same connection, as kube-apiserver has it: it redials.
    expect((await client.v2Decrypt(sealed)).toString()).toBe('before')
    expect(await scene.isHealthy()).toBe(true)
  })

  test('takes over at once even while the first still has a call to finish', async () => {
    const first = await scene.sandbox.serveLocal({ server: { drainTimeout: '20s' } })
    const hanging = scene.connectRaw().open('/v2.KeyManagementService/Encrypt')
    await once(hanging.stream, 'ready')
    const second = scene.sandbox.begin(scene.sandbox.localConfig())
    await second.says('waiting for another plugin to leave the socket')
    first.signal('SIGTERM')
    await second.says('primary key proved')
    expect(first.isRunning).toBe(true)
    expect(await scene.isHealthy()).toBe(true)
    hanging.stream.close()
    expect((await first.exited).code).toBe(0)
    expect(await scene.isHealthy()).toBe(true)
  })

  test('that is asked to stop while it waits goes at once, with 0, and touches nothing', async () => {
    const first = await scene.sandbox.serveLocal()
    const second = scene.sandbox.begin(scene.sandbox.localConfig({ server: { drainTimeout: '60s' } }))
    await second.says('waiting for another plugin to leave the socket')
    expect(await second.stop()).toEqual({ code: 0, signal: null })
    expect(await scene.isHealthy()).toBe(true)
    expect(first.isRunning).toBe(true)
  })
})

describe('with a restart delay, a second plugin on the same path', () => {
  const waiting = (restartDelay: string) =>
    scene.sandbox.begin(scene.sandbox.localConfig({ server: { drainTimeout: 0, restartDelay } }))

  test('does not end but tries again, and serves when the first has gone', async () => {
    const first = await scene.sandbox.serveLocal()
    const second = waiting('50ms')
    const tries = () => second.log().filter(({ msg }) => msg === 'the start failed and is tried again')
    await until(() => tries().length >= 2)
    expect(tries()[0]).toMatchObject({ level: 'error', afterMs: 50 })
    expect(tries()[0]?.['reason']).toContain(`pid ${first.pid}`)
    expect(await scene.isHealthy()).toBe(true)
    expect(await first.stop()).toEqual({ code: 0, signal: null })
    await second.says('primary key proved')
    expect(await scene.isHealthy()).toBe(true)
    expect(await second.stop()).toEqual({ code: 0, signal: null })
    expect(readdirSync(scene.sandbox.path('run'))).toEqual([])
  })

  test('that is asked to stop while it waits goes at once, with 0, and touches nothing', async () => {
    await scene.sandbox.serveLocal()
    const second = waiting('1h')
    await second.says('the start failed and is tried again')
    expect(await second.stop()).toEqual({ code: 0, signal: null })
    expect(await scene.isHealthy()).toBe(true)
  })

  test('ends with an invalid configuration all the same', async () => {
    const { code } = await refusedStart({ server: { socket: '/nowhere/at/all/s', restartDelay: '1h' } })
    expect(code).toBe(CONFIG_INVALID)
  })
})

describe('of several that start at the same moment', () => {
  test.each(['nothing is there', 'a dead one is there'])('exactly one serves when %s', async (state) => {
    const { sandbox } = scene
    await sandbox.makeKeyFile()
    if (state === 'a dead one is there') await (await sandbox.serveLocal()).kill()
    const starters: Process[] = Array.from({ length: 4 }, () =>
      sandbox.begin(sandbox.localConfig({ server: { drainTimeout: '500ms' } })),
    )
    await until(() => starters.filter(({ isRunning }) => isRunning).length === 1)
    const codes = await Promise.all(
      starters.filter(({ isRunning }) => !isRunning).map(async ({ exited }) => (await exited).code),
    )
    expect(codes).toEqual([UNAVAILABLE, UNAVAILABLE, UNAVAILABLE])
    const [winner] = starters.filter(({ isRunning }) => isRunning)
    await winner!.says('primary key proved')
    expect(await scene.isHealthy()).toBe(true)
  })
})

describe('a path that is refused, with nothing touched', () => {
  const socketFolder = () => scene.sandbox.makeFolder('run')

  test.each([
    ['a regular file', () => scene.sandbox.writeFile('run/kms.sock', 'precious')],
    ['a directory', () => mkdirSync(scene.sandbox.socket)],
    ['a symlink', () => symlinkSync('/nowhere', scene.sandbox.socket)],
  ])('%s', async (_what, make) => {
    socketFolder()
    make()
    const { ino } = lstatSync(scene.sandbox.socket)
    const { code, line } = await refusedStart({})
    expect(code).toBe(CONFIG_INVALID)
    expect(line).toContain(`${scene.sandbox.socket} exists and is no socket`)
    expect(lstatSync(scene.sandbox.socket).ino).toBe(ino)
    expect(readdirSync(scene.sandbox.path('run'))).toEqual(['kms.sock'])
  })

  test.runIf(isRoot)("another user's socket", async () => {
    socketFolder()
    await makeDeadSocket(scene.sandbox.socket)
    chownSync(scene.sandbox.socket, NOBODY, NOBODY)
    const { code, line } = await refusedStart({})
    expect(code).toBe(CONFIG_INVALID)
    expect(line).toContain(`belongs to uid ${NOBODY}`)
    expect(isSocket(scene.sandbox.socket)).toBe(true)
  })

  test.runIf(isRoot)("another user's folder", async () => {
    chownSync(socketFolder(), NOBODY, NOBODY)
    const { code, line } = await refusedStart({})
    expect(code).toBe(CONFIG_INVALID)
    expect(line).toContain(`belongs to uid ${NOBODY}`)
  })

  test.each([0o777, 0o770, 0o1777])('a folder that others may write to (%o)', async (mode) => {
    const folder = scene.sandbox.makeFolder('run', mode)
    const { code, line } = await refusedStart({})
    expect(code).toBe(CONFIG_INVALID)
    expect(line).toContain(`chmod go-w ${folder}`)
    expect(readdirSync(folder)).toEqual([])
  })

  test('a folder that is a symlink which others could change', async () => {
    const open = scene.sandbox.makeFolder('open', 0o777)
    mkdirSync(scene.sandbox.path('real'), { mode: 0o700 })
    symlinkSync('../real', `${open}/run`)
    const { code, line } = await refusedStart({ server: { socket: `${open}/run/kms.sock` } })
    expect(code).toBe(CONFIG_INVALID)
    expect(line).toContain('symlink')
  })

  test('a folder in a folder that does not exist', async () => {
    const { code, line } = await refusedStart({
      server: { socket: scene.sandbox.path('a', 'b', 'kms.sock') },
    })
    expect(code).toBe(CONFIG_INVALID)
    expect(line).toContain(scene.sandbox.path('a', 'b'))
  })

  test('a path that is too long, by itself or for the folder', async () => {
    const room = 107 - scene.sandbox.folder.length - 2
    const whole = scene.sandbox.path('x'.repeat(room), 's')
    for (const socket of [`${whole}${'s'.repeat(9)}`, whole]) {
      const { code, line } = await refusedStart({ server: { socket } })
      expect(code).toBe(CONFIG_INVALID)
      expect(line).toMatch(/too long|at most 107 bytes/)
    }
    expect(existsSync(join(whole, '..'))).toBe(false)
  })

  test('a group that there is not', async () => {
    const { code, line } = await refusedStart({
      server: { socketMode: '0660', socketGroup: 'no-such-group' },
    })
    expect(code).toBe(CONFIG_INVALID)
    expect(line).toContain('no-such-group')
  })

  test('an abstract socket', async () => {
    const { code, line } = await refusedStart({ server: { socket: 'unix:///@kms' } })
    expect(code).toBe(CONFIG_INVALID)
    expect(line).toContain('abstract')
  })
})

test('a process that is stopped for a while answers again when it goes on', async () => {
  const plugin = await scene.sandbox.serveLocal()
  const client = scene.connect()
  const sealed = await client.v2Encrypt(Buffer.from('x'))
  plugin.signal('SIGSTOP')
  const late = scene.connect(300).v2Status()
  await expect(late).rejects.toMatchObject({ code: 4 })
  plugin.signal('SIGCONT')
  expect((await client.v2Decrypt(sealed)).toString()).toBe('x')
})

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
}
