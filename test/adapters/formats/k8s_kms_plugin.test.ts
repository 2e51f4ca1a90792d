/** Values that k8s-kms-plugin and its library made open, and nothing that was altered does where its tag protects it. */
import { describe, expect, test } from 'vitest'
import { erased } from '../../../src/adapters/formats/format.js'
import { k8sKmsPlugin } from '../../../src/adapters/formats/k8s_kms_plugin.js'
import type { ForeignDecoder, StoredValue } from '../../../src/ports/foreign.js'
import { outcomeNow } from '../../doubles/outcome.js'
import {
  damaged,
  KeysInMemory,
  openInMemory,
  recorded,
  tally,
  type TokenValue,
} from '../../support/token_values.js'

const { key: keys, values } = recorded('k8s-kms-plugin')
const mac = keys['mac']!

function decoderWith(options: object, allowUnauthenticated = false): ForeignDecoder {
  return erased(k8sKmsPlugin).decoder(options, { allowUnauthenticated })
}

const strict = decoderWith({ macKeyLabel: mac.label })
const allowing = decoderWith({ macKeyLabel: mac.label }, true)
const withoutMac = decoderWith({}, true)
const keyOf = ({ opensWith }: TokenValue) => new KeysInMemory(keys[opensWith]!, mac)
const isProtected = ({ tag }: TokenValue) => tag === undefined || tag === 'c'
const cases = (which: (value: TokenValue) => boolean) =>
  values.filter(which).map((value): [string, TokenValue] => [value.name, value])
const generation = (tag: 'a' | 'b' | 'c') => values.find((value) => value.tag === tag)!

function partsOf({ ciphertext }: StoredValue): string[] {
  return Buffer.from(ciphertext).toString('ascii').split('.')
}

function withParts(value: StoredValue, change: (parts: string[]) => void): StoredValue {
  const parts = partsOf(value)
  change(parts)
  return { ...value, ciphertext: Buffer.from(parts.join('.'), 'ascii') }
}

function withHeader(value: StoredValue, change: (header: Record<string, unknown>) => void): StoredValue {
  return withParts(value, (parts) => {
    const header = JSON.parse(Buffer.from(parts[0]!, 'base64url').toString()) as Record<string, unknown>
    change(header)
    parts[0] = Buffer.from(JSON.stringify(header)).toString('base64url')
  })
}

describe.each(cases(isProtected))('%s', (_name, value) => {
  const { stored, plaintext } = value
  const memory = keyOf(value)

  test('is recognized and opens', () => {
    expect(strict.recognize(stored)).toBe(stored.keyId === undefined ? 'bytes' : 'annotation')
    expect(openInMemory(strict, stored, memory).equals(plaintext)).toBe(true)
  })

  test('is refused whatever byte is altered and wherever it is cut, as bad data and nothing else', () => {
    const all = damaged(stored.ciphertext).map((ciphertext) => ({ ...stored, ciphertext }))
    const ends = tally(all, plaintext, (one) => openInMemory(strict, one, memory))
    const {
      ERR_MALFORMED_ENVELOPE = 0,
      ERR_DECRYPTION_FAILED = 0,
      ERR_KEY_UNKNOWN = 0,
      ERR_KEY_ID_MISMATCH = 0,
      ...others
    } = ends
    expect(others).toEqual({})
    // A name that was altered is that of another key.
    expect(ERR_MALFORMED_ENVELOPE + ERR_DECRYPTION_FAILED).toBeGreaterThan(
      2 * (ERR_KEY_UNKNOWN + ERR_KEY_ID_MISMATCH),
    )
  })

  test('does not open with another key of the same kind', () => {
    const other = Object.values(keys).find(({ rsa, aes }) => {
      const own = keys[value.opensWith]!
      return own.rsa === undefined
        ? aes !== undefined && aes !== own.aes
        : rsa !== undefined && rsa.n !== own.rsa.n
    })!
    const renamed = new KeysInMemory(
      { ...other, id: keys[value.opensWith]!.id, label: keys[value.opensWith]!.label },
      mac,
    )
    const end = outcomeNow(() => openInMemory(strict, stored, renamed))
    // A tag of CBC is the HMAC key's: the wrong AES key cannot be told from it.
    expect(end).toBe(value.tag === 'c' ? 'OK' : 'ERR_DECRYPTION_FAILED')
    expect(
      outcomeNow(() =>
        openInMemory(strict, stored, new KeysInMemory({ ...other, id: '00', label: 'x' }, mac)),
      ),
    ).toBe(value.tag === 'c' && stored.keyId === undefined ? 'OK' : 'ERR_KEY_UNKNOWN')
  })
})

