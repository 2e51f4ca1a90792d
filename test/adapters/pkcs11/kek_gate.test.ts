/** Which keys on a token pass for a KEK, what `check` says of them, and what `keygen` makes. */
import { chmod, copyFile, cp, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Pkcs11Settings } from '../../../src/adapters/backends/pkcs11/settings.js'
import type { Finding } from '../../../src/ports/operations.js'
import { KmsError } from '../../../src/ports/errors.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { hsmEntry, makeSoftHsm, onSoftHsm, softHsmMissing, type SoftHsm } from '../../support/softhsm.js'
import { backend, openOn, settingsOf, soon } from './opened.js'

describe.skipIf(softHsmMissing !== undefined)(onSoftHsm('the KEK and what leads to it'), () => {
  let hsm: SoftHsm

  beforeAll(async () => {
    hsm = await makeSoftHsm()
    hsm.change(
      { do: 'makeAes', label: 'good' },
      { do: 'makeAes', label: 'two' },
      { do: 'makeAes', label: 'two' },
      { do: 'makeAes', label: 'aes-128', bytes: 16 },
      { do: 'makeAes', label: 'no encrypt', encrypt: false },
      { do: 'makeAes', label: 'no decrypt', decrypt: false },
      { do: 'makeAes', label: 'no id', emptyId: true },
      {
        do: 'makeAes',
        label: 'loose',
        sensitive: false,
        extractable: true,
        wrap: true,
        unwrap: true,
        modifiable: true,
      },
      { do: 'makeRsa', label: 'rsa' },
    )
  })

  afterAll(async () => hsm.remove())

  /** The error of the first call, as `CODE: message`. */
  async function refusal(change: Partial<Pkcs11Settings>): Promise<string> {
    const { wrapper } = openOn(hsm, change)
    try {
      await wrapper.currentKeyId(soon())
      return 'OK'
    } catch (error) {
      return error instanceof KmsError ? `${error.code}: ${error.message}` : String(error)
    } finally {
      await wrapper.close()
    }
  }

  async function check(change: Partial<Pkcs11Settings>): Promise<readonly Finding[]> {
    return backend.check(settingsOf(hsm, change), openOn(hsm).deps)
  }

  test('no key with the label: ERR_KEY_NOT_FOUND, and the process stays for the next look', async () => {
    const { wrapper, starts } = openOn(hsm, { keyLabel: 'absent' })
    for (let i = 0; i < 3; i++) {
      expect(await outcomeOf(wrapper.currentKeyId(soon()))).toBe('ERR_KEY_NOT_FOUND')
    }
    expect(starts()).toBe(1)
    hsm.change({ do: 'makeAes', label: 'absent' })
    expect(await outcomeOf(wrapper.currentKeyId(soon()))).toBe('OK')
    hsm.change({ do: 'destroy', label: 'absent' })
    expect(await outcomeOf(wrapper.currentKeyId(soon()))).toBe('ERR_KEY_NOT_FOUND')
    expect(starts()).toBe(1)
    await wrapper.close()
  })

  test('what is no AES-256 key that encrypts and decrypts is refused, and the attribute is named', async () => {
    const cases: readonly (readonly [label: string, named: string])[] = [
      ['two', 'several'],
      ['aes-128', 'CKA_VALUE_LEN 16'],
      ['no encrypt', 'CKA_ENCRYPT'],
      ['no decrypt', 'CKA_DECRYPT'],
      ['no id', 'before its first use'],
      ['rsa', 'CKA_CLASS'],
    ]
    for (const [keyLabel, named] of cases) {
      const text = await refusal({ keyLabel })
      expect(text, keyLabel).toMatch(/^ERR_KEY_UNUSABLE/)
      expect(text, keyLabel).toContain(named)
    }
  })

  test('a token that is not there is an outage, and the message names those that are', async () => {
    const text = await refusal({ tokenLabel: 'elsewhere' })
    expect(text).toMatch(/^ERR_BACKEND_UNAVAILABLE/)
    expect(text).toContain('"k8s"')
  })

  test('two tokens with one label: ERR_CONFIG_INVALID', async () => {
    const other = await makeSoftHsm()
    other.addToken(other.tokenLabel)
    const { wrapper } = openOn(other)
    expect(await outcomeOf(wrapper.currentKeyId(soon()))).toBe('ERR_CONFIG_INVALID')
    await wrapper.close()
    await other.remove()
  })

  test('a file or a library that is no PKCS#11 module: one line of ERR_CONFIG_INVALID, and we live on', async () => {
    const text = join(hsm.dir, 'text.so')
    await writeFile(text, 'no library', { mode: 0o644 })
    // Every line ends with a path; Node has the C library loaded.
    const maps = await readFile('/proc/self/maps', 'utf8')
    const libc = /\/\S*\/libc\.so\S*/.exec(maps)?.[0] ?? text
    for (const module of [text, libc]) {
      const message = await refusal({ module })
      expect(message).toMatch(/^ERR_CONFIG_INVALID/)
      expect(message).toContain('no PKCS#11 module')
      expect(message).not.toContain('\n')
    }
  })

  test('a module that others may write is refused before it is loaded', async () => {
    const module = join(hsm.dir, 'writable.so')
    await copyFile(hsm.module, module)
    await chmod(module, 0o775)
    expect(await refusal({ module })).toMatch(/^ERR_CONFIG_INVALID/)
  })

  test('a PIN file that others may read, or a symlink to one: ERR_CONFIG_INVALID', async () => {
    const loose = join(hsm.dir, 'loose')
    await writeFile(loose, hsm.pin)
    await chmod(loose, 0o644)
    const link = join(hsm.dir, 'link')
    await symlink(hsm.pinFile, link)
    for (const path of [loose, link]) {
      expect(await refusal({ pin: `file:${path}` })).toMatch(/^ERR_CONFIG_INVALID/)
    }
  })

  test('without pkcs11js the message says how to get it', async () => {
    const folder = join(hsm.dir, 'elsewhere')
    await cp(new URL('..', hsmEntry), folder, { recursive: true })
    await writeFile(join(folder, 'package.json'), '{"type":"module"}')
    const { wrapper } = openOn(hsm, {}, { entry: pathToFileURL(join(folder, 'child/main.js')) })
    const failure = wrapper.currentKeyId(soon())
    await expect(failure).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
    await expect(failure).rejects.toThrow('npm rebuild pkcs11js')
    await wrapper.close()
  })

  test('check passes a good KEK: module, PIN, token and key, all ok', async () => {
    const findings = await check({ keyLabel: 'good' })
    expect(findings.map(({ level, subject }) => `${level} ${subject}`)).toEqual([
      'ok keys.hsm.module',
      'ok keys.hsm.pin',
      'ok keys.hsm.tokenLabel',
      'ok keys.hsm.keyLabel',
    ])
  })

  test('check warns of each attribute that weakens a KEK that works', async () => {
    const findings = await check({ keyLabel: 'loose' })
    const warned = findings.filter(({ level }) => level === 'warning').map(({ text }) => text)
    expect(warned).toHaveLength(5)
    for (const name of ['CKA_SENSITIVE', 'CKA_EXTRACTABLE', 'CKA_WRAP', 'CKA_UNWRAP', 'CKA_MODIFIABLE']) {
      expect(warned.some((text) => text.includes(name))).toBe(true)
    }
  })

  test('check puts an error where the operator must look', async () => {
    const errors = async (change: Partial<Pkcs11Settings>) =>
      (await check(change)).filter(({ level }) => level === 'error').map(({ subject }) => subject)
    expect(await errors({ keyLabel: 'rsa' })).toEqual(['keys.hsm.keyLabel'])
    expect(await errors({ tokenLabel: 'elsewhere' })).toEqual(['keys.hsm.tokenLabel'])
    expect(await errors({ module: '/nowhere.so', pin: 'file:/nowhere' })).toEqual([
      'keys.hsm.module',
      'keys.hsm.pin',
    ])
  })

  test('keygen makes a key that check has nothing to say about, that nobody edits, and never a second one', async () => {
    const settings = settingsOf(hsm, { keyLabel: 'made' })
    const { deps } = openOn(hsm)
    const line = await backend.keygen!(settings, deps)
    expect(line).toMatch(/CKA_ID [0-9a-f]{32} and key id pkcs11:[a-z2-7]{26}\.[a-z2-7]{26}$/)
    expect((await check({ keyLabel: 'made' })).every(({ level }) => level === 'ok')).toBe(true)
    expect(() => hsm.change({ do: 'relabel', label: 'made', to: 'other' })).toThrow()
    expect(await outcomeOf(backend.keygen!(settings, deps))).toBe('ERR_CONFIG_INVALID')
    const taken = settingsOf(hsm, { keyLabel: 'rsa' })
    expect(await outcomeOf(backend.keygen!(taken, deps))).toBe('ERR_CONFIG_INVALID')
  })
})
