import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, symlinkSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { CONFIG_MAX_BYTES } from '../../../src/adapters/config/read_file.js'
import { fileWith, minimal, newPath, problemsOf, source } from './fixtures.js'
import { unprivileged } from '../../support/unprivileged.js'

describe('reading the config file', () => {
  test('a file that does not exist is one problem that says how to name one', async () => {
    const file = newPath()
    const { problems } = await source.load(file)
    expect(problems).toEqual([
      { path: '', text: expect.stringMatching(/does not exist.*--config/) as string },
    ])
    expect(problems[0]?.text).toContain(file)
  })

  test('a folder, a pipe and an empty name are refused without waiting', async () => {
    const folder = newPath()
    mkdirSync(folder)
    const pipe = newPath()
    execFileSync('mkfifo', [pipe])
    for (const file of [folder, pipe, '/dev/zero']) {
      const { problems } = await source.load(file)
      expect(problems.map(({ text }) => text)).toEqual([`${file} is not a regular file`])
    }
    expect((await source.load('')).problems).toHaveLength(1)
  })

  test('a file that we may not read is one problem that says so', async () => {
    const file = fileWith(minimal)
    chmodSync(file, 0)
    const { problems } = await unprivileged(async () => source.load(file))
    expect(problems).toHaveLength(1)
    expect(problems[0]?.text).toMatch(/permissions/)
  })

  test('a file of more than 64 KiB is refused, one of exactly 64 KiB is read', async () => {
    const padding = (bytes: number): string => `${minimal}#${'x'.repeat(bytes - minimal.length - 1)}`
    expect(await problemsOf(padding(CONFIG_MAX_BYTES))).toEqual([])
    expect(await problemsOf(padding(CONFIG_MAX_BYTES + 1))).toHaveLength(1)
  })

  test('bytes that are not UTF-8 are refused', async () => {
    const problems = await problemsOf(Buffer.from([0x6c, 0x6f, 0x67, 0xff, 0xfe]))
    expect(problems.map(({ text }) => text)).toEqual([expect.stringMatching(/not UTF-8/) as string])
  })

  test('symbolic links are followed, as ConfigMap mounts need', async () => {
    const link = newPath()
    symlinkSync(fileWith(minimal), link)
    expect((await source.load(link)).problems).toEqual([])
  })
})
