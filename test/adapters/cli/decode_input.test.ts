import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UsageError } from '../../../src/adapters/cli/arguments.js'
import { decodeInput } from '../../../src/adapters/cli/decode_input.js'

const value = Buffer.concat([Buffer.from('k8s:enc:kms:v2:p:'), randomBytes(200)])
const hex = value.toString('hex')
const base64 = value.toString('base64')

function etcdctlJson(kvs: unknown): Buffer {
  return Buffer.from(JSON.stringify({ header: { cluster_id: 1, revision: 2 }, kvs }))
}

describe('the JSON of etcdctl', () => {
  test.each([
    ['no value', undefined],
    ['two values', [{ value: base64 }, { value: base64 }]],
  ])('with %s is refused', (_, kvs) => {
    expect(() => decodeInput(etcdctlJson(kvs))).toThrow(UsageError)
  })

  test.each([[[null]], [[7]], [[{ value: 7 }]], [[{ key: 'eA==' }]]])('%j holds an empty value', (kvs) => {
    expect(decodeInput(etcdctlJson(kvs)).bytes).toHaveLength(0)
  })

  test('is not confused with an object that was stored as JSON', () => {
    const object = Buffer.from(
      JSON.stringify({ apiVersion: 'a/v1', kind: 'K', header: { cluster_id: 1 }, kvs: [] }),
    )
    expect(decodeInput(object)).toEqual({ bytes: object, form: 'raw' })
  })
})

const forms: readonly (readonly [string, string | Uint8Array, string])[] = [
  ['raw', value, 'raw'],
  [
    'after the key line of etcdctl get',
    Buffer.concat([Buffer.from('/registry/secrets/a/b\n'), value]),
    'raw',
  ],
  ['etcdctl get -w json', etcdctlJson([{ key: 'eA==', value: base64 }]), 'etcdctl JSON'],
  ['hex', hex, 'hex'],
  ['hex in upper case', hex.toUpperCase(), 'hex'],
  ['hex behind 0x', `0x${hex}\n`, 'hex'],
  ['hex with spaces', hex.replace(/../g, '$& '), 'hex'],
  ['xxd -p', hex.replace(/.{60}/g, '$&\n'), 'hex'],
  ['etcdctl get --hex', hex.replace(/../g, '\\x$&'), 'hex'],
  ['base64', `${base64}\n`, 'base64'],
  ['base64 in lines', base64.replace(/.{76}/g, '$&\r\n'), 'base64'],
  ['base64 without padding', base64.replace(/=+$/, ''), 'base64'],
  ['base64url', value.toString('base64url'), 'base64'],
  ['base64 as a JSON string', `"${base64}"`, 'base64'],
]
test.each(forms)('%s is undone', (_, input, form) => {
  const decoded = decodeInput(Buffer.from(input as string))
  expect(decoded.form).toBe(form)
  expect(Buffer.from(decoded.bytes).toString('hex')).toBe(hex)
})

test('what begins like a stored value is raw, whatever it looks like', () => {
  for (const text of ['k8s:enc:', 'k8s\0abcd', '{}', '{cut off']) {
    expect(decodeInput(Buffer.from(text))).toEqual({ bytes: Buffer.from(text), form: 'raw' })
  }
})

test('text that may be both hex and base64 is what yields a stored value', () => {
  const ambiguous = Buffer.from('k8s:enc:').toString('base64').replace(/=+$/, '')
  expect(decodeInput(Buffer.from(ambiguous)).form).toBe('base64')
  // Both hex and base64, and neither yields a known beginning.
  expect(decodeInput(Buffer.from('abcdef01')).form).toBe('hex')
})

test('text of no known form stays as it is', () => {
  for (const text of ['vault:v1:abc', 'a', '"', '/registry/a.b', '', 'ab-c+d==']) {
    expect(decodeInput(Buffer.from(text))).toEqual({ bytes: Buffer.from(text), form: 'raw' })
  }
})

test('no bytes make it fail but JSON of etcdctl without one value', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void decodeInput(bytes)))
  fc.assert(fc.property(fc.json(), (text) => void decodeInput(Buffer.from(text))))
})
