/** The JWE of the service as bytes of a wrapped DEK, and what it costs against the limits of envelope and kube-apiserver. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { V2_CIPHERTEXT_MAX_BYTES } from '../../../src/adapters/grpc/kms_v2.js'
import { keyIdOf } from '../../../src/adapters/backends/identity.js'
import { bytesOfText, textOfBytes } from '../../../src/adapters/backends/okms/jwe.js'
import { suitesByName } from '../../../src/domain/cipher_suites.js'
import { envelopeBytes } from '../../../src/domain/envelope_format.js'
import { DEK_BYTES, WRAPPED_DEK_MAX_BYTES } from '../../../src/ports/key_wrapper.js'
import { outcomeNow } from '../../doubles/outcome.js'
import { makeServiceKey, seal, type JweForm } from '../../support/fakes/okms_keys.js'

const bytesOf = (text: string): Buffer => Buffer.from(bytesOfText(text, 'the fake'))
const encode = (value: object | string): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

const header = encode({ alg: 'dir', enc: 'A256GCM' })
const [iv, data, tag] = [12, 32, 16].map((length) => randomBytes(length).toString('base64url'))
const good = [header, '', iv, data, tag].join('.')

/** The seed that kube-apiserver encrypts. */
const SEED_BYTES = 32
/** Larger than any header that a service has reason for: every member that RFC 7516 knows for us, and three of its own. */
const large = {
  typ: 'JOSE',
  cty: 'application/octet-stream',
  okms: 'a1f8f4b0-6d2d-43ff-9b63-8f3a3d1d8e10',
  context: 'c'.repeat(64),
  version: '4294967295',
}

describe('a JWE', () => {
  test.each([
    ['encrypted directly', { alg: 'dir', header: {} }],
    ['with a key of its own', { alg: 'gcmkw', header: {} }],
    ['with a large header', { alg: 'gcmkw', header: large }],
  ] as const)('comes back letter for letter: %s', (_name, form) => {
    const text = seal(makeServiceKey(), randomBytes(DEK_BYTES), undefined, form)
    expect(textOfBytes(bytesOf(text))).toBe(text)
  })

  test('whose header could be written otherwise comes back as it was', () => {
    for (const odd of [
      '{"enc":"A256GCM",  "alg":"dir"}',
      '{"alg":"dir","enc":"A256GCM","kid":"\\u0061/é"}',
    ]) {
      const text = [encode(odd), '', iv, data, tag].join('.')
      expect(textOfBytes(bytesOf(text))).toBe(text)
    }
  })

  test.each([
    ['four parts', [header, iv, data, tag].join('.')],
    ['six parts', `${good}.${tag!}`],
    ['no text', ''],
    ['padded', `${good}==`],
    ['standard base64', [header, '', iv, '+/+/', tag].join('.')],
    ['bits that mean nothing', [header, '', iv, 'QR', tag].join('.')],
    ['no vector', [header, '', '', data, tag].join('.')],
    ['no ciphertext', [header, '', iv, '', tag].join('.')],
    ['no tag', [header, '', iv, data, ''].join('.')],
    ['a header that is no JSON', [encode('header'), '', iv, data, tag].join('.')],
    ['a header that is a list', [encode([]), '', iv, data, tag].join('.')],
    ['a header without algorithms', [encode({ alg: 'dir' }), '', iv, data, tag].join('.')],
    ['more than 64 KiB', [header, 'A'.repeat(100_000), iv, data, tag].join('.')],
  ])('is refused when it is none: %s', (_name, text) => {
    expect(outcomeNow(() => bytesOf(text))).toBe('ERR_BACKEND_RESPONSE')
  })

  test('cut anywhere is none, or another one', () => {
    const bytes = bytesOf(good)
    for (let length = 0; length < bytes.length; length += 1) {
      expect(textOfBytes(bytes.subarray(0, length))).not.toBe(good)
    }
    for (let length = 0; length <= bytes.length - 16; length += 1) {
      expect(textOfBytes(bytes.subarray(0, length))).toBe(undefined)
    }
  })

  test('that is longer than an envelope takes is none', () => {
    const bytes = Buffer.concat([bytesOf(good), Buffer.alloc(WRAPPED_DEK_MAX_BYTES)])
    expect(textOfBytes(bytes.subarray(0, WRAPPED_DEK_MAX_BYTES))).toMatch(/^ey/)
    expect(textOfBytes(bytes.subarray(0, WRAPPED_DEK_MAX_BYTES + 1))).toBe(undefined)
  })

  test('with any byte changed is none, or another one', () => {
    const bytes = bytesOf(good)
    for (let at = 0; at < bytes.length; at += 1) {
      for (const bit of [1, 0x80]) {
        const changed = Buffer.from(bytes)
        changed.writeUInt8(changed.readUInt8(at) ^ bit, at)
        const text = textOfBytes(changed)
        expect(text).not.toBe(good)
        // What is another one is itself written in one way only.
        if (text !== undefined) expect(bytesOf(text).equals(changed)).toBe(true)
      }
    }
  })
})

describe('what it costs', () => {
  const keyId = keyIdOf('okms', ['domain', 'key'])
  const page = readFileSync(new URL('../../../docs/okms.md', import.meta.url), 'utf8')

  const cost = (form: JweForm) => {
    const text = seal(makeServiceKey(), randomBytes(DEK_BYTES), undefined, form)
    const bytes = bytesOf(text)
    const wholes = Object.values(suitesByName).map((suite) =>
      envelopeBytes(suite, { keyId, bytes }, SEED_BYTES),
    )
    return [text.length, bytes.length, ...wholes]
  }

  test.each([
    ['encrypted directly', { alg: 'dir', header: {} }],
    ['with a key of its own', { alg: 'gcmkw', header: {} }],
    ['with a large header', { alg: 'gcmkw', header: large }],
  ] as const)('is as the document says, and fits kube-apiserver: %s', (name, form) => {
    const [text, wrapped, ...wholes] = cost(form)
    expect(wrapped).toBeLessThan(text!)
    for (const whole of wholes) expect(whole).toBeLessThanOrEqual(V2_CIPHERTEXT_MAX_BYTES)
    const row = page.split('\n').find((line) => line.startsWith(`| ${name} `)) ?? ''
    expect(row.split('|').slice(2, -1).map(Number)).toEqual([text, wrapped, ...wholes])
  })

  test('what is as long as an envelope takes fits kube-apiserver; one byte more is refused', () => {
    const padded = (length: number) => {
      const empty = bytesOf(good).length
      const long = encode({ alg: 'dir', enc: 'A256GCM', x: '' })
      const more =
        length - (empty - Buffer.from(header, 'base64url').length + Buffer.from(long, 'base64url').length)
      return [encode({ alg: 'dir', enc: 'A256GCM', x: 'x'.repeat(more) }), '', iv, data, tag].join('.')
    }
    const bytes = bytesOf(padded(WRAPPED_DEK_MAX_BYTES))
    expect(bytes.length).toBe(WRAPPED_DEK_MAX_BYTES)
    expect(textOfBytes(bytes)).toBe(padded(WRAPPED_DEK_MAX_BYTES))
    for (const suite of Object.values(suitesByName)) {
      expect(envelopeBytes(suite, { keyId, bytes }, SEED_BYTES)).toBeLessThanOrEqual(V2_CIPHERTEXT_MAX_BYTES)
    }
    expect(outcomeNow(() => bytesOf(padded(WRAPPED_DEK_MAX_BYTES + 1)))).toBe('ERR_BACKEND_RESPONSE')
  })
})