describe.each(cases((value) => !isProtected(value)))('%s', (_name, value) => {
  const { stored, plaintext, tag } = value
  const memory = keyOf(value)

  test('is refused, since nothing in it shows an alteration', () => {
    expect(outcomeNow(() => openInMemory(strict, stored, memory))).toBe('ERR_VALUE_UNAUTHENTICATED')
    expect(outcomeNow(() => openInMemory(decoderWith({}), stored, memory))).toBe('ERR_VALUE_UNAUTHENTICATED')
  })

  test('opens where that is allowed, with the HMAC key and without', () => {
    expect(openInMemory(allowing, stored, memory).equals(plaintext)).toBe(true)
    expect(openInMemory(withoutMac, stored, memory).equals(plaintext)).toBe(true)
  })

  test('altered and allowed gives other bytes in (b), which is why it is not allowed unasked', () => {
    const all = damaged(stored.ciphertext).map((ciphertext) => ({ ...stored, ciphertext }))
    const {
      WRONG = 0,
      opened = 0,
      ERR_MALFORMED_ENVELOPE = 0,
      ERR_DECRYPTION_FAILED = 0,
      ...others
    } = tally(all, plaintext, (one) => openInMemory(allowing, one, memory))
    expect(others).toEqual({})
    expect(ERR_MALFORMED_ENVELOPE + ERR_DECRYPTION_FAILED).toBeGreaterThan(0)
    // (a) repeats the input in its tag, so that a single flipped bit mostly shows: whoever alters both is not seen.
    if (tag === 'b') expect(WRONG).toBeGreaterThan(0)
    expect(opened).toBeLessThan(all.length / 10)
  })

  test('is refused with another HMAC key even where it is allowed', () => {
    const other = new KeysInMemory(keys[value.opensWith]!, { ...mac, secret: '00'.repeat(32) })
    expect(outcomeNow(() => openInMemory(allowing, stored, other))).toBe('ERR_DECRYPTION_FAILED')
  })
})

test('without a HMAC key nothing of AES-CBC is authenticated, not even what the last generation made', () => {
  const { stored, plaintext } = generation('c')
  expect(outcomeNow(() => decoderWith({}).plan(stored))).toBe('ERR_VALUE_UNAUTHENTICATED')
  expect(openInMemory(withoutMac, stored, keyOf(generation('c'))).equals(plaintext)).toBe(true)
})

test('an HMAC over the header without the length leaves the length open to anyone, so it opens where that is allowed', () => {
  const value = generation('c')
  const memory = keyOf(value)
  const { stored, plaintext } = value
  const [headerText = '', , iv = '', ciphertext = ''] = partsOf(stored)
  const header = JSON.parse(Buffer.from(headerText, 'base64url').toString()) as Record<string, unknown>
  delete header['_thales_aad']
  const text = Buffer.from(JSON.stringify(header)).toString('base64url')
  const length = Buffer.alloc(8)
  length.writeBigUInt64BE(BigInt(text.length))
  const parts = [
    Buffer.from(text),
    Buffer.from(iv, 'base64url'),
    Buffer.from(ciphertext, 'base64url'),
    length,
  ]
  const tag = memory.answer({
    algorithm: 'HMAC-SHA256',
    bytes: Buffer.concat(parts),
    keyName: 'label:k8s-hmac',
  })
  const early = withParts(stored, (all) => (all[4] = Buffer.from(tag).toString('base64url')))
  expect(outcomeNow(() => openInMemory(strict, early, memory))).toBe('ERR_VALUE_UNAUTHENTICATED')
  expect(openInMemory(allowing, early, memory).equals(plaintext)).toBe(true)
  const told = Buffer.from('0000000000000021', 'hex').toString('base64url')
  const longer = withHeader(early, (all) => (all['_thales_aad'] = told))
  expect(openInMemory(allowing, longer, memory)).toHaveLength(33)
  const protectedOne = withHeader(stored, (all) => (all['_thales_aad'] = told))
  expect(outcomeNow(() => openInMemory(allowing, protectedOne, memory))).toBe('ERR_DECRYPTION_FAILED')
})

