/** The two files that an operator names: the PIN file and the module. */
import { execFileSync } from 'node:child_process'
import { chmod, chown, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { checkModuleFile } from '../../../src/adapters/backends/pkcs11/module_file.js'
import { openPinFile, pinFileIdentity } from '../../../src/adapters/backends/pkcs11/pin_file.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { giveAway, unprivileged } from '../../support/unprivileged.js'

const isRoot = process.getuid?.() === 0

let dir: string
let path: string

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'kmsplugin-files-'))
  path = join(dir, 'file')
})

afterEach(async () => rm(dir, { recursive: true }))

async function write(mode: number, text = '1234\n'): Promise<void> {
  await writeFile(path, text)
  await chmod(path, mode)
}

describe('the PIN file', () => {
  async function opened(at = path): Promise<string> {
    return outcomeOf(openPinFile(at).then(async ({ handle }) => handle.close()))
  }

  test('is refused when group or others may read or write it', async () => {
    for (const mode of [0o640, 0o604, 0o620, 0o602, 0o644, 0o666]) {
      await write(mode)
      expect(await opened(), mode.toString(8)).toBe('ERR_CONFIG_INVALID')
    }
  })

  test('is refused as a symlink, a folder or a FIFO, and none of them makes us wait', async () => {
    await write(0o600)
    const link = join(dir, 'link')
    await symlink(path, link)
    expect(await opened(link)).toBe('ERR_CONFIG_INVALID')
    expect(await opened(dir)).toBe('ERR_CONFIG_INVALID')
    const fifo = join(dir, 'fifo')
    execFileSync('mkfifo', ['-m', '600', fifo])
    expect(await opened(fifo)).toBe('ERR_CONFIG_INVALID')
  })

  test('is refused when we may not read it, and the line says so', async () => {
    await write(0o000)
    giveAway(dir)
    const refusal = unprivileged(async () => openPinFile(path))
    await expect(refusal).rejects.toMatchObject({
      code: 'ERR_CONFIG_INVALID',
      message: expect.stringMatching(
        /may not be read by the user of the plugin; make that user its owner/,
      ) as string,
    })
  })

  test('is refused when it is absent, empty or far too long', async () => {
    expect(await opened()).toBe('ERR_CONFIG_INVALID')
    await write(0o600, '')
    expect(await opened()).toBe('ERR_CONFIG_INVALID')
    await write(0o600, 'x'.repeat(5000))
    expect(await opened()).toBe('ERR_CONFIG_INVALID')
  })

  test.skipIf(!isRoot)('is refused when it belongs to another user (as root only)', async () => {
    await write(0o600)
    await chown(path, 12345, 12345)
    expect(await opened()).toBe('ERR_CONFIG_INVALID')
  })

  test('is opened with mode 0600 and 0400, and its identity is that of the path', async () => {
    for (const mode of [0o600, 0o400]) {
      await rm(path, { force: true })
      await write(mode)
      const { handle, identity } = await openPinFile(path)
      await handle.close()
      expect(identity).toBe(await pinFileIdentity(path))
    }
  })

  test('has another identity once it was written, touched or replaced, and none when it is gone', async () => {
    await write(0o600, '1111')
    const seen = [await pinFileIdentity(path)]
    await write(0o600, '22222')
    seen.push(await pinFileIdentity(path))
    await writeFile(`${path}.new`, '22222', { mode: 0o600 })
    await rename(`${path}.new`, path)
    seen.push(await pinFileIdentity(path))
    await rm(path)
    seen.push(await pinFileIdentity(path))
    expect(new Set(seen).size).toBe(4)
    expect(seen.at(-1)).toBeUndefined()
  })
})

describe('the module file', () => {
  test('is refused when group or others may write it', async () => {
    for (const mode of [0o664, 0o646, 0o777]) {
      await write(mode)
      expect(await outcomeOf(checkModuleFile(path)), mode.toString(8)).toBe('ERR_CONFIG_INVALID')
    }
  })

  test('is refused when it is relative, absent or a folder', async () => {
    for (const module of ['libsofthsm2.so', path, dir]) {
      expect(await outcomeOf(checkModuleFile(module)), module).toBe('ERR_CONFIG_INVALID')
    }
  })

  test.skipIf(!isRoot)('is refused when it belongs to another user (as root only)', async () => {
    await write(0o644)
    await chown(path, 12345, 12345)
    expect(await outcomeOf(checkModuleFile(path))).toBe('ERR_CONFIG_INVALID')
  })

  test('is refused when we may not read it, and the line says so', async () => {
    await write(0o000)
    giveAway(dir)
    const refusal = unprivileged(async () => checkModuleFile(path))
    await expect(refusal).rejects.toMatchObject({
      code: 'ERR_CONFIG_INVALID',
      message: expect.stringMatching(/may not be read by the user of the plugin; run chmod a\+r/) as string,
    })
  })

  test('is judged, and named, by what a symlink points at', async () => {
    const link = join(dir, 'link')
    await symlink(path, link)
    await write(0o666)
    expect(await outcomeOf(checkModuleFile(link))).toBe('ERR_CONFIG_INVALID')
    await write(0o755)
    expect(await checkModuleFile(link)).toBe(path)
  })
})
