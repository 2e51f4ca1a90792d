import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createValueExplainer } from '../../../src/adapters/etcd/value_explainer.js'
import { describeEnvelope } from '../../../src/domain/envelope.js'
import { kekPart, keyId } from '../../../src/ports/key_id.js'
import type { Explanation } from '../../../src/ports/operations.js'
import { envelope, identity, kmsV1, kmsV2, local, someKeyId } from './stored_values.js'

const explainer = createValueExplainer(describeEnvelope)

const KEY_ID = someKeyId('a')
const ENVELOPE = envelope(KEY_ID)
const ANNOTATIONS = { 'local-kek.example.org': Buffer.from('secret'), 'other.example.org': Buffer.of() }
const SEEDED = { encryptedData: Buffer.alloc(160), keyID: KEY_ID, encryptedDEKSourceType: 1 }

const ours = kmsV2('hsm', { ...SEEDED, encryptedDEKSource: ENVELOPE })
const foreign = kmsV2('vault', {
  encryptedData: Buffer.alloc(128),
  keyID: '1',
  encryptedDEKSource: Buffer.from('vault:v1:abc'),
  annotations: ANNOTATIONS,
})
const SECRET = 'CANARYb3BlbnNlc2FtZQ'
const clear = identity('v1', 'Secret', Buffer.from(`\n\x05data1${SECRET}`))
const clearJson = Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'Secret', data: { pin: SECRET } }))

/** One value of every scheme. */
const golden: readonly (readonly [string, Uint8Array])[] = [
  ['KMS v2 with our envelope', ours],
  ['KMS v2 of another plugin', foreign],
  ['KMS v1 with our envelope', kmsV1('hsm', ENVELOPE, Buffer.alloc(60))],
  ['KMS v1 of another plugin', kmsV1('aws', Buffer.from('1\x01\x02'), Buffer.alloc(60))],
  ['aescbc', local('aescbc', 'key1', Buffer.alloc(64))],
  ['aesgcm', local('aesgcm', 'key1', Buffer.alloc(61))],
  ['secretbox', local('secretbox', 'key1', Buffer.alloc(77))],
  ['identity as protobuf', clear],
  ['identity as JSON', clearJson],
  ['a bare envelope', ENVELOPE],
]

function field(explanation: Explanation, label: string): string | undefined {
  return explanation.fields.find((candidate) => candidate.label === label)?.value
}

function problems(explanation: Explanation): readonly string[] {
  return explanation.fields.filter(({ label }) => label === 'problem').map(({ value }) => value)
}

