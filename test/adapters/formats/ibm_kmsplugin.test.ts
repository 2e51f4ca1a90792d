/** Values of IBM's KMS plug-in: what is read of them, and that what was damaged is refused. */
import { createCipheriv, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { decodeInput } from '../../../src/adapters/cli/decode_input.js'
import { ibmKmsplugin } from '../../../src/adapters/formats/ibm_kmsplugin.js'
import { kubeDekIn } from '../../../src/adapters/formats/kube_dek_cbc.js'
import { createExplainer } from '../../../src/container.js'
import type { NativeCiphertext, StoredValue } from '../../../src/ports/foreign.js'
import { outcomeNow } from '../../doubles/outcome.js'
import { seeded } from '../../support/seeded.js'
import { IV, STREAM, VALUE, WRAPPED_DEK } from './published_ibm.js'

interface Recorded {
  readonly key: { readonly dek: string; readonly wrappedDek: string }
  readonly values: readonly {
    readonly ciphertext: string
    readonly plaintext: string
    readonly note: string
  }[]
}

const { key, values } = JSON.parse(
  readFileSync(new URL('../../vectors/foreign/ibm-kmsplugin.json', import.meta.url), 'utf8'),
) as Recorded
const DEK = Buffer.from(key.dek, 'base64')
const recorded = values.map(({ ciphertext, plaintext, note }) => ({
  ciphertext: Buffer.from(ciphertext, 'base64'),
  plaintext: Buffer.from(plaintext, 'base64'),
  note,
}))
const [first] = recorded as [(typeof recorded)[number]]

const stored = (ciphertext: Uint8Array): StoredValue => ({ ciphertext, keyId: undefined, annotations: {} })
const settings = { version: 1, lengthBytes: 4 }
const allowed = { allowUnauthenticated: true }

/** The question that the key is asked. */
function asked(ciphertext: Uint8Array, options = settings): NativeCiphertext {
  const { questions } = ibmKmsplugin.plan(stored(ciphertext), options, allowed)
  expect(questions).toHaveLength(1)
  return questions[0] as NativeCiphertext
}

/** As a service answers that has the DEK of the vectors: it unwraps what it wrapped, and nothing else. */
function open(ciphertext: Uint8Array, dek: Uint8Array = DEK): Uint8Array | 'ERR_DECRYPTION_FAILED' {
  const plan = ibmKmsplugin.plan(stored(ciphertext), settings, allowed)
  const [question] = plan.questions as [NativeCiphertext]
  if (Buffer.from(question.bytes).toString() !== key.wrappedDek) return 'ERR_DECRYPTION_FAILED'
  return plan.finish([dek])
}

describe('is refused:', () => {
  test('each value of the vectors, cut anywhere: before anybody is asked', () => {
    for (const { ciphertext, note } of recorded) {
      for (let end = 0; end < ciphertext.length; end += 1) {
        const outcome = outcomeNow(() => asked(ciphertext.subarray(0, end)))
        expect(outcome, `${note}, ${end}`).toBe('ERR_MALFORMED_ENVELOPE')
      }
    }
  })

  test('each value with any one letter changed, unless only its own blocks of CBC are touched', () => {
    for (const { ciphertext, plaintext, note } of recorded) {
      let wrong = 0
      for (let at = 0; at < ciphertext.length; at += 1) {
        const bad = Buffer.from(ciphertext)
        bad[at]! ^= 1
        try {
          const opened = open(bad)
          if (opened !== 'ERR_DECRYPTION_FAILED' && !plaintext.equals(opened)) wrong += 1
        } catch {
          const codes = ['ERR_MALFORMED_ENVELOPE', 'ERR_KEY_UNKNOWN', 'ERR_DECRYPTION_FAILED']
          expect(codes).toContain(outcomeNow(() => open(bad)))
        }
      }
      // CBC authenticates nothing: a change in the IV, or in all but the last blocks, changes the plaintext and no more.
      // The Cipher is 88 letters in base64, and that in base64 again: of its 118, at most those reach the plaintext.
      expect(wrong, note).toBeLessThanOrEqual(118)
    }
  })

  test.each([
    ['garbage behind it', Buffer.concat([first.ciphertext, Buffer.from('AAAA')])],
    ['a line break behind it', Buffer.concat([first.ciphertext, Buffer.from('\n')])],
    ['itself twice', Buffer.concat([first.ciphertext, first.ciphertext])],
    ['base64url', Buffer.from(first.ciphertext.toString().replace('+', '-'))],
    ['the stream without its base64', STREAM],
    ['nothing', Buffer.alloc(0)],
  ])('%s', (_, ciphertext) => {
    expect(outcomeNow(() => asked(ciphertext))).toBe('ERR_MALFORMED_ENVELOPE')
  })

  test.each([0, 2, 65_536])('KpVersion 1 by a key of version %i, as of an unknown key', (version) => {
    expect(outcomeNow(() => asked(first.ciphertext, { ...settings, version }))).toBe('ERR_KEY_UNKNOWN')
  })

  test('where values without authentication are not allowed, before anybody is asked', () => {
    const plan = () => ibmKmsplugin.plan(stored(first.ciphertext), settings, { allowUnauthenticated: false })
    expect(outcomeNow(plan)).toBe('ERR_VALUE_UNAUTHENTICATED')
  })

  test.each([0, 16, 31, 33])('a DEK of %i bytes', (length) => {
    expect(outcomeNow(() => open(first.ciphertext, Buffer.alloc(length)))).toBe('ERR_DECRYPTION_FAILED')
  })

  test('every value under every one of 5,000 wrong DEKs, where one of 2^32 would pass by chance', () => {
    const random = seeded(20_261_127)
    for (let trial = 0; trial < 5000; trial += 1) {
      const { ciphertext } = recorded[trial % recorded.length]!
      expect(outcomeNow(() => open(ciphertext, random.bytes(32)))).toBe('ERR_DECRYPTION_FAILED')
    }
  })
})

describe('is opened:', () => {
  test.each(recorded)('$note', ({ ciphertext, plaintext }) => {
    expect(ibmKmsplugin.recognize(stored(ciphertext))).toBe('bytes')
    expect(Buffer.from(asked(ciphertext).bytes).toString()).toBe(key.wrappedDek)
    expect(plaintext.equals(open(ciphertext) as Uint8Array)).toBe(true)
  })

  test('with one question for all values of a DEK, whose answer may be kept', () => {
    const questions = recorded.map(({ ciphertext }) => JSON.stringify(asked(ciphertext)))
    expect(new Set(questions).size).toBe(1)
    expect(ibmKmsplugin.plan(stored(first.ciphertext), settings, allowed).isReusable).toBe(true)
  })

  test('into bytes of their own: the answer stays as it was, and can be wiped', () => {
    const dek = Buffer.from(DEK)
    const plaintext = open(first.ciphertext, dek) as Uint8Array
    expect(dek.equals(DEK)).toBe(true)
    dek.fill(0)
    expect(first.plaintext.equals(plaintext)).toBe(true)
  })
})

describe('the two layouts inside', () => {
  const dek = randomBytes(32)
  const pkcs7 = Buffer.concat([dek, Buffer.alloc(16, 16)])
  const length = (bytes: number) => Buffer.from([...Array<number>(bytes - 1).fill(0), 32])
  const prefixed = (bytes: number, fill = 0) => {
    const end = Math.ceil((32 + bytes) / 16) * 16
    return Buffer.concat([length(bytes), dek, Buffer.alloc(end - 32 - bytes, fill)])
  }

  test('are both found, whatever fills the block behind a length', () => {
    expect(kubeDekIn(pkcs7, 4)).toEqual(dek)
    for (const fill of [0, 12, 0xff]) expect(kubeDekIn(prefixed(4, fill), 4)).toEqual(dek)
    for (let bytes = 1; bytes <= 8; bytes += 1) expect(kubeDekIn(prefixed(bytes), bytes)).toEqual(dek)
  })

  test.each([
    ['a byte of the padding', Buffer.from(pkcs7).fill(15, 40, 41)],
    ['less padding', Buffer.concat([randomBytes(33), Buffer.alloc(15, 15)])],
    ['a length of 31', Buffer.from(prefixed(4)).fill(31, 3, 4)],
    ['a length of 2^24 + 32', Buffer.from(prefixed(4)).fill(1, 0, 1)],
    ['a length of another width', prefixed(3)],
    ['a block less', prefixed(4).subarray(0, 32)],
    ['a block more', Buffer.concat([prefixed(4), Buffer.alloc(16, 16)])],
    ['nothing', Buffer.alloc(0)],
  ])('do not pass with %s', (_, decrypted) => {
    expect(kubeDekIn(decrypted, 4)).toBeUndefined()
  })

  test('are told apart by the padding where a DEK begins like a length', () => {
    const unlucky = Buffer.concat([length(4), randomBytes(28)])
    expect(kubeDekIn(Buffer.concat([unlucky, Buffer.alloc(16, 16)]), 4)).toEqual(unlucky)
  })
})

describe('the value that IBM’s documentation prints', () => {
  test('is known by what it begins with, also when it is cut', () => {
    expect(VALUE).toHaveLength(628)
    for (const end of [628, 500, 90])
      expect(ibmKmsplugin.recognize(stored(VALUE.subarray(0, end)))).toBe('bytes')
    expect(ibmKmsplugin.recognize(stored(VALUE.subarray(0, 40)))).toBeUndefined()
  })

  test('asks for its WrappedDEK, and explains every field without any key', () => {
    expect(Buffer.from(asked(VALUE).bytes).toString()).toBe(WRAPPED_DEK)
    expect(WRAPPED_DEK).toHaveLength(308)
    expect(ibmKmsplugin.explain(stored(VALUE))).toEqual({
      fields: [
        { label: 'KpVersion', value: '1' },
        { label: 'WrappedDEK characters', value: '308' },
        { label: 'Cipher IV', value: IV.toString('hex') },
        { label: 'Cipher bytes', value: '48' },
        { label: 'algorithm', value: 'AES-256-CBC, not authenticated' },
      ],
    })
  })

  test('is explained by inspect, in the hexdump of etcdctl’s output that the documentation prints', () => {
    const prefix = Buffer.from(
      '/registry/secrets/default/secret1\nk8s:enc:kms:v1:KmsPlugin:\x02\x74',
      'latin1',
    )
    const output = Buffer.concat([prefix, VALUE, Buffer.alloc(144, 0xee), Buffer.from('\n')])
    expect(output).toHaveLength(834)
    const lines = Array.from({ length: Math.ceil(output.length / 16) }, (_, line) => {
      const bytes = output.subarray(16 * line, 16 * line + 16)
      const pairs = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
      const shown = bytes.toString('latin1').replace(/[^ -~]/g, '.')
      return `${(16 * line).toString(16).padStart(8, '0')}  ${pairs.padEnd(49)} |${shown}|\n`
    })
    const { bytes, form } = decodeInput(Buffer.from(lines.join('')))
    expect(form).toBe('hexdump')
    const { summary, fields, wellFormed } = createExplainer().explain(bytes)
    expect(summary).toContain('"KmsPlugin" and the KMS plug-in of IBM Cloud Private')
    expect(wellFormed).toBe(true)
    expect(fields).toContainEqual({ label: 'ibm-kmsplugin KpVersion', value: '1' })
  })

  test('says what is wrong with it when it is cut', () => {
    const { fields, problem } = ibmKmsplugin.explain(stored(VALUE.subarray(0, 600)))
    expect([fields, problem]).toEqual([[], 'it is base64 of a gob stream that is cut off'])
  })
})

test('no other base64 and no other gob is taken for a value of the plug-in', () => {
  const cipher = createCipheriv('aes-256-ctr', Buffer.alloc(32), Buffer.alloc(16))
  const noise = cipher.update(Buffer.alloc(300)).toString('base64')
  const renamed = Buffer.from(STREAM.toString('latin1').replace('Cipher', 'Cifher'), 'latin1').toString(
    'base64',
  )
  for (const text of ['', 'PP+BAwEB', noise, renamed, 'vault:v1:AAAA', 'AQICAHh', 'eyJhbGciOiJkaXIifQ....']) {
    expect(ibmKmsplugin.recognize(stored(Buffer.from(text)))).toBeUndefined()
  }
})
