/** Every message of both APIs beside protobuf.js with the .proto files. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MalformedError } from '../../../../src/adapters/grpc/wire/reader.js'
import { flipped, message, messageLike } from './generators.js'
import { ODDITIES, odditiesOf } from './oddities.js'
import { contentOf, ourContent, referenceContent, subjects, type Subject } from './reference.js'

const named = subjects.map((subject) => [subject.name, subject] as const)
const decryptRequest = subjects.find(({ name }) => name === 'v2.DecryptRequest')!
const largest = 128 * 1024

/** As protobuf.js writes it. */
function written({ reference }: Subject, values: object): Buffer {
  return Buffer.from(reference.encode(reference.fromObject(values)).finish())
}

function bothReadAlike(subject: Subject, bytes: Buffer): void {
  expect(ourContent(subject, bytes)).toEqual(referenceContent(subject, bytes))
}

describe.each(named)('%s', (_name, subject) => {
  const { ours, reference } = subject

  test('bytes that look like a message are read as protobuf.js reads them, or both refuse', () => {
    fc.assert(
      fc.property(messageLike, (bytes) => {
        if (odditiesOf(bytes, ours.fields).size === 0) bothReadAlike(subject, bytes)
      }),
      { numRuns: 2000 },
    )
  })

  test('cut at any place, or with any bit flipped, it is read as protobuf.js reads it, or both refuse', () => {
    fc.assert(
      fc.property(message(ours.fields), (values) => {
        const bytes = written(subject, values)
        for (let end = 0; end < bytes.length; end++) {
          const cut = bytes.subarray(0, end)
          if (odditiesOf(cut, ours.fields).size === 0) bothReadAlike(subject, cut)
        }
        for (let bit = 0; bit < bytes.length * 8; bit += 1) {
          const changed = flipped(bytes, bit)
          if (odditiesOf(changed, ours.fields).size === 0) bothReadAlike(subject, changed)
        }
      }),
      { numRuns: 15 },
    )
  })

  test('what protobuf.js writes is read, with each value as it was', () => {
    fc.assert(
      fc.property(message(ours.fields), (values) => {
        expect(ourContent(subject, written(subject, values))).toEqual(contentOf(values))
      }),
      { numRuns: 300 },
    )
  })

  test('what it writes is what protobuf.js writes, less the fields that are empty', () => {
    fc.assert(
      fc.property(message(ours.fields), (values) => {
        const full = Object.fromEntries(
          Object.entries(values).filter(([, value]) => Object.keys(Object(value) as object).length > 0),
        )
        const expected = written(subject, full)
        // Last, for it wipes what is secret.
        expect(ours.encode(values as never).equals(expected)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  test('fields as long as a request may be go both ways', () => {
    for (const [name, { type }] of Object.entries(ours.fields)) {
      const text = 'ü'.repeat(largest / 2)
      const value = { bytes: Buffer.alloc(largest, 7), secret: Buffer.alloc(largest, 7), string: text }
      const values = { [name]: type === 'map' ? { [text]: value.bytes } : value[type] }
      const bytes = written(subject, values)
      bothReadAlike(subject, bytes)
      expect(ours.encode(values as never).equals(bytes)).toBe(true)
    }
  })

  test('an empty one takes no bytes, and no bytes are an empty one', () => {
    expect(ours.encode(ours.decode(Buffer.alloc(0)))).toHaveLength(0)
    bothReadAlike(subject, Buffer.alloc(0))
    expect(reference.encode({}).finish()).toHaveLength(0)
  })
})

test('what is refused is refused in one of a few texts, none of which tells what the bytes hold', () => {
  const texts = new Set<string>()
  for (const bytes of fc.sample(messageLike, { numRuns: 20_000 })) {
    try {
      decryptRequest.ours.decode(bytes)
    } catch (error) {
      expect(error).toBeInstanceOf(MalformedError)
      texts.add((error as Error).message)
    }
  }
  expect(texts.size).toBeLessThan(10)
})

test('the properties are about messages that are read, bytes that both refuse, and every oddity', () => {
  const seen = new Set<string>()
  let read = 0
  let refused = 0
  for (const bytes of fc.sample(messageLike, { numRuns: 20_000 })) {
    const oddities = odditiesOf(bytes, decryptRequest.ours.fields)
    for (const oddity of oddities) seen.add(oddity)
    if (oddities.size > 0) continue
    if (ourContent(decryptRequest, bytes) === undefined) refused++
    else read++
  }
  expect([...seen].sort()).toEqual([...ODDITIES].sort())
  expect(Math.min(read, refused)).toBeGreaterThan(2000)
})
