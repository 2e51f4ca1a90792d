import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { resolveGroup } from '../../../src/adapters/system/group.js'

describe('on this machine', () => {
  test('no group is no number', async () => {
    expect(await resolveGroup('')).toBeUndefined()
  })

  test('a number is itself, whether such a group exists or not', async () => {
    expect(await resolveGroup('0')).toBe(0)
    expect(await resolveGroup('4242')).toBe(4242)
  })

  test('every name of /etc/group is found', async () => {
    const lines = readFileSync('/etc/group', 'utf8').trim().split('\n')
    for (const [name, , gid] of lines.map((line) => line.split(':'))) {
      expect(await resolveGroup(name ?? '')).toBe(Number(gid))
    }
  })

  test('an unknown name is an error that names it and says what to do', async () => {
    const error = resolveGroup('no-such-group')
    await expect(error).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
    await expect(error).rejects.toThrow(/socketGroup.*no-such-group.*number/)
  })
})

describe('in a group file', () => {
  let folder: string
  let file: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kms-group-'))
    file = join(folder, 'group')
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  test('a line without a number is no group, and never that of root', async () => {
    writeFileSync(file, 'broken:x::\nshort\nnegative:x:-1:\nkms:x:1234:a,b\n')
    expect(await resolveGroup('kms', file)).toBe(1234)
    for (const name of ['broken', 'short', 'negative']) {
      await expect(resolveGroup(name, file)).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
    }
  })

  test('that is missing there is no name', async () => {
    await expect(resolveGroup('root', file)).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
  })
})
