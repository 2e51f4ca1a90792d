/** Messages and bytes that look like messages, for properties. */
import fc from 'fast-check'
import type { Fields } from '../../../../src/adapters/grpc/wire/message.js'

const joined = (...parts: readonly Uint8Array[]) => Buffer.concat(parts)

/** Of all planes, and with names that JavaScript objects have already. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    '',
    '0',
    '\uFFFD',
    '\uFEFFx',
    '\0',
  ),
)
const content = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes))
const entries = fc
  .uniqueArray(fc.tuple(text, content), { maxLength: 4, selector: ([name]) => name })
  .map((all) => Object.fromEntries(all))
const valueOf = { bytes: content, secret: content, string: text, map: entries }

/** A message of these fields, whichever of them are empty. */
export function message(fields: Fields): fc.Arbitrary<Record<string, unknown>> {
  return fc.record(
    Object.fromEntries(Object.entries(fields).map(([name, { type }]) => [name, valueOf[type]])),
  )
}

/** A varint, with up to `padding` bytes more than it needs. */
function varint(value: bigint, padding = 0): Buffer {
  const bytes: number[] = []
  for (let rest = value; ; rest >>= 7n) {
    bytes.push(Number(rest & 0x7fn))
    if (rest < 0x80n) break
  }
  for (let i = 0; i < padding; i++) bytes.push(0)
  return Buffer.from(bytes.map((byte, index) => (index === bytes.length - 1 ? byte : byte | 0x80)))
}

const number = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 6 }) },
  { weight: 2, arbitrary: fc.constantFrom(0, 15, 16, 2047, 2 ** 29 - 1, 2 ** 29) },
)
const padding = fc.oneof({ weight: 8, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 10 }))
const wild = fc.constantFrom(
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 32n + 2n,
  2n ** 63n,
  2n ** 64n - 1n,
  2n ** 64n,
)

const tagged = (value: fc.Arbitrary<Uint8Array>, wireType: number) =>
  fc
    .tuple(number, padding, value)
    .map(([n, more, bytes]) => joined(varint(BigInt(n * 8 + wireType), more), bytes))
const delimited = (bytes: fc.Arbitrary<Uint8Array>) =>
  fc.tuple(bytes, padding).map(([one, more]) => joined(varint(BigInt(one.length), more), one))

/** Fields of every wire type, groups in groups, messages in messages, repeated, padded, broken here and there. */
const { fields } = fc.letrec<{ fields: Buffer; field: Buffer }>((tie) => ({
  fields: fc.array(tie('field'), { maxLength: 6 }).map((all) => joined(...all)),
  field: fc.oneof(
    { maxDepth: 3 },
    {
      weight: 6,
      arbitrary: tagged(
        delimited(
          fc.oneof(
            content,
            text.map((one) => Buffer.from(one)),
          ),
        ),
        2,
      ),
    },
    {
      weight: 1,
      arbitrary: tagged(
        fc.tuple(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), padding).map(([v, p]) => varint(v, p)),
        0,
      ),
    },
    {
      weight: 1,
      arbitrary: tagged(
        wild.map((v) => varint(v)),
        0,
      ),
    },
    { weight: 1, arbitrary: tagged(fc.uint8Array({ minLength: 8, maxLength: 8 }), 1) },
    { weight: 1, arbitrary: tagged(fc.uint8Array({ minLength: 4, maxLength: 4 }), 5) },
    {
      weight: 1,
      arbitrary: tagged(
        wild.map((v) => joined(varint(v), Buffer.from('hi'))),
        2,
      ),
    },
    { weight: 1, arbitrary: tagged(fc.constant(Buffer.alloc(0)), 4) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(number, tie('fields'), number, fc.boolean())
        .map(([n, inside, other, isClosed]) =>
          joined(varint(BigInt(n * 8 + 3)), inside, varint(BigInt((isClosed ? n : other) * 8 + 4))),
        ),
    },
    { weight: 2, arbitrary: tagged(delimited(tie('fields')), 2) },
  ),
}))

/** Bytes that a reader takes for a message, or nearly: as above, cut at any place, with any bit flipped, or any bytes at all. */
export const messageLike: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 4, arbitrary: fields },
  {
    weight: 2,
    arbitrary: fc.tuple(fields, fc.nat()).map(([bytes, at]) => bytes.subarray(0, at % (bytes.length + 1))),
  },
  { weight: 3, arbitrary: fc.tuple(fields, fc.nat()).map(([bytes, at]) => flipped(bytes, at)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)) },
)

/** With one bit of its bytes changed; `bit` may be any number. */
export function flipped(bytes: Buffer, bit: number): Buffer {
  const changed = Buffer.from(bytes)
  if (changed.length === 0) return changed
  const at = Math.floor(bit / 8) % changed.length
  changed[at] = changed[at]! ^ (1 << (bit % 8))
  return changed
}
