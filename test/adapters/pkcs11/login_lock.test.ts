/** One login at a time among processes that share a folder, and none waits for the dead. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { LoginLock } from '../../../src/adapters/backends/pkcs11/login_lock.js'
import { compiled } from '../../support/compiled.js'
import { until } from '../../support/plugin.js'

const never = new AbortController().signal

let built: string
let dir: string
let path: string

beforeAll(async () => {
  built = await mkdtemp(join(tmpdir(), 'kmsplugin-lock-built-'))
})

afterAll(async () => rm(built, { recursive: true }))

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'kmsplugin-lock-'))
  path = join(dir, 'lock')
})

afterEach(async () => rm(dir, { recursive: true }))

/** What another process can import. */
function lockModule(): string {
  return compiled('src/adapters/backends/pkcs11/login_lock.ts', built)
}

/** A process that takes the lock and says so. */
async function holder(): Promise<{ readonly end: (signal: NodeJS.Signals) => Promise<void> }> {
  const script = `
    const { LoginLock } = await import(${JSON.stringify(lockModule())})
    await new LoginLock(${JSON.stringify(path)}).take(new AbortController().signal)
    console.log('taken')
    setInterval(() => undefined, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  return {
    end: async (signal) => {
      child.kill(signal)
      if (signal === 'SIGKILL') await once(child, 'exit')
    },
  }
}

test('while a living process holds it, nobody else gets it, and who gives up waiting gets nothing', async () => {
  const { end } = await holder()
  const giveUp = new AbortController()
  const taking = new LoginLock(path).take(giveUp.signal)
  const isTaken = await Promise.race([
    taking.then(() => true),
    new Promise((done) => setTimeout(done, 100, false)),
  ])
  expect(isTaken).toBe(false)
  giveUp.abort()
  expect(await taking).toBeUndefined()
  await end('SIGKILL')
})

test('who was killed holds it no longer', async () => {
  const { end } = await holder()
  await end('SIGKILL')
  ;(await new LoginLock(path).take(never))?.()
  expect(await readdir(dir)).toEqual([])
})

test('who is stopped holds it for a bounded time', async () => {
  const { end } = await holder()
  await end('SIGSTOP')
  const release = await new LoginLock(path, 50).take(never)
  expect(release).toBeDefined()
  release?.()
  await end('SIGKILL')
})

test('a holder of another boot is gone, and so is one whose pid another process has now', async () => {
  const [bootId, pidNamespace, pid, startTicks] = await ownName()
  for (const name of [
    `${'0'.repeat(36)} ${pidNamespace} ${pid} ${startTicks} 00`,
    `${bootId} ${pidNamespace} ${pid} ${startTicks.slice(0, -1)} 00`,
    `${bootId} ${pidNamespace} 4194999 1 00`,
  ]) {
    await symlink(name, path)
    const release = await new LoginLock(path).take(never)
    expect(release, name).toBeDefined()
    release?.()
  }
})

test('a holder of another container, and one without a pid, are waited for, but not for ever', async () => {
  const [bootId, pidNamespace, pid, startTicks] = await ownName()
  for (const name of [`${bootId} pid:[1] ${pid} ${startTicks} 00`, `${bootId} ${pidNamespace}`]) {
    await symlink(name, path)
    await symlink(name, `${path}.break`)
    const startedMs = performance.now()
    const release = await new LoginLock(path, 60).take(never)
    expect(performance.now() - startedMs).toBeGreaterThan(60)
    release?.()
    expect(await readdir(dir)).toEqual([])
  }
})

test('a lock that was taken from its holder is not given back by it', async () => {
  const release = await new LoginLock(path).take(never)
  await rm(path)
  await symlink('somebody else', path)
  release?.()
  expect(await readlink(path)).toBe('somebody else')
})

test('a file at its place is an error, and not waited for', async () => {
  await writeFile(path, '')
  await expect(new LoginLock(path).take(never)).rejects.toMatchObject({ code: 'EINVAL' })
})

test('four processes that count to a hundred together lose nothing, though each dies with the lock in its hand', async () => {
  const count = join(dir, 'count')
  await writeFile(count, '0')
  const script = `
    const { LoginLock } = await import(${JSON.stringify(lockModule())})
    const { readFileSync, writeFileSync } = await import('node:fs')
    const lock = new LoginLock(${JSON.stringify(path)})
    for (let i = 0; i < 25; i++) {
      const release = await lock.take(new AbortController().signal)
      const before = Number(readFileSync(${JSON.stringify(count)}, 'utf8'))
      await new Promise((done) => setImmediate(done))
      writeFileSync(${JSON.stringify(count)}, String(before + 1))
      release()
    }
    // Holds it while it dies.
    await lock.take(new AbortController().signal)
    process.kill(process.pid, 'SIGKILL')`
  const run = async () =>
    promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script]).catch(() => undefined)
  await Promise.all(Array.from({ length: 4 }, run))
  await until(async () => (await readFile(count, 'utf8')) === '100')
})

async function ownName(): Promise<readonly [string, string, string, string]> {
  const release = await new LoginLock(join(dir, 'own')).take(never)
  const [bootId = '', pidNamespace = '', pid = '', startTicks = ''] = (
    await readlink(join(dir, 'own'))
  ).split(' ')
  release?.()
  return [bootId, pidNamespace, pid, startTicks]
}
