import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { crc32c } from '../../../src/adapters/backends/gcp/crc32c.js'
import { castagnoli } from '../../support/fakes/gcp_key.js'

const ascending = Uint8Array.from({ length: 32 }, (_, at) => at)

/** Check value of the CRC catalogue (CRC-32/ISCSI), and RFC 3720 appendix B.4. */
const published: readonly (readonly [string, Uint8Array, number])[] = [
  ['nothing', new Uint8Array(0), 0],
  ['the digits 1 to 9', Buffer.from('123456789'), 0xe3069283],
  ['32 bytes of zeroes', Buffer.alloc(32), 0x8a9136aa],
  ['32 bytes of ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
  ['32 ascending bytes', ascending, 0x46dd794e],
  ['32 descending bytes', Uint8Array.from(ascending).reverse(), 0x113fdb5c],
]

test.each(published)('CRC32C of %s is the published one', (_name, bytes, value) => {
  expect(crc32c(bytes)).toBe(value)
  expect(castagnoli(bytes)).toBe(value)
})

test('the code and the fake agree on anything', () => {
  for (let length = 0; length < 200; length += 1) {
    const bytes = randomBytes(length)
    expect(crc32c(bytes)).toBe(castagnoli(bytes))
  }
})
