/** What happens when the HSM process or what stands behind it goes away, and that it comes back. */
import { spawn } from 'node:child_process'
import { readFile, rename, utimes, writeFile } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { WrappedDek } from '../../../src/ports/key_wrapper.js'
import { outcomeOf } from '../../doubles/outcome.js'
import {
  faultModuleMissing,
  makeFaultModule,
  onFaultModule,
  overlapping,
  type FaultModule,
} from '../../support/fault_module.js'
import { until } from '../../support/plugin.js'
import { compiled } from '../../support/compiled.js'
import { hsmEntry, makeSoftHsm, onSoftHsm, softHsmMissing, type SoftHsm } from '../../support/softhsm.js'
import { openOn, settingsOf, soon, type Opened } from './opened.js'

/** Gone, or only waiting to be reaped. */
async function isGone(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => 'State:\tX')
  return /State:\t[XZ]/.test(status)
}

describe.skipIf(softHsmMissing !== undefined)(onSoftHsm('the HSM process'), () => {
  let hsm: SoftHsm
  let opened: Opened
  const dek = randomBytes(32)

  beforeEach(async () => {
    hsm = await makeSoftHsm()
    hsm.change({ do: 'makeAes', label: 'kek', modifiable: true })
    opened = openOn(hsm)
  })

  afterEach(async () => {
    await opened.wrapper.close()
    await hsm.remove()
  })

  const works = async () => (await outcomeOf(opened.wrapper.wrap(dek, soon()))) === 'OK'

  test('killed while calls run: they fail with ERR_BACKEND_UNAVAILABLE, and the next call works', async () => {
    const { wrapper, pid, restarts } = opened
    expect(await works()).toBe(true)
    // It stands still, so that all of them are in flight.
    process.kill(pid(), 'SIGSTOP')
    const calls = Array.from({ length: 64 }, async () => outcomeOf(wrapper.wrap(dek, soon())))
    process.kill(pid(), 'SIGKILL')
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['ERR_BACKEND_UNAVAILABLE']))
    expect(await works()).toBe(true)
    expect(restarts()).toBe(1)
  })

  test('killed while idle: calls work again without anybody noticing but the counter', async () => {
    expect(await works()).toBe(true)
    process.kill(opened.pid(), 'SIGKILL')
    await until(async () => opened.log.texts('warn').includes('HSM process ended'))
    expect(await works()).toBe(true)
    expect(opened.restarts()).toBe(1)
  })

  test('stopped: a call answers at its deadline, then the process is replaced and calls work', async () => {
    await opened.wrapper.close()
    opened = openOn(hsm, {}, { callTimeoutMs: 300 })
    expect(await works()).toBe(true)
    const stopped = opened.pid()
    process.kill(stopped, 'SIGSTOP')
    expect(await outcomeOf(opened.wrapper.wrap(dek, soon(300)))).toBe('ERR_DEADLINE_EXCEEDED')
    await until(works)
    expect(opened.pid()).not.toBe(stopped)
    expect(await isGone(stopped)).toBe(true)
  })

  test('a signal meant for the plugin does not end it', async () => {
    expect(await works()).toBe(true)
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'] as const) {
      process.kill(opened.pid(), signal)
      expect(await works()).toBe(true)
    }
    expect(opened.starts()).toBe(1)
  })

  test('its environment holds what the allow-list names and what Node needs, and it leaves no core', async () => {
    await opened.wrapper.close()
    const env = { NODE_OPTIONS: '--no-warnings', LD_PRELOAD: '', SECRET_TOKEN: 'x', TZ: 'UTC' }
    opened = openOn(hsm, {}, { env })
    expect(await works()).toBe(true)
    const proc = `/proc/${opened.pid()}`
    const names = (await readFile(`${proc}/environ`, 'utf8'))
      .split('\0')
      .map((variable) => variable.split('=')[0])
      .filter((name) => name !== '' && !name?.startsWith('NODE_CHANNEL'))
    expect(names.sort()).toEqual(['SOFTHSM2_CONF', 'TZ'])
    expect(parseInt(await readFile(`${proc}/coredump_filter`, 'utf8'), 16)).toBe(0)
  })

  test('a token that goes away is an outage, and one that comes back is found without our restart', async () => {
    expect(await works()).toBe(true)
    const aside = join(hsm.dir, 'aside')
    await rename(hsm.tokenDir, aside)
    for (let i = 0; i < 3; i++) {
      expect(await outcomeOf(opened.wrapper.currentKeyId(soon()))).toBe('ERR_BACKEND_UNAVAILABLE')
    }
    await rename(aside, hsm.tokenDir)
    await until(works)
  })

  test('a KEK that was replaced under its label has another key id, and the old one opens nothing more', async () => {
    const { wrapper } = opened
    const old = await wrapper.wrap(dek, soon())
    hsm.change({ do: 'destroy', label: 'kek' }, { do: 'makeAes', label: 'kek' })
    expect(await outcomeOf(wrapper.unwrap(old, soon()))).toMatch(/^ERR_KEY_(UNKNOWN|NOT_FOUND)$/)
    const id = await wrapper.currentKeyId(soon())
    expect(id).not.toBe(old.keyId)
    expect(await outcomeOf(wrapper.unwrap(old, soon()))).toBe('ERR_KEY_NOT_FOUND')
    expect((await wrapper.wrap(dek, soon())).keyId).toBe(id)
    expect(opened.log.texts('warn')).toContain('another KEK has taken the place of the one on the token')
  })

  test('a KEK whose label went to another one still opens what it wrapped, and wraps nothing more', async () => {
    const { wrapper } = opened
    const old = await wrapper.wrap(dek, soon())
    hsm.change({ do: 'relabel', label: 'kek', to: 'kek-old' }, { do: 'makeAes', label: 'kek' })
    // Beside it on the same token, as the operator would have the old one.
    const beside = openOn(hsm, { keyLabel: 'kek-old' }, { isPrimary: false })
    const isOpened = async () => {
      for (const each of [wrapper, beside.wrapper]) {
        expect(Buffer.from(await each.unwrap(old, soon())).equals(dek)).toBe(true)
        expect(each.recognizes(old.keyId)).toBe('yes')
      }
    }
    await isOpened()
    const id = await wrapper.currentKeyId(soon())
    expect(id).not.toBe(old.keyId)
    await isOpened()
    const next = await wrapper.wrap(dek, soon())
    expect(next.keyId).toBe(id)
    await isOpened()
    expect(Buffer.from(await wrapper.unwrap(next, soon())).equals(dek)).toBe(true)
    expect(beside.wrapper.recognizes(id)).toBe('no')
    await beside.wrapper.close()
  })

  test('a DEK wrapped by a KEK that has just taken the place of another carries the new key id', async () => {
    const { wrapper } = opened
    const old = await wrapper.wrap(dek, soon())
    hsm.change({ do: 'destroy', label: 'kek' }, { do: 'makeAes', label: 'kek' })
    const wrapped = await wrapper.wrap(dek, soon())
    expect(wrapped.keyId).not.toBe(old.keyId)
    expect(Buffer.from(await wrapper.unwrap(wrapped, soon())).equals(dek)).toBe(true)
  })

  test('a KEK that was deleted: ERR_KEY_NOT_FOUND from every call', async () => {
    const { wrapper } = opened
    const old = await wrapper.wrap(dek, soon())
    hsm.change({ do: 'destroy', label: 'kek' })
    expect(await outcomeOf(wrapper.currentKeyId(soon()))).toBe('ERR_KEY_NOT_FOUND')
    expect(await outcomeOf(wrapper.wrap(dek, soon()))).toBe('ERR_KEY_NOT_FOUND')
    expect(await outcomeOf(wrapper.unwrap(old, soon()))).toBe('ERR_KEY_NOT_FOUND')
  })

  test('a key id that no key on the token has stays unopened when the label leads nowhere', async () => {
    const old = await opened.wrapper.wrap(dek, soon())
    await opened.wrapper.close()
    hsm.change({ do: 'destroy', label: 'kek' }, { do: 'makeAes', label: 'other', emptyId: true })
    for (const keys of ['none but one without CKA_ID', 'another']) {
      opened = openOn(hsm)
      expect(await outcomeOf(opened.wrapper.unwrap(old, soon())), keys).toBe('ERR_KEY_NOT_FOUND')
      expect(opened.wrapper.recognizes(old.keyId)).toBe('unknown')
      await opened.wrapper.close()
      hsm.change({ do: 'makeAes', label: 'another' })
    }
  })

  test('a second key with its label, or another label, stops sealing and not opening, before and after a restart', async () => {
    const wrapped = await opened.wrapper.wrap(dek, soon())
    const cases = [
      ['ERR_KEY_UNUSABLE', { do: 'makeAes', label: 'kek' }],
      ['ERR_KEY_NOT_FOUND', { do: 'destroy', label: 'kek' }],
    ] as const
    hsm.change({ do: 'relabel', label: 'kek', to: 'moved' })
    for (const [code, step] of cases) {
      if (code === 'ERR_KEY_UNUSABLE') hsm.change(step, step)
      else hsm.change(step)
      for (const when of ['before', 'after']) {
        const { wrapper } = opened
        const open = async () => Buffer.from(await wrapper.unwrap(wrapped, soon())).equals(dek)
        expect(await open(), `${code} ${when}`).toBe(true)
        expect(await outcomeOf(wrapper.wrap(dek, soon()))).toBe(code)
        expect(await open()).toBe(true)
        expect(wrapper.recognizes(wrapped.keyId)).toBe('yes')
        await wrapper.close()
        opened = openOn(hsm)
      }
    }
  })

  test('of several keys with one CKA_ID the one with the right check value opens', async () => {
    const id = '0123456789abcdef0123456789abcdef'
    const twin = { do: 'makeAes', label: 'twin', id } as const
    hsm.change({ ...twin, bytes: 16 }, { do: 'makeAes', label: 'mine', id }, twin, {
      ...twin,
      encrypt: false,
    })
    await opened.wrapper.close()
    opened = openOn(hsm, { keyLabel: 'mine' })
    const wrapped = await opened.wrapper.wrap(dek, soon())
    expect(Buffer.from(await opened.wrapper.unwrap(wrapped, soon())).equals(dek)).toBe(true)
    await opened.wrapper.close()
    opened = openOn(hsm, { keyLabel: 'twin' })
    expect(Buffer.from(await opened.wrapper.unwrap(wrapped, soon())).equals(dek)).toBe(true)
  })

  test('a wrapper that opens for another one does not forget its own KEK', async () => {
    hsm.change({ do: 'makeAes', label: 'kek-2' })
    const own = await opened.wrapper.wrap(dek, soon())
    await opened.wrapper.close()
    const two = openOn(hsm, { keyLabel: 'kek-2' })
    const foreign = await two.wrapper.wrap(dek, soon())
    await two.wrapper.close()
    hsm.change({ do: 'relabel', label: 'kek', to: 'moved' })
    opened = openOn(hsm)
    const { wrapper } = opened
    expect(await outcomeOf(wrapper.unwrap(foreign, soon()))).toBe('OK')
    expect(wrapper.recognizes(own.keyId)).toBe('unknown')
    expect(await outcomeOf(wrapper.unwrap(own, soon()))).toBe('OK')
    hsm.change({ do: 'relabel', label: 'moved', to: 'kek' })
    expect(await wrapper.currentKeyId(soon())).toBe(own.keyId)
    expect(await outcomeOf(wrapper.unwrap(own, soon()))).toBe('OK')
  })

  /**
   * A plugin of a few lines, which is killed as soon as `pidIn` finds the pid of its HSM process in its log.
   *
   * @returns That pid.
   */
  async function orphan(module: string, pidIn: (log: string) => number | undefined): Promise<number> {
    const index = compiled('src/adapters/backends/pkcs11/index.ts', hsm.dir)
    const script = join(hsm.dir, 'plugin.mjs')
    const settings = JSON.stringify(settingsOf(hsm, { module }))
    await writeFile(
      script,
      `import { pkcs11Backend } from '${index}'
      const say = (text, fields) => console.log(text, JSON.stringify(fields))
      const logger = { debug: say, info: say, warn: say, error: say }
      const clock = { nowMs: () => performance.now(), sleep: (ms) => new Promise((done) => setTimeout(done, ms)) }
      const deps = { key: 'k', clock, logger, callTimeoutMs: 60000, env: process.env, onRestart() {} }
      await pkcs11Backend(new URL('${hsmEntry.href}')).open(${settings}, deps).currentKeyId({ deadlineMs: clock.nowMs() + 60000 })
      setInterval(() => {}, 1000)`,
    )
    const plugin = spawn(process.execPath, [script], {
      env: { ...process.env, ...hsm.env },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    plugin.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
    let found: number | undefined
    await until(() => (found = pidIn(output)) !== undefined)
    const pid = Number(found)
    expect(await isGone(pid)).toBe(false)
    plugin.kill('SIGKILL')
    return pid
  }

  test('it ends when the plugin is killed', async () => {
    const pid = await orphan(hsm.module, (log) =>
      log.includes('HSM process ready') ? Number(/"pid":(\d+)/.exec(log)?.[1]) : undefined,
    )
    await until(async () => isGone(pid))
  })

  describe.skipIf(faultModuleMissing !== undefined)(onFaultModule('with a module that fails'), () => {
    let fault: FaultModule
    let wrapped: WrappedDek

    beforeEach(async () => {
      fault = makeFaultModule(hsm)
      await opened.wrapper.close()
      opened = openOn(hsm, { module: fault.path }, { callTimeoutMs: 500 })
      wrapped = await opened.wrapper.wrap(dek, soon())
    })

    const waiting = (name: string) =>
      fault.calls().find((call) => call.name === name && call.rv === undefined)
    const unwrap = async (within = 20_000) => outcomeOf(opened.wrapper.unwrap(wrapped, soon(within)))

    test('logged out: it logs in again, once for all calls that wait, and no call fails', async () => {
      fault.set(['C_DecryptInit logout times=1'])
      const outcomes = await Promise.all(Array.from({ length: 16 }, async () => unwrap()))
      expect(new Set(outcomes)).toEqual(new Set(['OK']))
      expect([opened.starts(), opened.logins()]).toEqual([1, 2])
      const calls = fault.calls()
      expect(calls.filter(({ name }) => name === 'C_Login')).toHaveLength(2)
      expect(overlapping(calls).filter(([a, b]) => a.session !== '0' && a.session === b.session)).toEqual([])
    })

    test('logged out and refused: the PIN is tried once more and never again, until its file changes', async () => {
      fault.set(['C_Login rv=0xa0', 'C_FindObjectsInit logout times=1'])
      expect(await outcomeOf(opened.wrapper.currentKeyId(soon()))).toBe('ERR_LOGIN_REFUSED')
      for (let i = 0; i < 3; i++) expect(await unwrap()).toBe('ERR_LOGIN_REFUSED')
      expect([opened.starts(), opened.logins()]).toEqual([1, 2])
      fault.heal()
      hsm.change({ do: 'setPin', pin: '11223344' })
      await writeFile(hsm.pinFile, '11223344')
      expect(await unwrap()).toBe('OK')
      expect([opened.starts(), opened.logins()]).toEqual([2, 3])
    })

    test('a user PIN that is not set yet is asked for again by itself', async () => {
      await opened.wrapper.close()
      fault.set(['C_Login rv=0x102'])
      opened = openOn(hsm, { module: fault.path })
      expect(await unwrap()).toBe('ERR_LOGIN_REFUSED')
      fault.heal()
      await expect.poll(unwrap, { timeout: 20_000 }).toBe('OK')
    })

    test('a PIN that is locked or expired is not held against the PIN: a touched file is tried again', async () => {
      for (const rv of ['0xa3', '0xa4']) {
        await opened.wrapper.close()
        fault.set([`C_Login rv=${rv}`])
        opened = openOn(hsm, { module: fault.path })
        for (let i = 0; i < 3; i++) expect(await unwrap(), rv).toBe('ERR_LOGIN_REFUSED')
        expect([opened.starts(), opened.logins()]).toEqual([1, 1])
        fault.heal()
        expect(await unwrap(), rv).toBe('ERR_LOGIN_REFUSED')
        await utimes(hsm.pinFile, new Date(), new Date())
        expect(await unwrap(), rv).toBe('OK')
        expect([opened.starts(), opened.logins()]).toEqual([2, 2])
      }
    })

    test('all sessions closed under it: it opens new ones and logs in again, and no call fails', async () => {
      fault.set(['C_FindObjectsInit closeall times=1'])
      expect(await works()).toBe(true)
      fault.set(['C_DecryptInit closeall times=1'])
      expect(await unwrap()).toBe('OK')
      expect(opened.starts()).toBe(1)
    })

    test('altered bytes are told from a bad device by a round trip under the KEK, and the process stays', async () => {
      const bytes = Buffer.from(wrapped.bytes)
      bytes.writeUInt8(bytes.readUInt8(30) ^ 1, 30)
      const altered = async () => outcomeOf(opened.wrapper.unwrap({ ...wrapped, bytes }, soon()))
      expect(await altered()).toBe('ERR_DECRYPTION_FAILED')
      for (const rv of ['0x5', '0x6', '0x20', '0x21', '0x80000001']) {
        fault.set([`C_Decrypt rv=${rv} times=1`])
        expect(await altered(), rv).toBe('ERR_DECRYPTION_FAILED')
      }
      for (const rv of ['0x40', '0x41', '0x42']) {
        fault.set([`C_Decrypt rv=${rv}`])
        expect(await unwrap()).toBe('ERR_DECRYPTION_FAILED')
      }
      fault.heal()
      expect(await unwrap()).toBe('OK')
      expect(opened.starts()).toBe(1)
    })

    test('a device that fails once does not make good bytes bad', async () => {
      for (const rv of ['0x5', '0x6', '0x80000001']) {
        fault.set([`C_Decrypt rv=${rv} times=1`])
        expect(await unwrap(), rv).toBe('OK')
      }
      expect(opened.starts()).toBe(1)
    })

    test('a device that decrypts nothing at all is unavailable, and the next call has a new process', async () => {
      for (const rv of ['0x5', '0x6', '0x20', '0x80000001']) {
        const starts = opened.starts()
        fault.set([`C_Decrypt rv=${rv}`])
        expect(await unwrap(), rv).toBe('ERR_BACKEND_UNAVAILABLE')
        fault.heal()
        await until(async () => (await unwrap()) === 'OK')
        expect(opened.starts()).toBeGreaterThan(starts)
      }
    })

    test('logged out between a doubtful answer and its proof: it logs in again, and the call does not fail', async () => {
      fault.set(['C_Decrypt rv=0x5 times=1', 'C_FindObjectsInit logout times=1'])
      expect(await unwrap()).toBe('OK')
      expect([opened.starts(), opened.logins()]).toEqual([1, 2])
    })

    test('a process that answers nothing but faults is replaced after the fifth, whatever they are', async () => {
      for (const rv of ['0x2', '0x31', '0xb1']) {
        const starts = opened.starts()
        fault.set([`C_EncryptInit rv=${rv}`])
        for (let i = 0; i < 4; i++) {
          expect(await outcomeOf(opened.wrapper.wrap(dek, soon()))).toBe('ERR_BACKEND_UNAVAILABLE')
        }
        // A success in between starts the count anew.
        expect(await unwrap()).toBe('OK')
        for (let i = 0; i < 5; i++) {
          expect(opened.starts()).toBe(starts)
          expect(await outcomeOf(opened.wrapper.wrap(dek, soon()))).toBe('ERR_BACKEND_UNAVAILABLE')
        }
        fault.heal()
        await until(works)
        expect(opened.starts()).toBe(starts + 1)
      }
    })

    test('device gone: ERR_BACKEND_UNAVAILABLE, and the next call has a new process', async () => {
      for (const rv of ['0x5', '0x6', '0x30', '0x32', '0xe0', '0x190', '0x3ff', '0x80000001']) {
        const starts = opened.starts()
        fault.set([`C_EncryptInit rv=${rv}`])
        expect(await outcomeOf(opened.wrapper.wrap(dek, soon()))).toBe('ERR_BACKEND_UNAVAILABLE')
        fault.heal()
        await until(works)
        expect(opened.starts()).toBeGreaterThan(starts)
      }
    })

    test('a session that stays gone is left to a new process', async () => {
      fault.set(['C_EncryptInit rv=0xb3'])
      expect(await outcomeOf(opened.wrapper.wrap(dek, soon()))).toBe('ERR_BACKEND_UNAVAILABLE')
      fault.heal()
      expect(await works()).toBe(true)
      expect(opened.starts()).toBe(2)
    })

    test('a crash of the module fails the calls in it and nothing else', async () => {
      fault.set(['C_Decrypt segv'])
      expect(await unwrap()).toBe('ERR_BACKEND_UNAVAILABLE')
      fault.heal()
      expect(await unwrap()).toBe('OK')
    })

    test('a call that hangs leaves at its deadline, others are served meanwhile, then it is killed', async () => {
      fault.set(['C_Decrypt hang'])
      const first = opened.pid()
      expect(await unwrap(100)).toBe('ERR_DEADLINE_EXCEEDED')
      expect(await works()).toBe(true)
      await until(async () => isGone(first))
      fault.heal()
      expect(await unwrap()).toBe('OK')
    })

    test('a login that fails for another reason than the PIN is tried again', async () => {
      await opened.wrapper.close()
      fault.set(['C_Login rv=0x30'])
      opened = openOn(hsm, { module: fault.path })
      expect(await outcomeOf(opened.wrapper.currentKeyId(soon()))).toBe('ERR_BACKEND_UNAVAILABLE')
      fault.heal()
      expect(await works()).toBe(true)
    })

    test('a start that hangs: callers leave at their deadlines, and closing ends it', async () => {
      await opened.wrapper.close()
      fault.set(['C_Initialize hang'])
      opened = openOn(hsm, { module: fault.path })
      const { wrapper, pid } = opened
      expect(await outcomeOf(wrapper.currentKeyId(soon(100)))).toBe('ERR_DEADLINE_EXCEEDED')
      await until(() => waiting('C_Initialize') !== undefined)
      await wrapper.close()
      expect(await isGone(pid())).toBe(true)
    })

    test('it ends when the plugin is killed, though a thread of it never returns', async () => {
      fault.set(['C_Initialize hang'])
      const pid = await orphan(fault.path, () => waiting('C_Initialize')?.pid)
      await until(async () => isGone(pid))
    })
  })
})
