/** Whether the cache can mistake one wrapped DEK for another. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nameOfWrapped } from '../../src/domain/wrapped_name.js'
import { KEY_ID_MAX_BYTES, type KeyId } from '../../src/ports/key_id.js'
import { WRAPPED_DEK_MAX_BYTES } from '../../src/ports/key_wrapper.js'

const wrapped = fc.record({
  keyId: fc.string({ maxLength: KEY_ID_MAX_BYTES, unit: 'grapheme-ascii' }).map((text) => text as KeyId),
  bytes: fc.uint8Array({ maxLength: WRAPPED_DEK_MAX_BYTES, size: 'max' }),
})

test('the name is SHA-256 over length, key id and wrapped DEK', () => {
  fc.assert(
    fc.property(wrapped, ({ keyId, bytes }) => {
      const all = Buffer.concat([Buffer.of(keyId.length), Buffer.from(keyId, 'latin1'), bytes])
      expect(nameOfWrapped({ keyId, bytes })).toBe(createHash('sha256').update(all).digest('base64'))
    }),
  )
})

test('what moves from the key id into the wrapped DEK changes the name', () => {
  const name = (keyId: string, text: string) =>
    nameOfWrapped({ keyId: keyId as KeyId, bytes: Buffer.from(text) })
  expect(new Set([name('abc', ''), name('ab', 'c'), name('a', 'bc'), name('', 'abc')]).size).toBe(4)
})