test('the HMAC key is asked by its label or by its CKA_ID', () => {
  const { stored } = generation('c')
  const names = (options: object) =>
    decoderWith(options)
      .plan(stored)
      .questions.map((question) => 'bytes' in question && question.keyName)
  expect(names({ macKeyLabel: 'm' }).slice(0, 3)).toEqual(['label:m', 'label:m', 'label:m'])
  expect(names({ macKeyId: '0a' }).slice(0, 3)).toEqual(['id:0a', 'id:0a', 'id:0a'])
  expect(() => decoderWith({ macKeyLabel: 'm', macKeyId: '0a' })).toThrow()
})

test('RSA-OAEP is opened with SHA-256 whatever hash the header names', () => {
  const rsa = values.filter(({ opensWith }) => opensWith.startsWith('rsa'))
  const algs = rsa.map(
    ({ stored }) => /"alg":"([^"]+)"/.exec(Buffer.from(partsOf(stored)[0]!, 'base64url').toString())?.[1],
  )
  expect(new Set(algs)).toEqual(new Set(['RSA-OAEP', 'RSA-OAEP-256']))
  for (const { stored } of rsa) {
    const [question] = strict.plan(stored).questions
    expect(question).toMatchObject({ algorithm: 'RSA-OAEP-256' })
  }
})

test('a content key of another length, or a wrong one, is refused with one text', () => {
  const { stored } = values.find(({ opensWith }) => opensWith === 'rsa2048')!
  const plan = strict.plan(stored)
  const texts = [0, 16, 24, 31, 32, 33, 190].map((length) => {
    try {
      plan.finish([Buffer.alloc(length, 1)])
      return 'opened'
    } catch (error) {
      return String(error)
    }
  })
  expect(new Set(texts).size).toBe(1)
  expect(texts[0]).toContain('does not open')
})

describe('which key', () => {
  const v1 = values.find(({ stored, opensWith }) => stored.keyId === undefined && opensWith === 'kek')!
  const v2 = values.find(({ stored, tag }) => stored.keyId !== undefined && tag === 'c')!
  const keyNames = (decoder: ForeignDecoder, stored: StoredValue) => [
    ...new Set(decoder.plan(stored).questions.map((each) => ('bytes' in each ? each.keyName : undefined))),
  ]

  test('v1 names it by the label of the header, unless an option says what the label was', () => {
    expect(keyNames(strict, v1.stored)).toEqual(['label:k8s-dek'])
    expect(keyNames(decoderWith({ label: 'k8s-dek' }), v1.stored)).toEqual([undefined])
    expect(outcomeNow(() => decoderWith({ label: 'other' }).plan(v1.stored))).toBe('ERR_KEY_UNKNOWN')
  })

  test('aes-cbc of v1 names none, and opens under any: the plan says so, and no other plan does', () => {
    const blind = values.filter(({ stored }) => allowing.plan(stored).opensUnderAnyKey === true)
    expect(blind.length).toBeGreaterThan(0)
    const nameless = values.filter(({ stored, tag }) => tag !== undefined && stored.keyId === undefined)
    expect(blind.map(({ name }) => name)).toEqual(nameless.map(({ name }) => name))
  })

  test('v2 names it by its CKA_ID, and the header of aes-cbc has to name the same', () => {
    expect(keyNames(strict, v2.stored)).toContain(`id:${keys['kek']!.id}`)
    expect(outcomeNow(() => strict.plan({ ...v2.stored, keyId: '0a0b' }))).toBe('ERR_KEY_ID_MISMATCH')
    for (const keyId of ['0A', '0', 'label', '']) {
      const code = outcomeNow(() => strict.plan({ ...v2.stored, keyId }))
      expect(code).toMatch(/^ERR_(MALFORMED_ENVELOPE|KEY_ID_MISMATCH)$/)
    }
  })
})