describe('damage is an answer, not an error', () => {
  test('any bytes are explained', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        expect(explainer.explain(bytes).summary).not.toBe('')
      }),
    )
  })

  test('any bytes behind any prefix are explained, on printable lines, and as ill-formed with a problem', () => {
    const prefixes = [...golden.map(([, value]) => value.subarray(0, 24)), Buffer.from('k8s:enc:')]
    fc.assert(
      fc.property(fc.constantFrom(...prefixes), fc.uint8Array({ maxLength: 600 }), (prefix, bytes) => {
        const explanation = explainer.explain(Buffer.concat([prefix, bytes]))
        for (const text of [explanation.summary, ...explanation.fields.map(({ value }) => value)]) {
          expect(text).toMatch(/^[ -~]+$/)
        }
        expect(problems(explanation).length > 0).toBe(!explanation.wellFormed)
      }),
      { numRuns: 2000 },
    )
  })

  test.each(golden)('%s: no bit flip throws, and none shows what the value holds', (_, value) => {
    for (let bit = 0; bit < value.length * 8; bit++) {
      const flipped = Uint8Array.from(value)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      expect(JSON.stringify(explainer.explain(flipped))).not.toContain('CANARY')
    }
  })

  test.each(golden)('%s: no truncation throws, and none shows what the value holds', (_, value) => {
    for (let length = 0; length < value.length; length++) {
      const explanation = explainer.explain(value.subarray(0, length))
      expect(JSON.stringify(explanation)).not.toContain('CANARY')
    }
  })

  // Field 5 has its own tag and value; without both, a value of type 0 is left.
  test('a KMS v2 value that was cut within a field is ill-formed', () => {
    for (let length = 0; length < ours.length; length++) {
      const explanation = explainer.explain(ours.subarray(0, length))
      expect(explanation.wellFormed, `${length} bytes`).toBe(length === ours.length - 2)
    }
  })

  test.each(['KMS v1 with our envelope', 'aescbc', 'identity as JSON', 'a bare envelope'])(
    '%s: its first half is ill-formed',
    (name) => {
      const value = golden.find(([candidate]) => candidate === name)![1]
      expect(explainer.explain(value.subarray(0, value.length >> 1)).wellFormed).toBe(false)
    },
  )

  test('the sentence says at which byte a KMS v2 value broke', () => {
    const at = 'k8s:enc:kms:v2:hsm:'.length
    const broken = explainer.explain(ours.subarray(0, at + 100))
    // Tag and two bytes of length stand before the data.
    expect(problems(broken)[0]).toContain(`byte ${at + 3}: field 1 is 160 bytes long, 97 are left`)
    expect(broken.summary).toContain(`byte ${at + 3}`)
  })

  test('the sentence says at which byte a KMS v1 value broke', () => {
    const value = kmsV1('hsm', ENVELOPE, Buffer.alloc(27))
    expect(problems(explainer.explain(value))[0]).toContain(`byte ${'k8s:enc:kms:v1:hsm:'.length + 2} `)
  })

  const hostile: readonly (readonly [string, Uint8Array])[] = [
    ['as many colons as no split parses', Buffer.from('k8s:enc:kms:v1:'.padEnd(14_000, ':'))],
    ['a megabyte of empty annotations', protobufOf([0x22, 0x00])],
    ['a megabyte of unknown fields', protobufOf([0x30, 0x00])],
    ['a megabyte of key ids', protobufOf([0x12, 0x01])],
    ['a megabyte of brackets', Buffer.concat([Buffer.from('{"a":'), Buffer.alloc(2 ** 20, '[')])],
  ]
  test.each(hostile)('%s ends in a short, ill-formed answer', (_, value) => {
    const explanation = explainer.explain(value)
    expect(explanation.wellFormed).toBe(false)
    expect(JSON.stringify(explanation).length).toBeLessThan(5000)
  })
})

describe('what kube-apiserver would refuse is ill-formed', () => {
  const whole = { ...SEEDED, encryptedDEKSource: ENVELOPE }
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ['no key id', kmsV2('p', { ...whole, keyID: '' })],
    ['a key id of 1025 bytes', kmsV2('p', { ...whole, keyID: 'x'.repeat(1025) })],
    ['no encrypted data', kmsV2('p', { ...whole, encryptedData: Buffer.of() })],
    ['data shorter than info, nonce and tag', kmsV2('p', { ...whole, encryptedData: Buffer.alloc(59) })],
    ['no DEK source', kmsV2('p', { ...whole, encryptedDEKSource: Buffer.of() })],
    ['a DEK source of 1025 bytes', kmsV2('p', { ...whole, encryptedDEKSource: Buffer.alloc(1025) })],
    ['DEK source type 2', kmsV2('p', { ...whole, encryptedDEKSourceType: 2 })],
    [
      'annotations over 32 KiB',
      kmsV2('p', { ...whole, annotations: { 'a.b': Buffer.alloc(32 * 1024 - 2) } }),
    ],
    ['no provider name', kmsV2('', whole)],
    ['no payload', Buffer.from('k8s:enc:kms:v2:p')],
    ['a key id that is not UTF-8', Buffer.concat([ours, Buffer.of(0x12, 0x01, 0xff)])],
    ['KMS v3', Buffer.from('k8s:enc:kms:v3:p:x')],
    ['an unknown scheme', Buffer.from('k8s:enc:rot13:v1:p:x')],
    ['a prefix alone', Buffer.from('k8s:enc:')],
    ['a KMS v1 DEK of no bytes', kmsV1('p', Buffer.of(), Buffer.alloc(60))],
    ['aescbc data of no whole blocks', local('aescbc', 'k', Buffer.alloc(63))],
    ['aesgcm data without a whole tag', local('aesgcm', 'k', Buffer.alloc(27))],
    ['secretbox data without a whole box', local('secretbox', 'k', Buffer.alloc(39))],
    ['protobuf in the clear that ends after its type', clear.subarray(0, 18)],
    ['a protobuf mark alone', Buffer.from('k8s\0')],
    ['no bytes', Buffer.of()],
    ['a text', Buffer.from('compact_rev_key')],
  ]
  test.each(cases)('%s', (_, value) => {
    const explanation = explainer.explain(value)
    expect(explanation.wellFormed).toBe(false)
    expect(problems(explanation)).not.toEqual([])
  })

  test('and its limits are inclusive', () => {
    const value = kmsV2('p', {
      ...whole,
      keyID: 'x'.repeat(1024),
      encryptedDEKSource: Buffer.alloc(1024),
      annotations: { 'a.b': Buffer.alloc(32 * 1024 - 3) },
      encryptedData: Buffer.alloc(60),
    })
    expect(explainer.explain(value).wellFormed).toBe(true)
  })
})

