import {
  chmod,
  copyFile,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { login } from '../../../src/adapters/backends/pkcs11/child/login.js'
import type { Token } from '../../../src/adapters/backends/pkcs11/child/token.js'
import { tokenIdentity } from '../../../src/adapters/backends/pkcs11/child/token_identity.js'
import { loginMemoryOf } from '../../../src/adapters/backends/pkcs11/login_memory.js'
import { pinFileIdentity } from '../../../src/adapters/backends/pkcs11/pin_file.js'
import { outcomeOf } from '../../doubles/outcome.js'
import type { Pkcs11Settings } from '../../../src/adapters/backends/pkcs11/settings.js'
import { makeSoftHsm, onSoftHsm, softHsmMissing, type SoftHsm } from '../../support/softhsm.js'
import { backend, openOn, settingsOf, soon, type Opened } from './opened.js'

const WRONG = '99999999'

test('nobody logs in to a token that is locked or that the next wrong PIN would lock', () => {
  const flags = { CKF_USER_PIN_LOCKED: 4, CKF_USER_PIN_FINAL_TRY: 2, CKF_USER_PIN_COUNT_LOW: 1, CKU_USER: 1 }
  for (const flag of [flags.CKF_USER_PIN_LOCKED, flags.CKF_USER_PIN_FINAL_TRY]) {
    const token = { name: 'token "t"', p11: flags, isLoggedIn: () => false, info: () => ({ flags: flag }) }
    const tried = (): never => {
      throw new Error('it tried')
    }
    const grant = { salt: '', refused: [], ifCountLow: 'try' } as const
    const verdict = login(token as unknown as Token, Buffer.alloc(8), grant, tried)
    expect(verdict.type).toBe('notTried')
  }
})

describe.skipIf(softHsmMissing !== undefined)(onSoftHsm('the login to a token'), () => {
  let hsm: SoftHsm
  let opened: Opened[]
  let count = 0

  /** A label of its own: what a token refused is remembered for the life of this process. */
  async function setUp(pin: string): Promise<Opened> {
    hsm = await makeSoftHsm(`login-${++count}`)
    hsm.change({ do: 'makeAes', label: 'kek' }, { do: 'makeAes', label: 'kek-2' })
    await writeFile(hsm.pinFile, pin)
    opened = []
    return open()
  }

  function open(keyLabel = 'kek', stateDir?: string): Opened {
    const one = openOn(hsm, { keyLabel }, stateDir === undefined ? {} : { stateDir })
    opened.push(one)
    return one
  }

  async function replacePin(pin: string): Promise<void> {
    const draft = join(hsm.dir, 'pin.new')
    await writeFile(draft, pin, { mode: 0o600 })
    await rename(draft, hsm.pinFile)
  }

  const ask = async ({ wrapper }: Opened) => outcomeOf(wrapper.currentKeyId(soon()))

  const pinCountLow = () => hsm.change({ do: 'login', pin: WRONG }).pinCountLow

  afterEach(async () => {
    for (const { wrapper } of opened) await wrapper.close()
    await hsm.remove()
  })

  test('a wrong PIN is tried once, and every call is refused at once until its file changes', async () => {
    const one = await setUp(WRONG)
    for (let i = 0; i < 10; i++) expect(await ask(one)).toBe('ERR_LOGIN_REFUSED')
    expect(one.logins()).toBe(1)
    expect(one.starts()).toBe(1)
    expect(pinCountLow()).toBe(true)
    await replacePin(hsm.pin)
    expect(await ask(one)).toBe('OK')
    expect(one.logins()).toBe(2)
  })

  test('the same wrong PIN in a new file is not tried again; another wrong one is, once', async () => {
    const one = await setUp(WRONG)
    expect(await ask(one)).toBe('ERR_LOGIN_REFUSED')
    await replacePin(`${WRONG}\n`)
    expect(await ask(one)).toBe('ERR_LOGIN_REFUSED')
    expect(one.logins()).toBe(1)
    await replacePin('88888888')
    for (let i = 0; i < 3; i++) expect(await ask(one)).toBe('ERR_LOGIN_REFUSED')
    expect(one.logins()).toBe(2)
    await replacePin(WRONG)
    expect(await ask(one)).toBe('ERR_LOGIN_REFUSED')
    expect(one.logins()).toBe(2)
  })

  test('two keys on one token try a wrong PIN once between them, also when they start at once', async () => {
    const one = await setUp(WRONG)
    const two = open('kek-2')
    expect(await Promise.all([ask(one), ask(two)])).toEqual(['ERR_LOGIN_REFUSED', 'ERR_LOGIN_REFUSED'])
    expect(one.logins() + two.logins()).toBe(1)
  })

  const namings = {
    label: () => ({ tokenLabel: hsm.tokenLabel }),
    serial: () => ({ tokenSerial: hsm.names().serial }),
    slot: () => ({ slot: hsm.names().slot }),
    'label and serial': () => ({ tokenLabel: hsm.tokenLabel, tokenSerial: hsm.names().serial }),
    uri: () => ({ uri: `pkcs11:serial=${hsm.names().serial};manufacturer=SoftHSM%20project` }),
  }

  /** With a state folder, where COUNT_LOW alone keeps nobody from a try. */
  function openAs(change: Partial<Pkcs11Settings>): Opened {
    const one = openOn(hsm, change, { stateDir: join(hsm.dir, 'state') })
    opened.push(one)
    return one
  }

  test('one token under all its names is sent a wrong PIN once', async () => {
    await setUp(WRONG)
    for (const naming of Object.values(namings)) {
      expect(await ask(openAs({ tokens: [naming()] }))).toBe('ERR_LOGIN_REFUSED')
    }
    expect(opened.map((one) => one.logins())).toEqual([0, 1, 0, 0, 0, 0])
    expect(await readdir(join(hsm.dir, 'state'))).toHaveLength(1)
  })

  test('so is one that a list names twice', async () => {
    await setUp(WRONG)
    const one = openAs({ tokens: [namings.label(), namings.serial()] })
    for (let i = 0; i < 5; i++) expect(await ask(one)).toBe('ERR_LOGIN_REFUSED')
    await expect.poll(() => one.starts()).toBe(2)
    await one.wrapper.close()
    expect(one.logins()).toBe(1)
  })

  test('so is one whose module was upgraded behind a symlink meanwhile', async () => {
    await setUp(WRONG)
    const module = join(hsm.dir, 'current.so')
    const upgrade = async (version: string): Promise<void> => {
      await copyFile(hsm.module, join(hsm.dir, version))
      await chmod(join(hsm.dir, version), 0o755)
      await rm(module, { force: true })
      await symlink(version, module)
    }
    for (const version of ['v1.so', 'v2.so']) {
      await upgrade(version)
      expect(await ask(openAs({ module }))).toBe('ERR_LOGIN_REFUSED')
    }
    expect(opened.map((one) => one.logins())).toEqual([0, 1, 0])
  })

  test('so is one whose PIN worked before under another name', async () => {
    await setUp('24681357')
    const one = openAs({})
    expect(await ask(one)).toBe('OK')
    await replacePin(WRONG)
    process.kill(one.pid(), 'SIGKILL')
    await expect.poll(async () => ask(one), { timeout: 10_000 }).toBe('ERR_LOGIN_REFUSED')
    const two = openAs({ tokens: [namings.serial()] })
    expect(await ask(two)).toBe('ERR_LOGIN_REFUSED')
    expect([one.logins(), two.logins()]).toEqual([2, 0])
  })

  test('the refusal names the token, the file and that nothing is tried again, and not the PIN', async () => {
    const one = await setUp(WRONG)
    const failure: unknown = await one.wrapper.currentKeyId(soon()).catch((error: unknown) => error)
    const { message } = failure as Error
    expect(message).toContain(hsm.tokenLabel)
    expect(message).toContain(hsm.pinFile)
    expect(message).toContain('not tried again')
    expect(message).toContain('restart the plugin')
    expect(message + JSON.stringify(one.log.lines)).not.toContain(WRONG)
  })

  test('a login that ended without an answer is repeated, but not while the token counts a failed one', async () => {
    const one = await setUp('24681357')
    const { serial } = hsm.names()
    const told = { manufacturerID: 'SoftHSM project', model: 'SoftHSM v2', flags: 0 }
    const info = { ...told, serialNumber: serial, label: hsm.tokenLabel }
    const memory = loginMemoryOf(tokenIdentity(info, Buffer.alloc(8), ''), undefined)
    const unanswered = async () => {
      const identity = (await pinFileIdentity(hsm.pinFile))!
      await (await memory.begin(identity, new AbortController().signal, one.log))?.abandon()
    }
    await unanswered()
    expect(await ask(one)).toBe('OK')
    await one.wrapper.close()
    pinCountLow()
    await unanswered()
    const two = open()
    expect(await ask(two)).toBe('ERR_LOGIN_REFUSED')
    expect(two.logins()).toBe(0)
    hsm.change({ do: 'login' })
    await expect.poll(async () => ask(two), { timeout: 10_000 }).toBe('OK')
  })

  test('a token that counts a failed login is left alone by a program that would not know whose it was', async () => {
    const one = await setUp('24681357')
    pinCountLow()
    for (let i = 0; i < 5; i++) expect(await ask(one)).toBe('ERR_LOGIN_REFUSED')
    expect(one.logins()).toBe(0)
    const failure: unknown = await one.wrapper.currentKeyId(soon()).catch((error: unknown) => error)
    expect((failure as Error).message).toContain('log in to it once by hand')
    expect((failure as Error).message).toContain('server.stateDir')
    hsm.change({ do: 'login' })
    await expect.poll(async () => ask(one), { timeout: 10_000 }).toBe('OK')
    expect(one.starts()).toBeLessThan(10)
  })

  test('it is not left alone by one that was logged in with this PIN file before, nor by one with a state folder', async () => {
    const one = await setUp('24681357')
    expect(await ask(one)).toBe('OK')
    pinCountLow()
    process.kill(one.pid(), 'SIGKILL')
    await expect.poll(async () => ask(one), { timeout: 10_000 }).toBe('OK')
    pinCountLow()
    expect(await ask(open('kek', join(hsm.dir, 'state')))).toBe('OK')
  })

  test('with a state folder, the refusal names the file whose deletion has the PIN tried again, while it runs', async () => {
    await setUp(WRONG)
    const dir = join(hsm.dir, 'state')
    const one = open('kek', dir)
    expect(await ask(one)).toBe('ERR_LOGIN_REFUSED')
    const failure: unknown = await one.wrapper.currentKeyId(soon()).catch((error: unknown) => error)
    const [file = '', ...more] = await readdir(dir)
    expect(more).toEqual([])
    expect((failure as Error).message).toContain(`delete ${join(dir, file)}`)
    hsm.change({ do: 'setPin', pin: WRONG })
    expect(await ask(one)).toBe('ERR_LOGIN_REFUSED')
    await rm(join(dir, file))
    expect(await ask(one)).toBe('OK')
    expect(one.logins()).toBe(2)
    await expect.poll(async () => readdir(dir)).toEqual([])
  })

  test('a state folder that is gone, or made anew, releases nothing, and the file is there again', async () => {
    await setUp(WRONG)
    const dir = join(hsm.dir, 'state')
    const one = open('kek', dir)
    expect(await ask(one)).toBe('ERR_LOGIN_REFUSED')
    const files = await readdir(dir)
    hsm.change({ do: 'setPin', pin: WRONG })
    for (const isMadeAnew of [false, true]) {
      await rm(dir, { recursive: true })
      if (isMadeAnew) await mkdir(dir, { mode: 0o700 })
      expect(await ask(one)).toBe('ERR_LOGIN_REFUSED')
      await expect.poll(async () => readdir(dir).catch(() => [])).toEqual(files)
    }
    expect(one.logins()).toBe(1)
    await rm(join(dir, files[0] ?? ''))
    expect(await ask(one)).toBe('OK')
  })

  test('a command leaves the tries to the plugin: none while the token counts a failed login, and no PIN is blamed', async () => {
    const one = await setUp('24681357')
    pinCountLow()
    const errors = async () =>
      (await backend.check(settingsOf(hsm), one.deps)).filter(({ level }) => level === 'error')
    for (let i = 0; i < 2; i++) {
      const [error, ...more] = await errors()
      expect(error?.subject).toBe('keys.hsm.pin')
      expect(error?.text).toContain('failed recently')
      expect(more).toEqual([])
    }
    expect(await outcomeOf(backend.keygen!(settingsOf(hsm, { keyLabel: 'new' }), one.deps))).toBe(
      'ERR_LOGIN_REFUSED',
    )
    // The wrapper that a command opens for its round trip is as careful.
    expect(await ask(one)).toBe('ERR_LOGIN_REFUSED')
    expect(one.logins()).toBe(0)
    hsm.change({ do: 'login' })
    expect(await errors()).toEqual([])
    expect(one.logins()).toBe(1)
    expect(await ask(open())).toBe('OK')
  })

  test('so does the wrapper of a command that looks at nothing before, as inspect', async () => {
    const one = await setUp('24681357')
    pinCountLow()
    const wrapper = backend.open(settingsOf(hsm), { ...one.deps, isCommand: true })
    expect(await outcomeOf(wrapper.currentKeyId(soon()))).toBe('ERR_LOGIN_REFUSED')
    expect(one.logins()).toBe(0)
    await wrapper.close()
    hsm.change({ do: 'login' })
  })

  test('a PIN file with no newline, one, or that of Windows is the same PIN', async () => {
    await setUp('')
    for (const end of ['', '\n', '\r\n']) {
      await replacePin(`${hsm.pin}${end}`)
      expect(await ask(open())).toBe('OK')
    }
    await replacePin('\n')
    const none = open()
    expect(await ask(none)).toBe('ERR_CONFIG_INVALID')
    expect(none.logins()).toBe(0)
  })

  test('a PIN that changes on the token and in its file does not disturb a process that is logged in', async () => {
    const one = await setUp('24681357')
    expect(await ask(one)).toBe('OK')
    hsm.change({ do: 'setPin', pin: '11223344' })
    await replacePin('11223344')
    expect(await ask(one)).toBe('OK')
    expect(one.starts()).toBe(1)
    process.kill(one.pid(), 'SIGKILL')
    await expect.poll(async () => ask(one), { timeout: 10_000 }).toBe('OK')
    expect(one.logins()).toBe(2)
  })

  test('a file that turns readable by others does not disturb it either, and stops the next process', async () => {
    const one = await setUp('24681357')
    expect(await ask(one)).toBe('OK')
    await chmod(hsm.pinFile, 0o644)
    expect(await ask(one)).toBe('OK')
    expect(await ask(open())).toBe('ERR_CONFIG_INVALID')
  })

  test('a PIN file that is only touched gives a refused PIN no second try', async () => {
    const one = await setUp(WRONG)
    expect(await ask(one)).toBe('ERR_LOGIN_REFUSED')
    await utimes(hsm.pinFile, new Date(), new Date())
    expect(await ask(one)).toBe('ERR_LOGIN_REFUSED')
    await rm(hsm.pinFile)
    expect(await ask(one)).toBe('ERR_CONFIG_INVALID')
    expect(one.logins()).toBe(1)
  })

  test('the PIN stands in no argument, environment variable or log line', async () => {
    const one = await setUp('24681357\n')
    expect(await ask(one)).toBe('OK')
    const proc = `/proc/${one.pid()}`
    const seen = (await readFile(`${proc}/cmdline`, 'utf8')) + (await readFile(`${proc}/environ`, 'utf8'))
    expect(seen).toContain('SOFTHSM2_CONF')
    expect(seen + JSON.stringify(one.log.lines)).not.toContain(hsm.pin)
  })
})
