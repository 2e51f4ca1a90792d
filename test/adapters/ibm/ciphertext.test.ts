import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bytesOfCiphertext, ciphertextOfBytes } from '../../../src/adapters/backends/ibm/ciphertext.js'
import { WRAPPED_DEK_MAX_BYTES } from '../../../src/ports/key_wrapper.js'
import { outcomeNow } from '../../doubles/outcome.js'
import { makeVersion, seal } from '../../support/fakes/ibm_keys.js'

const visible = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
  minLength: 1,
  maxLength: 600,
})

test('a text of the service comes back byte for byte, whether it is base64 or not', () => {
  const base64 = fc
    .uint8Array({ minLength: 1, maxLength: 450 })
    .map((raw) => Buffer.from(raw).toString('base64'))
  fc.assert(
    fc.property(fc.oneof(visible, base64), (text) => {
      expect(ciphertextOfBytes(bytesOfCiphertext(text, 'the KMS'))).toBe(text)
    }),
  )
})

test('bytes have one text and a text has one form: what is never made is refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 700 }), (bytes) => {
      const text = ciphertextOfBytes(bytes)
      if (text !== undefined) expect(Buffer.from(bytesOfCiphertext(text, 'the KMS')).equals(bytes)).toBe(true)
    }),
    { examples: [[Uint8Array.of(2, ...Buffer.from('QUJD'))], [Uint8Array.of(1)], [Uint8Array.of(3, 65)]] },
  )
  expect(ciphertextOfBytes(Buffer.from('\x02QUJD'))).toBeUndefined()
  expect(ciphertextOfBytes(Buffer.from('\x02a b'))).toBeUndefined()
})

test('base64 takes three quarters of its text', () => {
  expect(bytesOfCiphertext('QUJD', 'the KMS')).toEqual(Buffer.from('\x01ABC'))
  expect(bytesOfCiphertext('QUJ=', 'the KMS')).toEqual(Buffer.from('\x02QUJ='))
})

test('a ciphertext in the form that IBM documents fits three times', () => {
  const bytes = bytesOfCiphertext(seal(makeVersion(), Buffer.alloc(32), []), 'the KMS')
  expect(bytes.length).toBeLessThan(WRAPPED_DEK_MAX_BYTES / 3)
})

test('the longest that fits is taken, one byte more is refused in words', () => {
  const longest = Buffer.alloc(WRAPPED_DEK_MAX_BYTES - 1, 7).toString('base64')
  expect(bytesOfCiphertext(longest, 'the KMS').length).toBe(WRAPPED_DEK_MAX_BYTES)
  const longer = Buffer.alloc(WRAPPED_DEK_MAX_BYTES, 7).toString('base64')
  expect(() => bytesOfCiphertext(longer, 'the KMS')).toThrow(/641 bytes, and an envelope takes 640/)
})

test.each(['', 'a b', 'ä', 'a\n', '\u0000'])('a text that is no visible ASCII is refused: %j', (text) => {
  expect(outcomeNow(() => bytesOfCiphertext(text, 'the KMS'))).toBe('ERR_BACKEND_RESPONSE')
})
