import { randomBytes } from 'node:crypto'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { local } from '../../../src/adapters/backends/local/index.js'
import { createKeyFile } from '../../../src/adapters/backends/local/key_file.js'
import { LocalKeyWrapper } from '../../../src/adapters/backends/local/wrapper.js'
import { kekPart } from '../../../src/ports/key_id.js'
import { newEntry, readKeys, rotate, writeKeys } from '../../support/local_keys.js'

let folder: string
let path: string
let wrapper: LocalKeyWrapper
const dek = randomBytes(32)

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kms-local-'))
  path = join(folder, 'key.json')
  await createKeyFile(path)
  wrapper = new LocalKeyWrapper(path)
})
afterEach(() => rmSync(folder, { recursive: true }))

function setState(index: number, state: 'enabled' | 'disabled'): void {
  const content = readKeys(path)
  writeKeys(path, {
    ...content,
    keys: content.keys.map((entry, at) => (at === index ? { ...entry, state } : entry)),
  })
}

describe('rotation', () => {
  test('a new first key wraps from then on, under a key id of the same KEK, and old DEKs still unwrap', async () => {
    const old = await wrapper.wrap(dek)
    rotate(path)
    const fresh = await wrapper.wrap(dek)
    expect(fresh.keyId).toBe(await wrapper.currentKeyId())
    expect(fresh.keyId).not.toBe(old.keyId)
    expect(kekPart(fresh.keyId)).toBe(kekPart(old.keyId))
    expect(await wrapper.unwrap(old)).toEqual(dek)
    expect(await wrapper.unwrap(fresh)).toEqual(dek)
  })

  test('back to the old first key brings its key id back: nothing that was stored is orphaned', async () => {
    const before = await wrapper.currentKeyId()
    const content = readKeys(path)
    rotate(path)
    writeKeys(path, { ...content, keys: [...content.keys, readKeys(path).keys[0]] })
    expect(await wrapper.currentKeyId()).toBe(before)
  })

  test('a key put behind the first changes nothing until the first is disabled', async () => {
    const before = await wrapper.currentKeyId()
    const content = readKeys(path)
    writeKeys(path, { ...content, keys: [...content.keys, newEntry()] })
    expect(await wrapper.currentKeyId()).toBe(before)
    setState(0, 'disabled')
    expect(await wrapper.currentKeyId()).not.toBe(before)
  })

  test('another key under a known id is another key id, not a wrong unwrap', async () => {
    const old = await wrapper.wrap(dek)
    const content = readKeys(path)
    const [entry] = content.keys
    writeKeys(path, { ...content, keys: [{ ...entry, key: newEntry().key }] })
    expect(await wrapper.currentKeyId()).not.toBe(old.keyId)
    await expect(wrapper.unwrap(old)).rejects.toMatchObject({ code: 'ERR_KEY_UNKNOWN' })
  })

  test('a copy of the file on another node has the same key ids', async () => {
    const copy = join(folder, 'copy.json')
    copyFileSync(path, copy)
    const other = new LocalKeyWrapper(copy)
    expect(await other.currentKeyId()).toBe(await wrapper.currentKeyId())
    expect(await other.unwrap(await wrapper.wrap(dek))).toEqual(dek)
  })
})

describe('a key that must not be used', () => {
  test('disabled, neither wraps nor unwraps until it is enabled again', async () => {
    const wrapped = await wrapper.wrap(dek)
    setState(0, 'disabled')
    await expect(wrapper.wrap(dek)).rejects.toMatchObject({ code: 'ERR_KEY_DISABLED' })
    await expect(wrapper.currentKeyId()).rejects.toMatchObject({ code: 'ERR_KEY_DISABLED' })
    await expect(wrapper.unwrap(wrapped)).rejects.toMatchObject({ code: 'ERR_KEY_DISABLED' })
    setState(0, 'enabled')
    expect(await wrapper.unwrap(wrapped)).toEqual(dek)
  })

  test('taken out of the file, is unknown', async () => {
    const wrapped = await wrapper.wrap(dek)
    const content = readKeys(path)
    writeKeys(path, { ...content, keys: [newEntry()] })
    await expect(wrapper.unwrap(wrapped)).rejects.toMatchObject({ code: 'ERR_KEY_UNKNOWN' })
  })

  test('in a file that is gone, is not found, and works at once when the file is back', async () => {
    const wrapped = await wrapper.wrap(dek)
    const content = readKeys(path)
    rmSync(path)
    await expect(wrapper.unwrap(wrapped)).rejects.toMatchObject({ code: 'ERR_KEY_NOT_FOUND' })
    writeKeys(path, content)
    expect(await wrapper.unwrap(wrapped)).toEqual(dek)
  })
})

describe('the backend', () => {
  const deps = {} as never
  const settings = () => ({ backend: 'local' as const, path })

  test('makes a key once and never a second time', async () => {
    rmSync(path)
    const line = await local.keygen?.(settings(), deps)
    expect(line).toContain(await wrapper.currentKeyId())
    await expect(local.keygen?.(settings(), deps)).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
  })

  test('needs no file to be opened: the plugin listens before its key is there', async () => {
    rmSync(path)
    const opened = local.open(settings(), deps)
    await expect(opened.currentKeyId({ deadlineMs: 0 })).rejects.toMatchObject({ code: 'ERR_KEY_NOT_FOUND' })
    await createKeyFile(path)
    expect(await opened.currentKeyId({ deadlineMs: 0 })).toMatch(/^local:/)
  })

  test('says that a disk protects nothing', () => {
    expect(local.warning).toContain('disk')
  })

  test('checks the file: one ok line with counts, or one error', async () => {
    const check = async () => local.check(settings(), { key: 'main' } as never)
    expect(await check()).toMatchObject([{ level: 'ok', subject: 'keys.main.path' }])
    rmSync(path)
    expect(await check()).toMatchObject([{ level: 'error', subject: 'keys.main.path' }])
  })

  test.each(['relative/path', '', '~/key'])('refuses the path %j', (bad) => {
    expect(local.settings.safeParse({ backend: 'local', path: bad }).success).toBe(false)
  })
})
