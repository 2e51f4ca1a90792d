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

/** As `hexdump -C` prints it: 16 bytes a line, `*` for lines like the one before. */
function hexdumpOf(bytes: Buffer): string {
  const lines: string[] = []
  let before = ''
  for (let at = 0; at < bytes.length; at += 16) {
    const chunk = bytes.subarray(at, at + 16)
    const digits = [...chunk].map((byte) => byte.toString(16).padStart(2, '0'))
    const text = [...chunk]
      .map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.'))
      .join('')
    const hexes = `${digits.slice(0, 8).join(' ')}  ${digits.slice(8).join(' ')}`.padEnd(48)
    const isRepeated = hexes === before && chunk.length === 16
    if (!isRepeated) lines.push(`${at.toString(16).padStart(8, '0')}  ${hexes}  |${text}|`)
    else if (lines.at(-1) !== '*') lines.push('*')
    before = hexes
  }
  return `${lines.join('\n')}\n${bytes.length.toString(16).padStart(8, '0')}\n`
}

/** As `xxd` prints it. */
function xxdOf(bytes: Buffer): string {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += 16) {
    const chunk = bytes.subarray(at, at + 16)
    const groups = chunk
      .toString('hex')
      .replace(/.{4}(?=.)/g, '$& ')
      .padEnd(39)
    const text = [...chunk]
      .map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.'))
      .join('')
    lines.push(`${at.toString(16).padStart(8, '0')}: ${groups}  ${text}`)
  }
  return `${lines.join('\n')}\n`
}

describe('a dump', () => {
  test('with lines that hexdump left out is whole', () => {
    const bytes = Buffer.concat([Buffer.from('k8s:enc:kms:v1:p'), Buffer.alloc(160), Buffer.from('end')])
    const text = hexdumpOf(bytes)
    expect(text).toContain('\n*\n')
    expect(Buffer.from(decodeInput(Buffer.from(text)).bytes).equals(bytes)).toBe(true)
  })

  test('any bytes survive either dump', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 100 }), (array) => {
        const bytes = Buffer.from(array)
        for (const text of [hexdumpOf(bytes), xxdOf(bytes)]) {
          expect(Buffer.from(decodeInput(Buffer.from(text)).bytes).equals(bytes)).toBe(true)
        }
      }),
    )
  })

  test('with a hole, out of order or with an offset beyond any value is no dump', () => {
    const lines = hexdumpOf(randomBytes(64)).split('\n')
    const [first = '', second = '', third = ''] = lines
    for (const text of [[first, third], [second, first], ['ffffffffffffff  00  |.|'], [first, '*']]) {
      expect(decodeInput(Buffer.from(text.join('\n'))).form).not.toBe('hexdump')
    }
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
  ['hexdump -C', hexdumpOf(value), 'hexdump'],
  [
    'hexdump -C of a key line and its value',
    hexdumpOf(Buffer.concat([Buffer.from('/registry/secrets/a/b\n'), value])),
    'hexdump',
  ],
  [
    'hexdump -C in upper case with carriage returns',
    hexdumpOf(value).toUpperCase().replaceAll('\n', '\r\n'),
    'hexdump',
  ],
  ['xxd', xxdOf(value), 'hexdump'],
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
