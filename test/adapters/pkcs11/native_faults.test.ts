/** What another program's value meets at a token that fails, and what a refusal tells whoever may try many values. */
import { constants, createCipheriv, generateKeyPairSync, publicEncrypt, randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { NativeCiphertext } from '../../../src/ports/foreign.js'
import { asKmsError } from '../../../src/ports/errors.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { faultModuleMissing, makeFaultModule, type FaultModule } from '../../support/fault_module.js'
import { until } from '../../support/plugin.js'
import { makeSoftHsm, softHsmMissing, type SoftHsm } from '../../support/softhsm.js'
import { openOn, soon, type Opened } from './opened.js'

const missing = softHsmMissing ?? faultModuleMissing
const title = 'a value of another program at a token that fails'
const key = randomBytes(32)
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })

function gcm(): NativeCiphertext & { readonly tag: Buffer } {
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, iv)
  const bytes = Buffer.concat([cipher.update(randomBytes(32)), cipher.final()])
  return { algorithm: 'AES-GCM', bytes, iv, tag: cipher.getAuthTag() }
}

describe.skipIf(missing !== undefined)(
  missing === undefined ? title : `${title} (skipped: ${missing})`,
  () => {
    let hsm: SoftHsm
    let fault: FaultModule
    let opened: Opened

    beforeAll(async () => {
      hsm = await makeSoftHsm()
      const use = { encrypt: false, decrypt: true }
      hsm.change(
        { do: 'importAes', label: 'aes', value: key.toString('hex'), ...use },
        { do: 'importSecret', label: 'mac', value: key.toString('hex') },
        { do: 'importRsa', label: 'rsa', key: rsa.privateKey.export({ format: 'jwk' }) },
      )
    })
    afterAll(async () => hsm.remove())

    beforeEach(() => {
      fault = makeFaultModule(hsm)
    })
    afterEach(async () => opened.wrapper.close())

    const on = (keyLabel: string): Opened => {
      opened = openOn(hsm, { module: fault.path, keyLabel }, { callTimeoutMs: 500, isPrimary: false })
      return opened
    }
    const answer = async (ciphertext: NativeCiphertext, withinMs = 20_000) =>
      outcomeOf(opened.wrapper.decryptNative!(ciphertext, soon(withinMs)))
    const count = (name: string) => fault.calls().filter((call) => call.name === name).length

    test('a code that stands for both is bad data where the key opens other bytes, and an outage where it opens none', async () => {
      on('aes')
      const good = gcm()
      const bad = { ...good, tag: Buffer.alloc(16) }
      expect(await answer(bad)).toBe('ERR_DECRYPTION_FAILED')
      for (const rv of [0x5, 0x6, 0x20, 0x80000001]) {
        fault.set([`C_Decrypt rv=${rv}`])
        expect(await answer(good), `rv ${rv}`).toBe('ERR_BACKEND_UNAVAILABLE')
      }
      fault.heal()
      expect(await answer(good)).toBe('OK')
    })

    test('a device that recovers while the doubt is settled opens the value after all', async () => {
      on('aes')
      expect(await answer(gcm())).toBe('OK')
      fault.set(['C_Decrypt rv=0x5 times=1'])
      expect(await answer(gcm())).toBe('OK')
    })

    test('where the doubt cannot be settled it is passed on, and never called damage', async () => {
      on('aes')
      const CKM_AES_CBC = 0x1082
      fault.set([`nomech=${CKM_AES_CBC}`])
      expect(await answer({ ...gcm(), tag: Buffer.alloc(16) })).toBe('ERR_UNWRAP_AMBIGUOUS')
      fault.set(['C_Decrypt rv=0x7'])
      expect(await answer(gcm())).toBe('ERR_UNWRAP_AMBIGUOUS')
      fault.heal()
      expect(await answer(gcm())).toBe('OK')
    })

    test.each(['aes', 'mac'])(
      '%s: no code at all is taken for bad data where no bytes are bad',
      async (what) => {
        on('aes')
        const question: NativeCiphertext =
          what === 'aes'
            ? { algorithm: 'AES-CBC', bytes: randomBytes(32), iv: randomBytes(16) }
            : { algorithm: 'HMAC-SHA256', bytes: randomBytes(32), keyName: 'label:mac' }
        expect(await answer(question)).toBe('OK')
        fault.set(['C_Decrypt rv=0x5', 'C_Sign rv=0x5'])
        expect(await answer(question)).toBe('ERR_BACKEND_UNAVAILABLE')
      },
    )

    test('sessions that died, and a login that went, cost no value', async () => {
      on('aes')
      expect(await answer(gcm())).toBe('OK')
      fault.set(['generation=1'])
      expect(await answer(gcm())).toBe('OK')
      fault.set(['logout=1'])
      expect(await answer(gcm())).toBe('OK')
      expect(opened.starts()).toBe(1)
    })

    test('a call that hangs ends at the deadline of its caller', async () => {
      on('aes')
      expect(await answer(gcm())).toBe('OK')
      fault.set(['C_Decrypt hang'])
      expect(await answer(gcm(), 100)).toBe('ERR_DEADLINE_EXCEEDED')
      fault.heal()
      expect(await answer(gcm())).toBe('OK')
    })

    test('RSA1_5: padding that is wrong in any way is one text, one code and as many calls as a success', async () => {
      on('rsa')
      const padding = constants.RSA_PKCS1_PADDING
      const none = constants.RSA_NO_PADDING
      const raw = (change: (block: Buffer) => void) => {
        const block = Buffer.concat([Buffer.of(0, 2), Buffer.alloc(221, 0x55), Buffer.of(0), randomBytes(32)])
        change(block)
        return publicEncrypt({ key: rsa.publicKey, padding: none }, block)
      }
      const good = publicEncrypt({ key: rsa.publicKey, padding }, randomBytes(32))
      // Right padding round what is no DEK: who tries values must not learn that either.
      const short = publicEncrypt({ key: rsa.publicKey, padding }, randomBytes(5))
      const bad = {
        'another block type': () => raw((block) => block.writeUInt8(1, 1)),
        'a first byte that is not zero': () => raw((block) => block.writeUInt8(1, 0)),
        'no end of the padding': () => raw((block) => block.fill(0x55, 2)),
        'padding that is too short': () => raw((block) => block.writeUInt8(0, 5)),
        'random bytes': () => raw((block) => randomBytes(255).copy(block, 1)),
        // With a right padding, of which nothing may tell either.
        'no bytes': () => publicEncrypt({ key: rsa.publicKey, padding }, Buffer.alloc(0)),
        '33 bytes': () => publicEncrypt({ key: rsa.publicKey, padding }, randomBytes(33)),
      }
      expect(await answer({ algorithm: 'RSA1_5', bytes: good })).toBe('OK')
      const callsOf = async (bytes: Buffer) => {
        const before = fault.calls().length
        const question = { algorithm: 'RSA1_5', bytes } as const
        const text = await opened.wrapper.decryptNative!(question, soon()).then(
          () => 'OK',
          (error: unknown) => `${asKmsError(error).code} ${asKmsError(error).message}`,
        )
        // Those of the thread that was asked: others come and go meanwhile. The last follows the answer.
        const names = () => {
          const since = fault.calls().slice(before)
          const asked = since.find(({ name }) => name === 'C_Decrypt')?.thread
          return since.filter(({ thread }) => thread === asked).map(({ name }) => name)
        }
        await until(() => names().at(-1) === 'C_CloseSession')
        return { text, names: names() }
      }
      const success = await callsOf(good)
      expect(success.names.filter((name) => name === 'C_Decrypt')).toHaveLength(2)
      expect((await callsOf(short)).names).toEqual(success.names)
      let asked = 3
      for (const [what, make] of Object.entries(bad)) {
        let { text, names } = await callsOf(make())
        asked += 2
        // A library that makes up an answer to wrong padding (implicit rejection) may make up one of 32 bytes.
        for (let tries = 0; text === 'OK' && tries < 3; tries += 1, asked += 1) {
          ;({ text, names } = await callsOf(make()))
        }
        expect(text, what).toBe('ERR_DECRYPTION_FAILED the RSA key does not open these bytes')
        expect(names, what).toEqual(success.names)
        expect((await callsOf(short)).names, `after ${what}`).toEqual(success.names)
      }
      expect(count('C_Decrypt')).toBe(2 * asked)
    })
  },
)
