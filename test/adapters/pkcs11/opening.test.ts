/** A KEK that can decrypt and not encrypt opens what it wrapped, whoever asks for it first after a start. */
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { WrappedDek } from '../../../src/ports/key_wrapper.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { faultModuleMissing, makeFaultModule, type FaultModule } from '../../support/fault_module.js'
import { until } from '../../support/plugin.js'
import { makeSoftHsm, softHsmMissing, type SoftHsm } from '../../support/softhsm.js'
import { changeToken } from '../../support/token_objects.js'
import { openOn, soon, type Opened } from './opened.js'

const missing = softHsmMissing ?? faultModuleMissing
const title = 'a device that decrypts and does not encrypt'

const faults = [
  ['C_EncryptInit rv=0x1b', 'ERR_ACCESS_DENIED'],
  ['C_EncryptInit rv=0x200', 'ERR_ACCESS_DENIED'],
  ['C_EncryptInit rv=0x5', 'ERR_BACKEND_UNAVAILABLE'],
  ['C_Encrypt stuck', 'ERR_BACKEND_UNAVAILABLE'],
] as const

describe.skipIf(missing !== undefined)(
  missing === undefined ? title : `${title} (skipped: ${missing})`,
  () => {
    const dek = randomBytes(32)
    let hsm: SoftHsm
    let fault: FaultModule
    let wrapped: WrappedDek
    let opened: Opened

    beforeEach(async () => {
      hsm = await makeSoftHsm('a')
      hsm.addToken('b')
      const value = randomBytes(32).toString('hex')
      for (const tokenLabel of ['a', 'b']) {
        const token = { module: hsm.module, tokenLabel, pin: hsm.pin, env: hsm.env }
        changeToken(token, [{ do: 'importAes', label: 'kek', id: '0f3a', value }])
      }
      fault = makeFaultModule(hsm)
      opened = openOn(hsm)
      wrapped = await opened.wrapper.wrap(dek, soon())
      await opened.wrapper.close()
    })

    afterEach(async () => {
      await opened.wrapper.close()
      await hsm.remove()
    })

    const opens = async () => Buffer.from(await opened.wrapper.unwrap(wrapped, soon())).equals(dek)
    const ofOne = {}
    const ofTwo = { tokens: [{ tokenLabel: 'a', weight: 2 }, { tokenLabel: 'b' }] }

    for (const [where, change] of [
      ['one token', ofOne],
      ['two tokens', ofTwo],
    ] as const) {
      test.each(faults)(
        `%s: a key that only opens, on ${where}, does as if nothing were wrong`,
        async (rule) => {
          fault.set([rule])
          opened = openOn(hsm, { module: fault.path, ...change }, { callTimeoutMs: 500, isPrimary: false })
          expect(await opens()).toBe(true)
          expect(await opened.wrapper.currentKeyId(soon())).toBe(wrapped.keyId)
          expect(await opens()).toBe(true)
          expect(fault.calls().filter(({ name }) => name.startsWith('C_Encrypt'))).toEqual([])
          expect(opened.restarts()).toBe(0)
        },
      )

      test.each(faults)(`%s: a key that seals, on ${where}, opens all the same`, async (rule, code) => {
        fault.set([rule])
        opened = openOn(hsm, { module: fault.path, ...change }, { callTimeoutMs: 500 })
        expect(await opens()).toBe(true)
        expect(await outcomeOf(opened.wrapper.currentKeyId(soon()))).toBe(code)
        await until(opens)
        await opened.wrapper.close()
        // Nor does it matter that it was asked to seal first.
        opened = openOn(hsm, { module: fault.path, ...change }, { callTimeoutMs: 500 })
        expect(await outcomeOf(opened.wrapper.currentKeyId(soon()))).toBe(code)
        await until(opens)
      })
    }
  },
)
