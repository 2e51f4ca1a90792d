/** Values of OVHcloud's okms-k8s-encryption-provider, recorded from it: what is read of them, and what is refused. */
import { createDecipheriv, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Format } from '../../../src/adapters/formats/format.js'
import { okmsKmip } from '../../../src/adapters/formats/okms_kmip.js'
import { okmsRest } from '../../../src/adapters/formats/okms_rest.js'
import type { NativeCiphertext, StoredValue } from '../../../src/ports/foreign.js'
import { outcomeNow } from '../../doubles/outcome.js'

interface Recorded {
  readonly key: {
    readonly servers?: readonly { readonly uid: string; readonly material: string }[]
    readonly keys?: readonly { readonly id: string }[]
  }
  readonly values: readonly {
    readonly ciphertext: string
    readonly keyId: string
    readonly annotations: Readonly<Record<string, string>>
    readonly plaintext: string
    readonly note: string
  }[]
}

function recordedIn(name: string) {
  const file = new URL(`../../vectors/foreign/${name}.json`, import.meta.url)
  const { key, values } = JSON.parse(readFileSync(file, 'utf8')) as Recorded
  const read = values.map(({ ciphertext, keyId, annotations, plaintext, note }) => ({
    note,
    plaintext: Buffer.from(plaintext, 'base64'),
    stored: {
      ciphertext: Buffer.from(ciphertext, 'base64'),
      keyId,
      annotations: Object.fromEntries(
        Object.entries(annotations).map(([label, value]) => [label, Buffer.from(value, 'base64')]),
      ),
    } satisfies StoredValue,
  }))
  return { key, values: read as [(typeof read)[number], ...typeof read] }
}

const allowed = { allowUnauthenticated: false }
type Okms = Format<Record<string, never>>

function asked(format: Okms, value: StoredValue): NativeCiphertext {
  const { questions, isReusable } = format.plan(value, {}, allowed)
  expect([questions.length, isReusable]).toEqual([1, undefined])
  return questions[0] as NativeCiphertext
}

const flipped = (bytes: Uint8Array, at: number): Buffer => {
  const bad = Buffer.from(bytes)
  bad[at]! ^= 1
  return bad
}

describe('okms-kmip', () => {
  const { key, values } = recordedIn('okms-kmip')
  const [{ stored: first }] = values
  const { annotations } = first
  const [IV, ALGORITHM] = ['iv.okms.ovh.com', 'alg.okms.ovh.com'] as const

  /** As a KMIP server with the keys of the vectors answers. */
  function open(value: StoredValue): Buffer {
    const { bytes, iv, tag, keyName } = asked(okmsKmip, value)
    const material = key.servers?.find(({ uid }) => uid === keyName)?.material
    if (material === undefined) throw new Error('no such key')
    const decipher = createDecipheriv('aes-256-gcm', Buffer.from(material, 'base64'), iv!, {
      authTagLength: 16,
    })
    return Buffer.concat([decipher.setAuthTag(tag!).update(bytes), decipher.final()])
  }

  test.each([
    ['no IV', { ...first, annotations: { [ALGORITHM]: annotations[ALGORITHM]! } }],
    ['an IV of 11 bytes', { ...first, annotations: { ...annotations, [IV]: annotations[IV]!.subarray(1) } }],
    ['an IV of 13 bytes', { ...first, annotations: { ...annotations, [IV]: Buffer.alloc(13) } }],
    ['another algorithm', { ...first, annotations: { ...annotations, [ALGORITHM]: Buffer.from('AES_CBC') } }],
    ['an empty algorithm', { ...first, annotations: { ...annotations, [ALGORITHM]: Buffer.alloc(0) } }],
    [
      'an annotation that we do not know',
      { ...first, annotations: { ...annotations, 'aad.okms.ovh.com': IV } },
    ],
    ['no annotations', { ...first, annotations: {} }],
    ['no key id, as on KMS v1', { ...first, keyId: undefined }],
    ['an empty key id', { ...first, keyId: '' }],
    ['a key id of two lines', { ...first, keyId: 'a\nb' }],
    ['a key id of 256 characters', { ...first, keyId: 'x'.repeat(256) }],
  ])('is refused with %s, before anybody is asked', (_, value) => {
    expect(outcomeNow(() => asked(okmsKmip, value as StoredValue))).toBe('ERR_MALFORMED_ENVELOPE')
  })

  test('is refused, not run into, when it is shorter than its tag', () => {
    for (let length = 0; length < 16; length += 1) {
      const value = { ...first, ciphertext: first.ciphertext.subarray(0, length) }
      expect(outcomeNow(() => asked(okmsKmip, value))).toBe('ERR_MALFORMED_ENVELOPE')
    }
  })

  test('gives the server nothing that it would open: each value cut anywhere, or with any one byte changed', () => {
    for (const { stored, note } of values) {
      const { ciphertext } = stored
      for (let at = 0; at < ciphertext.length; at += 1) {
        expect(() => open({ ...stored, ciphertext: ciphertext.subarray(0, at) }), note).toThrow()
        expect(() => open({ ...stored, ciphertext: flipped(ciphertext, at) }), note).toThrow()
      }
      expect(() => open({ ...stored, ciphertext: Buffer.concat([ciphertext, Buffer.of(0)]) }), note).toThrow()
      for (const [label, bytes] of Object.entries(stored.annotations)) {
        for (let at = 0; at < bytes.length; at += 1) {
          const changed = { ...stored.annotations, [label]: flipped(bytes, at) }
          expect(() => open({ ...stored, annotations: changed }), `${note} ${label}`).toThrow()
        }
      }
      for (let at = 0; at < stored.keyId.length; at += 1) {
        const keyId = flipped(Buffer.from(stored.keyId), at).toString()
        expect(() => open({ ...stored, keyId }), note).toThrow()
      }
    }
  })

  test.each(values)('opens: $note', ({ stored, plaintext }) => {
    expect(okmsKmip.recognize(stored)).toBe('annotation')
    expect(asked(okmsKmip, stored).keyName).toBe(stored.keyId)
    expect(open(stored)).toEqual(plaintext)
    const finished = okmsKmip.plan(stored, {}, allowed).finish([plaintext])
    expect(Buffer.from(finished)).toEqual(plaintext)
    expect(finished.buffer).not.toBe(plaintext.buffer)
  })

  test('is AES-GCM where the annotation of the algorithm is absent, as that plugin takes it', () => {
    expect(open({ ...first, annotations: { [IV]: annotations[IV]! } })).toEqual(values[0].plaintext)
  })

  test('is explained without any key, and what is wrong with it too', () => {
    expect(okmsKmip.explain(first)).toEqual({
      fields: [
        { label: 'key', value: first.keyId },
        { label: 'algorithm', value: 'AES-GCM, without associated data' },
        { label: 'plaintext bytes', value: '32' },
      ],
    })
    expect(okmsKmip.explain({ ...first, ciphertext: Buffer.alloc(3) })).toEqual({
      fields: [],
      problem: 'it has 3 bytes, and its tag alone has 16',
    })
  })
})

