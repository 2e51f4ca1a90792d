/** What is tried before the HSM process is replaced, and what a token does that is odd but right. */
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { WrappedDek } from '../../../src/ports/key_wrapper.js'
import { outcomeOf } from '../../doubles/outcome.js'
import {
  faultModuleMissing,
  makeFaultModule,
  overlapping,
  type FaultModule,
  type Pkcs11Call,
} from '../../support/fault_module.js'
import { until } from '../../support/plugin.js'
import { makeSoftHsm, softHsmMissing, type SoftHsm } from '../../support/softhsm.js'
import { openOn, soon, type Opened } from './opened.js'

const missing = softHsmMissing ?? faultModuleMissing
const title = 'an HSM process whose device fails'

describe.skipIf(missing !== undefined)(
  missing === undefined ? title : `${title} (skipped: ${missing})`,
  () => {
    const dek = randomBytes(32)
    let hsm: SoftHsm
    let fault: FaultModule
    let opened: Opened
    let wrapped: WrappedDek

    beforeEach(async () => {
      hsm = await makeSoftHsm()
      hsm.change({ do: 'makeAes', label: 'kek' })
      fault = makeFaultModule(hsm)
      opened = openOn(hsm, { module: fault.path }, { callTimeoutMs: 500 })
      wrapped = await opened.wrapper.wrap(dek, soon())
      // All of its threads are at work.
      await Promise.all(Array.from({ length: 16 }, async () => unwrap()))
    })

    afterEach(async () => {
      await opened.wrapper.close()
      await hsm.remove()
    })

    const unwrap = async (within = 20_000) => outcomeOf(opened.wrapper.unwrap(wrapped, soon(within)))
    const many = async () => new Set(await Promise.all(Array.from({ length: 16 }, async () => unwrap())))
    const decryptions = () =>
      fault.calls().filter(({ name, pid }) => name === 'C_Decrypt' && pid === opened.pid())
    const mostAtOnce = () =>
      Math.max(
        ...decryptions().map(({ beganMs }) => {
          const isUnderWay = (each: Pkcs11Call) => each.beganMs <= beganMs && each.endedMs > beganMs
          return decryptions().filter(isUnderWay).length
        }),
      )
    const count = (name: string) => fault.calls().filter((call) => call.name === name).length

    test('sessions that died are replaced: no call fails, and nothing is initialised or logged in for it', async () => {
      fault.set(['generation=1'])
      expect(await many()).toEqual(new Set(['OK']))
      expect(opened.starts()).toBe(1)
      expect(count('C_Finalize')).toBe(0)
    })

    test('a module that wants to be initialised anew is, in the same process, and no call fails', async () => {
      for (const round of [1, 2, 3]) {
        fault.set([`needinit=${round}`])
        expect(await many()).toEqual(new Set(['OK']))
        expect(count('C_Finalize')).toBe(round)
      }
      expect([opened.starts(), opened.logins()]).toEqual([1, 4])
    })

    test('C_Finalize is never called while another call is under way, and no session is used by two at once', async () => {
      fault.set(['needinit=1', 'C_DecryptInit delay=5 jitter=5'])
      await many()
      fault.set(['needinit=2', 'C_DecryptInit delay=5 jitter=5'])
      await many()
      const pairs = overlapping(fault.calls())
      expect(pairs.filter((pair) => pair.some(({ name }) => name === 'C_Finalize'))).toEqual([])
      expect(pairs.filter(([a, b]) => a.session !== '0' && a.session === b.session)).toEqual([])
    })

    test('while a call hangs the module is not finalised under it: the process is replaced', async () => {
      fault.set(['C_Decrypt hang times=1', 'C_DecryptInit rv=0x30 after=1'])
      const hanging = unwrap()
      await until(() => fault.calls().some(({ name, rv }) => name === 'C_Decrypt' && rv === undefined))
      expect(await unwrap()).toBe('ERR_BACKEND_UNAVAILABLE')
      expect(await hanging).toBe('ERR_BACKEND_UNAVAILABLE')
      fault.heal()
      expect(await many()).toEqual(new Set(['OK']))
      expect(opened.starts()).toBe(2)
      expect(count('C_Finalize')).toBe(0)
    })

    test('what initialising does not mend is left to a new process: once each, then the callers are told', async () => {
      fault.set(['C_DecryptInit rv=0x30'])
      expect(await unwrap()).toBe('ERR_BACKEND_UNAVAILABLE')
      expect([opened.starts(), count('C_Finalize')]).toEqual([1, 1])
      fault.heal()
      expect(await unwrap()).toBe('OK')
      expect([opened.starts(), count('C_Finalize')]).toEqual([2, 1])
    })

    test('a C_Finalize or C_Initialize that hangs ends with its process', async () => {
      for (const name of ['C_Finalize', 'C_Initialize']) {
        const before = opened.starts()
        fault.set(['C_DecryptInit rv=0x30 times=1', `${name} stuck times=1`])
        expect(await unwrap()).toBe('ERR_BACKEND_UNAVAILABLE')
        fault.heal()
        expect(await unwrap()).toBe('OK')
        expect(opened.starts()).toBe(before + 1)
      }
    })

    test('a token that was taken out is an outage and no missing key; put back, it is found without a restart', async () => {
      fault.set(['removed=1'])
      for (let i = 0; i < 3; i += 1) {
        expect(await unwrap()).toBe('ERR_BACKEND_UNAVAILABLE')
        expect(await outcomeOf(opened.wrapper.currentKeyId(soon()))).toBe('ERR_BACKEND_UNAVAILABLE')
      }
      fault.heal()
      await until(async () => (await unwrap()) === 'OK')
    })

    test('a library that aborts takes its process with it and nothing else', async () => {
      fault.set(['C_DecryptInit abort'])
      expect(await unwrap()).toBe('ERR_BACKEND_UNAVAILABLE')
      fault.heal()
      expect(await unwrap()).toBe('OK')
      expect(opened.starts()).toBe(2)
    })

    test('logged out again and again, by whichever thread it is noticed: never is the key called missing', async () => {
      for (let round = 1; round <= 40; round += 1) {
        fault.set([`logout=${round}`, 'C_FindObjectsFinal delay=1 jitter=4'])
        const wraps = Array.from({ length: 12 }, async () => outcomeOf(opened.wrapper.wrap(dek, soon())))
        expect(new Set(await Promise.all(wraps))).toEqual(new Set(['OK']))
      }
      expect(opened.starts()).toBe(1)
    })

    test('garbage costs a bounded number of calls, and neither the process nor a renewal', async () => {
      const garbage = { ...wrapped, bytes: Buffer.concat([Buffer.of(1), randomBytes(60)]) }
      const before = fault.calls().length
      expect(await outcomeOf(opened.wrapper.unwrap(garbage, soon()))).toBe('ERR_DECRYPTION_FAILED')
      expect(fault.calls().length - before).toBeLessThan(35)
      for (let i = 0; i < 20; i += 1) {
        expect(await outcomeOf(opened.wrapper.unwrap(garbage, soon()))).toBe('ERR_DECRYPTION_FAILED')
      }
      expect(await unwrap()).toBe('OK')
      expect([opened.starts(), count('C_Finalize')]).toEqual([1, 0])
    })

    test('garbage for a key that only opens is a doubt, and does not end the process', async () => {
      hsm.change({ do: 'makeAes', label: 'retired', encrypt: false, id: 'ee' })
      const retired = openOn(hsm, { module: fault.path, keyLabel: 'retired' }, { isPrimary: false })
      const keyId = await retired.wrapper.currentKeyId(soon())
      for (let i = 0; i < 12; i += 1) {
        const bytes = Buffer.concat([Buffer.of(1), randomBytes(60)])
        expect(await outcomeOf(retired.wrapper.unwrap({ keyId, bytes }, soon()))).toBe('ERR_UNWRAP_AMBIGUOUS')
      }
      expect(retired.starts()).toBe(1)
      await retired.wrapper.close()
    })

    test('threads that find no session are tried again until they do, soon, however many they are', async () => {
      await opened.wrapper.close()
      fault.set(['C_OpenSession rv=0xb1 after=3 times=6'])
      opened = openOn(hsm, { module: fault.path, parallelCalls: 8 })
      const from = fault.calls().length
      const threads = () => {
        const since = fault.calls().slice(from)
        return new Set(since.filter(({ name }) => name === 'C_Decrypt').map(({ thread }) => thread))
      }
      await until(async () => (await many()).has('OK') && threads().size >= 8)
      expect(opened.starts()).toBe(1)
    })

    test('a DEK that the token does not destroy goes with its session', async () => {
      hsm.change({ do: 'makeAes', label: 'kw', encrypt: false, decrypt: false, wrap: true, unwrap: true })
      const kw = openOn(hsm, { module: fault.path, keyLabel: 'kw' })
      const own = await kw.wrapper.wrap(dek, soon())
      fault.set(['C_DestroyObject rv=0x6'])
      const from = fault.calls().length
      for (let i = 0; i < 3; i += 1) {
        expect(Buffer.from(await kw.wrapper.unwrap(own, soon()))).toEqual(dek)
      }
      const since = fault.calls().slice(from)
      const closed = since.filter(({ name }) => name === 'C_CloseSession').map(({ session }) => session)
      const used = since.filter(({ name }) => name === 'C_UnwrapKey').map(({ session }) => session)
      expect(used.length).toBeGreaterThan(0)
      expect(used.filter((session) => !closed.includes(session))).toEqual([])
      await kw.wrapper.close()
    })

    test('a KEK that becomes weak is noticed by the next look, and one that was mended seals again', async () => {
      hsm.change({ do: 'makeAes', label: 'soft', modifiable: true })
      const soft = openOn(hsm, { module: fault.path, keyLabel: 'soft' })
      const seals = async () => {
        await soft.wrapper.currentKeyId(soon())
        return outcomeOf(soft.wrapper.wrap(dek, soon()))
      }
      expect(await seals()).toBe('OK')
      hsm.change({ do: 'allow', label: 'soft', wrap: true })
      expect(await seals()).toBe('ERR_KEY_UNUSABLE')
      hsm.change({ do: 'allow', label: 'soft', wrap: false })
      expect(await seals()).toBe('OK')
      await soft.wrapper.close()
    })

    test('an HMAC key that was replaced does not make old values bad', async () => {
      const mac = { do: 'makeSecret', label: 'mac', id: 'cc686d6163' } as const
      hsm.change({ do: 'makeAes', label: 'cbc', id: 'cc' }, mac)
      const cbc = openOn(hsm, { module: fault.path, keyLabel: 'cbc', mechanism: 'aes-cbc-hmac' })
      const own = await cbc.wrapper.wrap(dek, soon())
      hsm.change({ do: 'destroy', label: 'mac' }, mac)
      expect(await outcomeOf(cbc.wrapper.unwrap(own, soon()))).toBe('ERR_UNWRAP_AMBIGUOUS')
      await cbc.wrapper.close()
    })

    test.each([
      ['lunaiv=1', 2],
      ['cloudhsmiv=1', 1],
    ])(
      'a token that makes its own IV (%s) wraps, and what it wrapped opens after a restart',
      async (habit, format) => {
        await opened.wrapper.close()
        fault.set([habit])
        opened = openOn(hsm, { module: fault.path })
        const own = await opened.wrapper.wrap(dek, soon())
        expect(own.bytes[0]).toBe(format)
        await opened.wrapper.close()
        opened = openOn(hsm, { module: fault.path })
        expect(Buffer.from(await opened.wrapper.unwrap(own, soon()))).toEqual(dek)
        // What was wrapped before the token had that habit still opens.
        expect(await unwrap()).toBe('OK')
        // As does everything on a token that has it no more.
        fault.heal()
        expect(Buffer.from(await opened.wrapper.unwrap(own, soon()))).toEqual(dek)
      },
    )

    test.each([1, 8])('with parallelCalls: %i the token works on so many calls at once', async (calls) => {
      await opened.wrapper.close()
      opened = openOn(hsm, { module: fault.path, parallelCalls: calls })
      expect(await many()).toEqual(new Set(['OK']))
      fault.set(['C_Decrypt hang'])
      const answers = many()
      await until(() => decryptions().filter(({ rv }) => rv === undefined).length === calls)
      fault.heal()
      expect(await answers).toEqual(new Set(['OK']))
      expect(mostAtOnce()).toBe(calls)
    })

    test('threads are made a few at a time: calls go on while the others wait for their turn', async () => {
      await opened.wrapper.close()
      fault.set(['C_OpenSession hang after=3'])
      opened = openOn(hsm, { module: fault.path, parallelCalls: 12 })
      const openings = () =>
        fault.calls().filter(({ name, pid }) => name === 'C_OpenSession' && pid === opened.pid())
      const hanging = () => openings().filter(({ rv }) => rv === undefined).length
      expect(await outcomeOf(opened.wrapper.wrap(dek, soon()))).toBe('OK')
      await until(() => hanging() >= 3)
      expect(await many()).toEqual(new Set(['OK']))
      expect(hanging()).toBe(3)
      fault.heal()
      await until(() => openings().length >= 12)
    })

    test('a token with no more sessions than it needs serves with fewer threads', async () => {
      await opened.wrapper.close()
      fault.set(['maxsessions=3'])
      opened = openOn(hsm, { module: fault.path })
      expect(await outcomeOf(opened.wrapper.wrap(dek, soon()))).toBe('OK')
      expect(await many()).toEqual(new Set(['OK']))
      expect(opened.starts()).toBe(1)
    })
  },
)
