import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createKeyFile, readKeyFile } from '../../../src/adapters/backends/local/key_file.js'
import { newEntry, readKeys, writeKeys, type FileContent } from '../../support/local_keys.js'

const isRoot = process.getuid?.() === 0

let folder: string
let path: string

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kms-local-'))
  path = join(folder, 'key.json')
  await createKeyFile(path)
})
afterEach(() => rmSync(folder, { recursive: true }))

/** The error of a read that must fail, and that its text holds nothing of the file. */
async function refusal(): Promise<{ code: string; message: string }> {
  const error = await readKeyFile(path).then(
    () => undefined,
    (thrown: unknown) => thrown as { code: string; message: string },
  )
  if (error === undefined) throw new Error('the file was read')
  return error
}

const withEntry = (change: object) => (content: FileContent) => ({
  ...content,
  keys: [{ ...content.keys[0], ...change }],
})

describe('a key file is refused', () => {
  test('when there is none, with what to do', async () => {
    rmSync(path)
    expect(await refusal()).toMatchObject({ code: 'ERR_KEY_NOT_FOUND' })
    expect((await refusal()).message).toContain('keygen')
  })

  test.each([0o640, 0o604, 0o660, 0o601, 0o644])(
    'when others may use it (%o), with what to do',
    async (mode) => {
      chmodSync(path, mode)
      expect(await refusal()).toMatchObject({ code: 'ERR_CONFIG_INVALID' })
      expect((await refusal()).message).toContain(`chmod 600 ${path}`)
    },
  )

  test.runIf(isRoot)('when it belongs to another user, who could read and change it', async () => {
    chownSync(path, 65_534, 65_534)
    expect(await refusal()).toMatchObject({ code: 'ERR_CONFIG_INVALID' })
    expect((await refusal()).message).toContain('65534')
  })

  test('when it is a symlink, even to a good one', async () => {
    const link = join(folder, 'link.json')
    symlinkSync(path, link)
    path = link
    expect(await refusal()).toMatchObject({ code: 'ERR_CONFIG_INVALID' })
  })

  test.each([
    ['a directory', () => mkdirSync(path, { mode: 0o700 })],
    ['a pipe, and nobody waits for its writer', () => execFileSync('mkfifo', ['-m', '600', path])],
  ])('when it is %s', async (_what, make) => {
    rmSync(path)
    make()
    expect(await refusal()).toMatchObject({ code: 'ERR_CONFIG_INVALID' })
  })

  test('when it is larger than any key file', async () => {
    writeFileSync(path, ' '.repeat(64 * 1024 + 1))
    expect(await refusal()).toMatchObject({ code: 'ERR_CONFIG_INVALID' })
  })

  test.each<[string, (content: FileContent) => unknown]>([
    ['another version', (content) => ({ ...content, version: 2 })],
    ['no id', ({ version, keys }) => ({ version, keys })],
    ['an id that is none', (content) => ({ ...content, id: 'SECRET' })],
    ['no keys', (content) => ({ ...content, keys: [] })],
    ['an unknown setting', (content) => ({ ...content, SECRET: 1 })],
    ['an unknown setting of a key', withEntry({ SECRET: 1 })],
    ['another algorithm', withEntry({ alg: 'A128GCM' })],
    ['another state', withEntry({ state: 'SECRET' })],
    ['a key of 31 bytes', withEntry({ key: Buffer.alloc(31, 'SECRET').toString('base64') })],
    ['a key of 33 bytes', withEntry({ key: Buffer.alloc(33, 'SECRET').toString('base64') })],
    ['a key that is no base64', withEntry({ key: 'SECRET!' })],
    ['a key that is a number', withEntry({ key: 7 })],
  ])('when it has %s, without a word of its content', async (_what, change) => {
    const content = readKeys(path)
    writeKeys(path, change(content))
    const { code, message } = await refusal()
    expect(code).toBe('ERR_CONFIG_INVALID')
    expect(message).toContain(path)
    expect(message).not.toContain(content.keys[0]!.key)
    expect(message.replaceAll(path, '')).not.toMatch(/SECRET|U0VDUkVU/)
  })

  test('when it is no JSON, without a word of its content', async () => {
    writeFileSync(path, `{"key":"SECRET"`)
    const { code, message } = await refusal()
    expect(code).toBe('ERR_CONFIG_INVALID')
    expect(message).not.toContain('SECRET')
  })
})

describe('a key file that was read', () => {
  test('shows no key, however it is printed', async () => {
    const set = await readKeyFile(path)
    const { key } = readKeys(path).keys[0]!
    const shown = inspect(set, { depth: 9, showHidden: true }) + JSON.stringify(set)
    expect(shown).not.toContain(key)
    expect(shown).not.toContain(Buffer.from(key, 'base64').toString('hex'))
  })

  test('is not read again while it has not changed', async () => {
    const set = await readKeyFile(path)
    expect(await readKeyFile(path, set)).toBe(set)
  })

  test('is read again when it was replaced, and when it was written in place', async () => {
    const set = await readKeyFile(path)
    const content = readKeys(path)
    writeKeys(path, { ...content, keys: [newEntry(), ...content.keys] })
    const replaced = await readKeyFile(path, set)
    expect(replaced.keys).toHaveLength(2)
    writeFileSync(path, JSON.stringify(content))
    expect((await readKeyFile(path, replaced)).keys).toHaveLength(1)
  })

  test('may be read-only', async () => {
    chmodSync(path, 0o400)
    expect((await readKeyFile(path)).keys).toHaveLength(1)
  })
})

describe('making a key file', () => {
  test('leaves one file of mode 0600, whatever the umask', async () => {
    rmSync(path)
    const umask = process.umask(0)
    await createKeyFile(path)
    process.umask(umask)
    expect(lstatSync(path).mode & 0o7777).toBe(0o600)
    expect(readdirSync(folder)).toEqual(['key.json'])
  })

  test('never overwrites what stands there, and leaves no draft behind', async () => {
    const before = readFileSync(path)
    await expect(createKeyFile(path)).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
    expect(readFileSync(path)).toEqual(before)
    symlinkSync('nowhere', join(folder, 'link'))
    await expect(createKeyFile(join(folder, 'link'))).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
    expect(readdirSync(folder).sort()).toEqual(['key.json', 'link'])
  })

  test('at once by many makes exactly one key', async () => {
    rmSync(path)
    const made = await Promise.allSettled(Array.from({ length: 8 }, async () => createKeyFile(path)))
    expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(readdirSync(folder)).toEqual(['key.json'])
  })

  test('in a folder that is missing says what to do', async () => {
    const error = createKeyFile(join(folder, 'none', 'key.json'))
    await expect(error).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
    await expect(error).rejects.toThrow('make it')
  })
})
