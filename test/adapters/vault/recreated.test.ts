/** Whose key id does a wrapped DEK get when the key is deleted and made anew at that moment? */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { outcomeOf } from '../../doubles/outcome.js'
import { Bench } from './opened.js'

const DEK = Buffer.alloc(32, 7)

let bench: Bench
beforeEach(async () => {
  bench = await Bench.start()
})
afterEach(async () => bench.close())

test('that of the key which wrapped it, so that it still opens after a restart', async () => {
  let isDone = false
  bench.fake.server.fault = ({ url }) => {
    if (isDone || !url.pathname.includes('/encrypt/')) return undefined
    isDone = true
    bench.fake.advance(5000)
    bench.fake.transit.delete('kek')
    bench.fake.transit.create('kek')
    return undefined
  }
  const wrapper = bench.open()
  // Both are version 1 of `kek`: Vault itself notices nothing.
  expect(await outcomeOf(wrapper.wrap(DEK, bench.options))).toBe('ERR_BACKEND_UNAVAILABLE')
  const wrapped = await wrapper.wrap(DEK, bench.options)
  expect(Buffer.from(await wrapper.unwrap(wrapped, bench.options))).toEqual(DEK)
  expect(Buffer.from(await bench.open().unwrap(wrapped, bench.options))).toEqual(DEK)
})