describe('KMS v2', () => {
  test('a value with our envelope is explained to the last field', () => {
    const explanation = explainer.explain(ours)
    expect(explanation).toEqual({
      summary: 'Encrypted by kube-apiserver with the KMS v2 provider "hsm" and kmsplugin.',
      wellFormed: true,
      fields: [
        { label: 'value bytes', value: String(ours.length) },
        { label: 'scheme', value: 'kms' },
        { label: 'scheme version', value: 'v2' },
        { label: 'provider name', value: 'hsm' },
        { label: 'key id', value: KEY_ID },
        { label: 'key id hash', value: `sha256:${createHash('sha256').update(KEY_ID).digest('hex')}` },
        { label: 'DEK source type', value: 'HKDF_SHA256_XNONCE_AES_GCM_SEED (1)' },
        { label: 'DEK source meaning', value: expect.stringContaining('seed') as string },
        { label: 'encrypted DEK source bytes', value: String(ENVELOPE.length) },
        { label: 'envelope format', value: 'kmsplugin 1' },
        { label: 'envelope cipher', value: 'A256GCM' },
        { label: 'envelope key id', value: KEY_ID },
        { label: 'envelope wrapped DEK bytes', value: '40' },
        { label: 'envelope ciphertext bytes', value: '32' },
        { label: 'envelope bytes', value: String(ENVELOPE.length) },
        { label: 'encrypted data bytes', value: '160' },
        { label: 'plaintext bytes', value: '100' },
        { label: 'annotation keys', value: 'none' },
      ],
    })
  })

  test('an absent DEK source type is AES_GCM_KEY, and a foreign DEK source is called so', () => {
    const explanation = explainer.explain(foreign)
    expect(explanation.wellFormed).toBe(true)
    expect(field(explanation, 'DEK source type')).toBe('AES_GCM_KEY (0)')
    expect(field(explanation, 'plaintext bytes')).toBe('100')
    expect(field(explanation, 'annotation keys')).toBe('local-kek.example.org, other.example.org')
    expect(field(explanation, 'envelope format')).toBeUndefined()
    expect(field(explanation, 'note')).toContain('another plugin')
    expect(JSON.stringify(explanation)).not.toContain('secret')
  })

  test('a key id hash is over the UTF-8 of the key id, as in the metrics of kube-apiserver', () => {
    const explanation = explainer.explain(kmsV2('p', { ...SEEDED, keyID: '1', encryptedDEKSource: ENVELOPE }))
    expect(field(explanation, 'key id hash')).toBe(
      'sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b',
    )
  })

  test('an outer key id that is not the inner one is a problem', () => {
    const mixed = kmsV2('hsm', { ...SEEDED, keyID: someKeyId('c'), encryptedDEKSource: ENVELOPE })
    const explanation = explainer.explain(mixed)
    expect(explanation.wellFormed).toBe(false)
    expect(problems(explanation)[0]).toContain('key id')
  })

  test('unknown and repeated fields are noted and harmless', () => {
    const explanation = explainer.explain(Buffer.concat([ours, Buffer.of(0x28, 0x01, 0x30, 0x01)]))
    expect(explanation.wellFormed).toBe(true)
    const notes = explanation.fields.filter(({ label }) => label === 'note').map(({ value }) => value)
    expect(notes).toEqual([
      'the EncryptedObject holds encryptedDEKSourceType more than once; the last one counts',
      'the EncryptedObject holds fields that this version does not know: 6',
    ])
  })

  test('what could steer a terminal is escaped', () => {
    const value = kmsV2('p', { ...SEEDED, keyID: 'a\u001b[2Jé\u202e', encryptedDEKSource: ENVELOPE })
    expect(field(explainer.explain(value), 'key id')).toBe('a\\u{1b}[2J\\u{e9}\\u{202e}')
  })
})

