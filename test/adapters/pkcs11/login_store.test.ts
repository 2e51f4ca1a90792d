/** What the disk remembers of refused PINs, and what happens to it when somebody else was at it. */
import { execFileSync } from 'node:child_process'
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { LoginStore, NOTHING } from '../../../src/adapters/backends/pkcs11/login_store.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'
import { hasAged } from '../../support/file_clock.js'
import { unprivileged } from '../../support/unprivileged.js'

const isRoot = process.getuid?.() === 0
const F1 = `${'0'.repeat(32)}:${'1'.repeat(64)}`
const F2 = `${'0'.repeat(32)}:${'2'.repeat(64)}`
const full = { refused: [F1, F2], unsettled: true }
const never = new AbortController().signal

let dir: string
let log: RecordingLogger
let store: LoginStore

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'kmsplugin-state-'))
  log = new RecordingLogger()
  store = new LoginStore(dir, 'token "k8s"')
})

afterEach(async () => rm(dir, { recursive: true }))

describe('a file that is none of ours', () => {
  const damaged: readonly (readonly [string, string])[] = [
    ['empty', ''],
    ['garbage', '\0\x01\xff{'],
    ['no object', '[]'],
    ['null', 'null'],
    ['of a later version', JSON.stringify({ ...full, version: 2 })],
    ['without its list', JSON.stringify({ version: 1, unsettled: false })],
    [
      'with a fingerprint that is none',
      JSON.stringify({ version: 1, unsettled: false, refused: ['12345678'] }),
    ],
    ['without its mark', JSON.stringify({ version: 1, refused: [] })],
    ['far too long', JSON.stringify({ version: 1, unsettled: false, refused: Array(1000).fill(F1) })],
  ]

  async function expectSetAside(): Promise<void> {
    expect(await store.read(log)).toBeUndefined()
    expect(await store.read(log)).toEqual(NOTHING)
    expect(log.texts('warn')).toEqual(['the memory of refused PINs cannot be read and was set aside'])
    await lstat(`${store.path}.unreadable`)
  }

  test.each(damaged)('%s: it is set aside, whole, and the log says so once', async (_, text) => {
    await writeFile(store.path, text, { mode: 0o600 })
    await expectSetAside()
    expect(await readFile(`${store.path}.unreadable`, 'utf8')).toBe(text)
    expect(JSON.stringify(log.lines)).not.toContain('12345678')
  })

  test('cut short anywhere: it is set aside', async () => {
    await store.save(full)
    const text = await readFile(store.path, 'utf8')
    for (let length = 0; length < text.length; length += 7) {
      await writeFile(store.path, text.slice(0, length), { mode: 0o600 })
      expect(await store.read(log), `${length} bytes`).toBeUndefined()
    }
  })

  test('readable or writable by others: it is set aside', async () => {
    for (const mode of [0o640, 0o604, 0o620, 0o602, 0o644]) {
      await store.save(full)
      await chmod(store.path, mode)
      expect(await store.read(log), mode.toString(8)).toBeUndefined()
    }
  })

  test('a symlink, a folder or a FIFO: it is set aside, followed by none and waited for by none', async () => {
    const elsewhere = join(dir, 'elsewhere')
    await writeFile(elsewhere, JSON.stringify({ version: 1, ...full }), { mode: 0o600 })
    await symlink(elsewhere, store.path)
    await expectSetAside()
    await rm(`${store.path}.unreadable`)
    await mkdir(store.path)
    expect(await store.read(log)).toBeUndefined()
    await rm(`${store.path}.unreadable`, { recursive: true })
    execFileSync('mkfifo', ['-m', '600', store.path])
    expect(await store.read(log)).toBeUndefined()
  })

  test.skipIf(!isRoot)('of another user: it is set aside (as root only)', async () => {
    await store.save(full)
    await chown(store.path, 65534, 65534)
    await expectSetAside()
  })
})

