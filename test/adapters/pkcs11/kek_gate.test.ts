/** Which keys on a token pass for a KEK, what `check` says of them, and what `keygen` makes. */
import { chmod, copyFile, cp, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
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
      { do: 'makeAes', label: 'two', id: 'aa01' },
      { do: 'makeAes', label: 'two', id: 'aa02' },
      { do: 'makeAes', label: 'wrap only', encrypt: false, decrypt: false, wrap: true, unwrap: true },
      { do: 'makeAes', label: 'cbc', id: 'cc' },
      { do: 'makeSecret', label: 'cbc mac', id: 'cc686d6163' },
      { do: 'makeSecret', label: 'hmac' },
      { do: 'makeRsa', label: 'rsa-1024', bits: 1024 },
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

  test('what is no KEK is refused, and the message names the reason', async () => {
    const cases: readonly (readonly [label: string, named: string])[] = [
      ['aes-128', 'CKA_VALUE_LEN 16'],
      ['no id', 'before its first use'],
      ['hmac', 'CKA_KEY_TYPE'],
      ['rsa-1024', '1024 bits'],
    ]
    for (const [keyLabel, named] of cases) {
      const text = await refusal({ keyLabel })
      expect(text, keyLabel).toMatch(/^ERR_KEY_UNUSABLE/)
      expect(text, keyLabel).toContain(named)
    }
  })

  test('several keys that match are an error that lists them, and a CKA_ID tells them apart', async () => {
    const text = await refusal({ keyLabel: 'two' })
    expect(text).toMatch(/^ERR_KEY_UNUSABLE: 2 keys are "two"/)
    for (const id of ['aa01', 'aa02']) expect(text).toContain(`AES "two" with CKA_ID ${id}`)
    expect(await refusal({ keyLabel: 'two', ckaId: 'AA02' })).toBe('OK')
    expect(await refusal({ keyLabel: 'good', ckaId: 'aa02' })).toMatch(/^ERR_KEY_NOT_FOUND/)
  })

  test('one KEK has one key id, whether label, CKA_ID or a URI names it', async () => {
    const { module, tokenLabel, pinFile } = hsm
    const uri = `pkcs11:token=${tokenLabel};object=two;id=%aa%02?module-path=${module}&pin-source=${pinFile}`
    const byId = { backend: 'pkcs11', module, tokenLabel, pin: `file:${pinFile}`, ckaId: 'aa02' } as const
    const byUri = { backend: 'pkcs11', uri } as const
    const ids = []
    for (const settings of [byId, byUri]) {
      const wrapper = backend.open(settings, openOn(hsm).deps)
      ids.push(await wrapper.currentKeyId(soon()))
      await wrapper.close()
    }
    expect(new Set(ids).size).toBe(1)
  })

  /** `OK`, or code and message, of a wrap. */
  async function wrapping(change: Partial<Pkcs11Settings>): Promise<string> {
    const { wrapper } = openOn(hsm, change)
    try {
      await wrapper.wrap(randomBytes(32), soon())
      return 'OK'
    } catch (error) {
      return error instanceof KmsError ? `${error.code}: ${error.message}` : String(error)
    } finally {
      await wrapper.close()
    }
  }

  test('a key that lacks what wrapping needs does not seal', async () => {
    for (const [keyLabel, named] of [
      ['no encrypt', 'CKA_ENCRYPT'],
      ['no decrypt', 'CKA_DECRYPT'],
    ] as const) {
      const text = await wrapping({ keyLabel })
      expect(text).toMatch(/^ERR_KEY_UNUSABLE/)
      expect(text).toContain(named)
    }
  })

  test('a weak key does not seal, and each exception must be named; a name too few is refused', async () => {
    const weak = ['CKA_SENSITIVE', 'CKA_EXTRACTABLE', 'CKA_WRAP', 'CKA_UNWRAP'] as const
    const text = await wrapping({ keyLabel: 'loose' })
    expect(text).toMatch(/^ERR_KEY_UNUSABLE/)
    for (const name of weak) expect(text).toContain(name)
    for (const left of weak) {
      const allowWeakKey = weak.filter((name) => name !== left)
      expect(await wrapping({ keyLabel: 'loose', allowWeakKey })).toContain(`it has ${left}`)
    }
    expect(await wrapping({ keyLabel: 'loose', allowWeakKey: [...weak] })).toBe('OK')
  })

  test('a weak key still opens what it wrapped', async () => {
    const allowWeakKey = ['CKA_SENSITIVE', 'CKA_EXTRACTABLE', 'CKA_WRAP', 'CKA_UNWRAP'] as const
    const sealing = openOn(hsm, { keyLabel: 'loose', allowWeakKey: [...allowWeakKey] }).wrapper
    const dek = randomBytes(32)
    const wrapped = await sealing.wrap(dek, soon())
    await sealing.close()
    const opening = openOn(hsm, { keyLabel: 'loose' }).wrapper
    expect(await opening.currentKeyId(soon())).toBe(wrapped.keyId)
    expect(Buffer.from(await opening.unwrap(wrapped, soon()))).toEqual(dek)
    await opening.close()
  })

  test('the mechanism is the best that the key allows, and the log says which and why', async () => {
    const { wrapper, log } = openOn(hsm, { keyLabel: 'wrap only' })
    const dek = randomBytes(32)
    const wrapped = await wrapper.wrap(dek, soon())
    await wrapper.currentKeyId(soon())
    expect(wrapped.bytes[0]).toBe(4)
    expect(Buffer.from(await wrapper.unwrap(wrapped, soon()))).toEqual(dek)
    const told = log.lines.find(({ text }) => text === 'how the KEK wraps')
    expect(told?.fields['mechanism']).toBe('aes-kwp')
    expect(String(told?.fields['why'])).toContain('aes-gcm')
    await wrapper.close()
    expect(await wrapping({ keyLabel: 'wrap only', mechanism: 'aes-gcm' })).toMatch(/^ERR_KEY_UNUSABLE/)
  })

  test('what one mechanism wrapped opens when another was chosen since', async () => {
    const open = (mechanism: NonNullable<Pkcs11Settings['mechanism']>) =>
      openOn(hsm, { keyLabel: 'cbc', mechanism }).wrapper
    const dek = randomBytes(32)
    const before = open('aes-cbc-hmac')
    const wrapped = await before.wrap(dek, soon())
    await before.close()
    const after = open('aes-gcm')
    const again = await after.wrap(dek, soon())
    expect([wrapped.bytes[0], again.bytes[0]]).toEqual([5, 1])
    expect(again.keyId).toBe(wrapped.keyId)
    expect(Buffer.from(await after.unwrap(wrapped, soon()))).toEqual(dek)
    await after.close()
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
      'ok keys.hsm.token',
      'ok keys.hsm.key',
    ])
  })

  test('check refuses a weak KEK, and warns of each attribute that is excepted; the evidence has all of them', async () => {
    const [, , , refused] = await check({ keyLabel: 'loose' })
    expect(refused?.level).toBe('error')
    const verdicts = Object.fromEntries((refused?.evidence ?? []).map(({ name, verdict }) => [name, verdict]))
    expect(verdicts).toMatchObject({
      CKA_ENCRYPT: 'ok',
      CKA_EXTRACTABLE: 'refused',
      CKA_MODIFIABLE: 'advised',
    })
    const allowWeakKey: Pkcs11Settings['allowWeakKey'] = [
      'CKA_SENSITIVE',
      'CKA_EXTRACTABLE',
      'CKA_WRAP',
      'CKA_UNWRAP',
    ]
    const findings = await check({ keyLabel: 'loose', allowWeakKey })
    const warned = findings.filter(({ level }) => level === 'warning').map(({ text }) => text)
    for (const name of [...allowWeakKey, 'CKA_MODIFIABLE']) {
      expect(
        warned.some((text) => text.includes(name)),
        name,
      ).toBe(true)
    }
    expect(findings.some(({ level }) => level === 'error')).toBe(false)
  })

  test('a weak key that only opens is a warning for check, and nobody tries whether it wraps', async () => {
    const { deps, wrapper, log } = openOn(hsm, { keyLabel: 'loose' }, { isPrimary: false })
    const findings = await backend.check(settingsOf(hsm, { keyLabel: 'loose' }), deps)
    expect(findings.some(({ level }) => level === 'error')).toBe(false)
    expect(findings.some(({ level, text }) => level === 'warning' && text.includes('only opens'))).toBe(true)
    await wrapper.currentKeyId(soon())
    expect(log.texts('warn')).toEqual([])
    await wrapper.close()
  })

  test('check puts an error where the operator must look', async () => {
    const errors = async (change: Partial<Pkcs11Settings>) =>
      (await check(change)).filter(({ level }) => level === 'error').map(({ subject }) => subject)
    expect(await errors({ keyLabel: 'hmac' })).toEqual(['keys.hsm.key'])
    expect(await errors({ tokenLabel: 'elsewhere' })).toEqual(['keys.hsm.token'])
    expect(await errors({ module: '/nowhere.so', pin: 'file:/nowhere' })).toEqual([
      'keys.hsm.module',
      'keys.hsm.pin',
    ])
  })

  test('keygen makes a key that check has nothing to say about, that nobody edits, and never a second one', async () => {
    const settings = settingsOf(hsm, { keyLabel: 'made' })
    const { deps } = openOn(hsm)
    const line = await backend.keygen!(settings, deps)
    expect(line).toMatch(
      /CKA_ID [0-9a-f]{32} and key id pkcs11:[a-z2-7]{26}\.[a-z2-7]{26}; it wraps with aes-gcm /,
    )
    expect((await check({ keyLabel: 'made' })).every(({ level }) => level === 'ok')).toBe(true)
    expect(() => hsm.change({ do: 'relabel', label: 'made', to: 'other' })).toThrow()
    expect(await outcomeOf(backend.keygen!(settings, deps))).toBe('ERR_CONFIG_INVALID')
    const taken = settingsOf(hsm, { keyLabel: 'rsa' })
    expect(await outcomeOf(backend.keygen!(taken, deps))).toBe('ERR_CONFIG_INVALID')
  })

  test('keygen of a key that wraps in no way here fails, and says what it made and what to do with it', async () => {
    const settings = settingsOf(hsm, { keyLabel: 'in vain', mechanism: 'rsa-oaep-sha256' })
    const made = backend.keygen!(settings, openOn(hsm).deps)
    await expect(made).rejects.toMatchObject({ code: 'ERR_KEY_UNUSABLE' })
    await expect(made).rejects.toThrow(
      /^made RSA-3072 key "in vain" on token "k8s" with CKA_ID [0-9a-f]{32} .*but it wraps with nothing/,
    )
    await expect(made).rejects.toThrow('destroy it')
    expect(await outcomeOf(backend.keygen!(settings, openOn(hsm).deps))).toBe('ERR_CONFIG_INVALID')
  })

  test('keygen makes no key of another type than the URI names', async () => {
    const { module, tokenLabel, pinFile } = hsm
    const uri = `pkcs11:token=${tokenLabel};object=typed;type=private?module-path=${module}&pin-source=${pinFile}`
    const typed = { backend: 'pkcs11', uri, mechanism: 'aes-gcm' } as const
    expect(await outcomeOf(backend.keygen!(typed, openOn(hsm).deps))).toBe('ERR_CONFIG_INVALID')
    expect(await refusal({ keyLabel: 'typed' })).toMatch(/^ERR_KEY_NOT_FOUND/)
  })

  test('keygen makes for each mechanism of the token a key that check passes', async () => {
    for (const mechanism of ['aes-gcm', 'aes-kwp', 'aes-kw', 'aes-cbc-hmac'] as const) {
      const change = { keyLabel: `for ${mechanism}`, mechanism }
      await backend.keygen!(settingsOf(hsm, change), openOn(hsm).deps)
      const findings = await check(change)
      expect(
        findings.filter(({ level }) => level !== 'ok'),
        mechanism,
      ).toEqual([])
      expect(findings.at(-1)?.text).toContain(`wraps with ${mechanism}`)
    }
  })
})
