import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { releaseLock, takeLock, type LockOwner } from '../../../src/adapters/grpc/socket_lock.js'
import { giveAway, unprivileged } from '../../support/unprivileged.js'

let folder: string
let path: string
let other: ChildProcess | undefined

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kms-lock-'))
  path = join(folder, 'lock')
})
afterEach(() => {
  other?.kill('SIGKILL')
  other = undefined
  rmSync(folder, { recursive: true, force: true })
})

const me = process.pid

function isEmpty(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.size === 0
}

/** A living process that is not this one. */
async function startOther(): Promise<number> {
  other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'])
  await once(other, 'spawn')
  return other.pid!
}

/** The lock of a process that is gone: its pid lives, but is another's now. */
function deadOwner(pid = me): LockOwner {
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  return { pid, startTicks: '1', bootId }
}

describe('taking the lock', () => {
  test('a living holder keeps it and is named', async () => {
    const pid = await startOther()
    expect(await takeLock(path, pid)).toBeUndefined()
    expect(await takeLock(path, me)).toMatchObject({ pid })
    expect(await takeLock(path, me)).toMatchObject({ pid })
  })

  test.each([
    ['of a dead process', () => JSON.stringify({ ...deadOwner(), pid: 2 ** 22 + 1 })],
    ['of a dead process whose pid is another process now', () => JSON.stringify(deadOwner())],
    ['from before the last boot', () => JSON.stringify({ ...deadOwner(), bootId: 'another' })],
    ['that is empty', () => ''],
    ['that is no JSON', () => 'pid 17'],
    ['that is JSON of another form', () => '{"pid":"17"}'],
    ['that is JSON null', () => 'null'],
  ])('a lock %s is replaced', async (_what, content) => {
    writeFileSync(path, content())
    expect(await takeLock(path, me)).toBeUndefined()
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ pid: me })
  })

  test('taking it twice answers that we hold it', async () => {
    expect(await takeLock(path, me)).toBeUndefined()
    expect(await takeLock(path, me)).toMatchObject({ pid: me })
  })

  test.each(['free', 'left by a dead process', 'left empty'])(
    'of many starters at once exactly one gets a lock that is %s',
    async (state) => {
      for (let round = 0; round < 50; round += 1) {
        rmSync(path, { force: true })
        if (state === 'left by a dead process') writeFileSync(path, JSON.stringify(deadOwner()))
        if (state === 'left empty') writeFileSync(path, '')
        const answers = await Promise.all(Array.from({ length: 8 }, async () => takeLock(path, me)))
        expect(answers.filter((holder) => holder === undefined)).toHaveLength(1)
      }
    },
  )

  test('the file is whole from its first moment: nobody sees a lock without an owner', async () => {
    let torn = 0
    const taken = new AbortController()
    const watcher = (async () => {
      while (!taken.signal.aborted) {
        torn += isEmpty(path) ? 1 : 0
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    for (let round = 0; round < 200; round += 1) {
      await takeLock(path, me)
      await releaseLock(path, me)
    }
    taken.abort()
    await watcher
    expect(torn).toBe(0)
  })

  test('nothing but the lock is left in the folder', async () => {
    writeFileSync(path, JSON.stringify(deadOwner()))
    await takeLock(path, me)
    expect(readdirSync(folder)).toEqual(['lock'])
    await releaseLock(path, me)
    expect(readdirSync(folder)).toEqual([])
  })

  test('a folder in its place is refused and stays', async () => {
    mkdirSync(path)
    await expect(takeLock(path, me)).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
    expect(existsSync(path)).toBe(true)
  })

  test('a missing folder is an error that names the lock', async () => {
    const error = takeLock(join(folder, 'none', 'lock'), me)
    await expect(error).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
    await expect(error).rejects.toThrow('ENOENT')
  })

  test('a folder that is not writable is refused', async () => {
    giveAway(folder)
    chmodSync(folder, 0o500)
    const taken = unprivileged(async () => takeLock(path, me))
    await expect(taken).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
    chmodSync(folder, 0o700)
  })
})

describe('releasing the lock', () => {
  test('frees our own', async () => {
    await takeLock(path, me)
    await releaseLock(path, me)
    expect(existsSync(path)).toBe(false)
  })

  test('leaves that of a living holder', async () => {
    const pid = await startOther()
    await takeLock(path, pid)
    await releaseLock(path, me)
    expect(existsSync(path)).toBe(true)
  })

  test('leaves that of an earlier process with our pid', async () => {
    writeFileSync(path, JSON.stringify(deadOwner(me)))
    await releaseLock(path, me)
    expect(existsSync(path)).toBe(true)
  })

  test('does nothing where there is none', async () => {
    await expect(releaseLock(path, me)).resolves.toBeUndefined()
  })
})