describe('KMS v1', () => {
  test('a value with our envelope names provider, sizes and envelope', () => {
    const explanation = explainer.explain(kmsV1('hsm', ENVELOPE, Buffer.alloc(60)))
    expect(explanation.wellFormed).toBe(true)
    expect(explanation.summary).toBe(
      'Encrypted by kube-apiserver with the KMS v1 provider "hsm" and kmsplugin.',
    )
    expect(field(explanation, 'encrypted DEK bytes')).toBe(String(ENVELOPE.length))
    expect(field(explanation, 'encrypted data bytes')).toBe('60')
    expect(field(explanation, 'envelope key id')).toBe(KEY_ID)
  })

  test.each(['a:b', 'kms:eu-west-1:old', ':'])('the provider name %s may hold colons', (name) => {
    const explanation = explainer.explain(kmsV1(name, ENVELOPE, Buffer.alloc(60)))
    expect(explanation.wellFormed).toBe(true)
    expect(field(explanation, 'provider name')).toBe(name)
  })
})

describe('schemes without a KMS plugin', () => {
  test.each([
    ['aescbc', 64, '32 to 47'],
    ['aesgcm', 61, '33'],
    ['secretbox', 77, '37'],
  ])('%s names its key and how long the plaintext is', (scheme, payloadBytes, plaintextBytes) => {
    const explanation = explainer.explain(local(scheme, 'key1', Buffer.alloc(payloadBytes)))
    expect(explanation.wellFormed).toBe(true)
    expect(field(explanation, 'scheme')).toBe(scheme)
    expect(field(explanation, 'key name')).toBe('key1')
    expect(field(explanation, 'plaintext bytes')).toBe(plaintextBytes)
  })

  test.each([
    ['protobuf', clear],
    ['JSON', clearJson],
  ])('a %s in the clear is called unencrypted and shows its type alone', (encoding, value) => {
    const explanation = explainer.explain(value)
    expect(explanation.wellFormed).toBe(true)
    expect(explanation.summary).toBe(`Not encrypted: a Secret in the clear, as ${encoding}.`)
    expect(field(explanation, 'object API version')).toBe('v1')
    expect(JSON.stringify(explanation)).not.toContain(SECRET)
  })

  test('a kind that has not the form of a kind is not shown', () => {
    const explanation = explainer.explain(
      Buffer.from(JSON.stringify({ kind: 'my pass word', apiVersion: 7 })),
    )
    expect(explanation.summary).toBe('Not encrypted: an object of unknown kind in the clear, as JSON.')
    expect(JSON.stringify(explanation)).not.toContain('pass word')
  })
})

test('a bare envelope of ours is known', () => {
  const explanation = explainer.explain(ENVELOPE)
  expect(explanation.wellFormed).toBe(true)
  expect(field(explanation, 'envelope cipher')).toBe('A256GCM')
})

test('configured names stand beside the key ids that they belong to', () => {
  const names = new Map([[kekPart(keyId(KEY_ID)), 'hsm-2024']])
  expect(field(explainer.explain(ours, names), 'key id is of key')).toBe('hsm-2024')
  expect(field(explainer.explain(ours, names), 'envelope key id is of key')).toBe('hsm-2024')
  expect(field(explainer.explain(foreign, names), 'key id is of key')).toBe('none in this configuration')
  expect(field(explainer.explain(ours), 'key id is of key')).toBeUndefined()
})

/** A KMS v2 value that repeats one field over a megabyte. */
function protobufOf(pair: readonly [number, number]): Uint8Array {
  return Buffer.concat([Buffer.from('k8s:enc:kms:v2:p:'), Buffer.alloc(2 ** 20, Buffer.from(pair))])
}