describe('what is no value of it', () => {
  const { stored } = values.find(
    ({ stored: { keyId }, opensWith }) => keyId !== undefined && opensWith === 'kek',
  )!
  const bare = { ...stored, annotations: {} }

  test('is not recognized by its bytes: other JWEs, other texts, key ids that are none of it', () => {
    expect(strict.recognize(bare)).toBe('bytes')
    const others: StoredValue[] = [
      { ...bare, keyId: '4a6b1d0e-4d0c-4b5e-8c57-0c8c1f0c4a10' },
      { ...bare, ciphertext: Buffer.from('vault:v1:AAAA') },
      { ...bare, ciphertext: Buffer.from('eyJ') },
      { ...bare, ciphertext: Buffer.alloc(0) },
      withHeader(bare, (header) => (header['alg'] = 'ECDH-ES')),
      withHeader(bare, (header) => (header['clevis'] = {})),
    ]
    for (const other of others) expect(strict.recognize(other)).toBeUndefined()
  })

  test.each<[string, (header: Record<string, unknown>) => void]>([
    ['zip', (header) => (header['zip'] = 'DEF')],
    ['crit', (header) => (header['crit'] = ['exp'])],
    ['additional data', (header) => (header['_thales_aad'] = 'AAAA')],
    ['another enc', (header) => (header['enc'] = 'A256CBC-HS512')],
    ['no enc', (header) => delete header['enc']],
    ['an enc that is no text', (header) => (header['enc'] = ['A256GCM'])],
    ['an alg of Object', (header) => (header['alg'] = 'constructor')],
  ])('is refused before a key is asked: a header with %s', (_what, change) => {
    expect(outcomeNow(() => strict.plan(withHeader(stored, change)))).toBe('ERR_MALFORMED_ENVELOPE')
  })

  test('is refused: ml-kem, by name and with a way out', () => {
    const domain = 'k8s-kms-plugin.keysealer.eclipse.org'
    const kem = {
      ...stored,
      ciphertext: Buffer.alloc(60),
      annotations: { [`algorithm-family.${domain}`]: Buffer.from('ml-kem') },
    }
    expect(strict.recognize(kem)).toBe('annotation')
    expect(outcomeNow(() => strict.plan(kem))).toBe('ERR_MALFORMED_ENVELOPE')
    expect(k8sKmsPlugin.explain(kem).problem).toContain('ml-kem')
    const cipher = { ...stored, annotations: { [`kem-ciphertext.${domain}`]: Buffer.alloc(1088) } }
    expect(outcomeNow(() => strict.plan(cipher))).toBe('ERR_MALFORMED_ENVELOPE')
  })

  test('is refused: a length in the header that the ciphertext does not have', () => {
    const { stored: cbc } = generation('c')
    for (const length of [0n, 1n, 31n, 48n, 65_536n, 2n ** 63n]) {
      const told = Buffer.alloc(8)
      told.writeBigUInt64BE(length)
      const value = withHeader(cbc, (header) => (header['_thales_aad'] = told.toString('base64url')))
      expect(
        outcomeNow(() => strict.plan(value)),
        String(length),
      ).toBe('ERR_MALFORMED_ENVELOPE')
    }
  })
})

describe('inspect', () => {
  test.each(cases(() => true))('explains %s without a key', (_name, { stored }) => {
    const { fields, problem } = k8sKmsPlugin.explain(stored)
    expect(problem).toBeUndefined()
    expect(fields.map(({ label }) => label)).toEqual(
      expect.arrayContaining(['header alg', 'family', 'IV', 'tag']),
    )
  })

  test('says of a damaged value what is wrong, and never throws', () => {
    const { stored } = generation('b')
    for (const ciphertext of damaged(stored.ciphertext)) {
      expect(Array.isArray(k8sKmsPlugin.explain({ ...stored, ciphertext }).fields)).toBe(true)
    }
    expect(k8sKmsPlugin.explain({ ...stored, ciphertext: Buffer.from('eyJ') }).problem).toContain('5')
  })
})