describe('okms-rest', () => {
  const { key, values } = recordedIn('okms-rest')
  const [{ stored: first }] = values
  const id = key.keys![0]!.id
  const text = first.ciphertext.toString()
  const as = (jwe: string) => ({ ...first, ciphertext: Buffer.from(jwe) })
  const [header = '', ...rest] = text.split('.')

  test.each([
    ['nothing', as('')],
    ['four parts', as(text.split('.').slice(0, 4).join('.'))],
    ['six parts', as(`${text}.AAAA`)],
    ['an empty tag', as(text.slice(0, text.lastIndexOf('.') + 1))],
    ['a header that is no JSON', as(['AAAA', ...rest].join('.'))],
    ['a header without enc', as([Buffer.from('{"alg":"dir"}').toString('base64url'), ...rest].join('.'))],
    ['a letter that base64url has not', as(`${text}=`)],
    ['a line break behind it', as(`${text}\n`)],
    ['more than the service makes', as([header, 'A'.repeat(5464), ...rest.slice(1)].join('.'))],
    ['annotations', { ...first, annotations: { 'a.b': Buffer.of(1) } }],
    ['no key id, as on KMS v1', { ...first, keyId: undefined }],
    ['a key id that is no UUID', { ...first, keyId: 'kubernetes' }],
    ['a UUID with something behind', { ...first, keyId: `${id}0` }],
    ['a UUID in one brace', { ...first, keyId: `{${id}` }],
  ])('is refused with %s, before anybody is asked', (_, value) => {
    expect(outcomeNow(() => asked(okmsRest, value as StoredValue))).toBe('ERR_MALFORMED_ENVELOPE')
  })

  test('is refused, not run into, when it is cut anywhere before its tag', () => {
    for (const { stored, note } of values) {
      const end = stored.ciphertext.lastIndexOf('.') + 1
      for (let length = 0; length <= end; length += 1) {
        const value = { ...stored, ciphertext: stored.ciphertext.subarray(0, length) }
        expect(
          outcomeNow(() => asked(okmsRest, value)),
          note,
        ).toBe('ERR_MALFORMED_ENVELOPE')
      }
    }
  })

  test.each(values)('goes to the service as it is: $note', ({ stored, plaintext }) => {
    expect(okmsRest.recognize(stored)).toBe('keyId')
    expect(asked(okmsRest, stored)).toEqual({ bytes: stored.ciphertext, keyName: id })
    expect(Buffer.from(okmsRest.plan(stored, {}, allowed).finish([plaintext]))).toEqual(plaintext)
  })

  test('is told from a JWE of another plugin by its key id, and by what stands beside it', () => {
    const annotations = { 'algorithm-family.k8s-kms-plugin.keysealer.eclipse.org': Buffer.from('aes-gcm') }
    expect(okmsRest.recognize({ ...first, annotations })).toBeUndefined()
    for (const keyId of [undefined, '0a1b', 'kubernetes', `obk2.${'a'.repeat(43)}`]) {
      expect(okmsRest.recognize({ ...first, keyId })).toBeUndefined()
    }
    expect(okmsRest.recognize({ ...first, ciphertext: Buffer.from('vault:v1:AAAA') })).toBeUndefined()
    expect(okmsRest.recognize({ ...first, keyId: randomUUID() })).toBe('keyId')
  })

  test('is explained without any key, and what is wrong with it too', () => {
    expect(okmsRest.explain(first)).toEqual({
      fields: [
        { label: 'key', value: id },
        { label: 'algorithm', value: 'A256GCMKW, A256GCM' },
      ],
    })
    expect(okmsRest.explain(as('eyJ'))).toEqual({ fields: [], problem: 'it is no compact JWE' })
  })
})