describe('the folder', () => {
  const at = async (path: string) => new LoginStore(path, 'token').lock(never)

  test('is refused when its parent is absent, or when it is a file', async () => {
    expect(await outcomeOf(at(join(dir, 'absent', 'state')))).toBe('ERR_CONFIG_INVALID')
    await writeFile(join(dir, 'file'), '')
    expect(await outcomeOf(at(join(dir, 'file')))).toBe('ERR_CONFIG_INVALID')
  })

  test('is refused when others may write it', async () => {
    for (const mode of [0o770, 0o707, 0o777, 0o1777]) {
      await chmod(dir, mode)
      expect(await outcomeOf(at(dir)), mode.toString(8)).toBe('ERR_CONFIG_INVALID')
    }
  })

  test.skipIf(!isRoot)('is refused when it belongs to another user (as root only)', async () => {
    await chown(dir, 65534, 65534)
    expect(await outcomeOf(at(dir))).toBe('ERR_CONFIG_INVALID')
  })

  test('is made for us alone under a parent that is there', async () => {
    const made = join(dir, 'state')
    ;(await at(made))?.()
    expect((await stat(made)).mode & 0o777).toBe(0o700)
    expect(await readdir(made)).toEqual([])
  })

  test('is taken behind a symlink, as systemd makes one', async () => {
    await mkdir(join(dir, 'private'), { mode: 0o700 })
    await symlink('private', join(dir, 'state'))
    ;(await at(join(dir, 'state')))?.()
  })
})

test('what was saved is read back, from a file of mode 0600 and nothing beside it', async () => {
  expect(await store.read(log)).toEqual(NOTHING)
  await store.save(full)
  expect(await store.read(log)).toEqual(full)
  expect((await lstat(store.path)).mode & 0o777).toBe(0o600)
  expect(await readdir(dir)).toHaveLength(1)
})

test('nothing to remember leaves no file', async () => {
  await store.save(full)
  await store.save(NOTHING)
  await store.save(NOTHING)
  expect(await readdir(dir)).toEqual([])
})

test('each token has a file of its own, whatever their names', async () => {
  const paths = [store, new LoginStore(dir, 'token "../../etc"'), new LoginStore(dir, 'token "k8s" ')].map(
    ({ path }) => path,
  )
  expect(new Set(paths).size).toBe(3)
  for (const path of paths) expect(join(path, '..')).toBe(dir)
})

test('only a file that is gone from the folder of the last save was deleted', async () => {
  expect(await store.fate()).toBe('lost')
  await store.save(full)
  expect(await store.fate()).toBe('there')
  await rm(store.path)
  expect(await store.fate()).toBe('deleted')
  // Some file systems give the new folder the inode number of the old one.
  for (let i = 0; i < 3; i++) {
    await hasAged(dir)
    await rm(dir, { recursive: true })
    expect(await store.fate()).toBe('lost')
    await mkdir(dir, { mode: 0o700 })
    expect(await store.fate()).toBe('lost')
  }
})

test('a folder that cannot be written fails, and the file is as it was', async () => {
  await store.save(full)
  await chmod(dir, 0o555)
  await chmod(store.path, 0o444)
  await unprivileged(async () => {
    await expect(store.lock(never)).rejects.toMatchObject({ code: 'EACCES' })
    await expect(store.save({ ...full, refused: [] })).rejects.toMatchObject({ code: 'EACCES' })
    await expect(store.save(NOTHING)).rejects.toMatchObject({ code: 'EACCES' })
  })
  await chmod(dir, 0o700)
  await chmod(store.path, 0o600)
  expect(await store.read(log)).toEqual(full)
})

test("what a killed writer left behind is in nobody's way", async () => {
  await writeFile(`${store.path}.new`, '{"vers')
  await store.save(full)
  expect(await store.read(log)).toEqual(full)
  expect(await readdir(dir)).toHaveLength(1)
})
