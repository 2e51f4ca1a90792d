/** How often do we log in because of policies that forbid what we need, and what cures that? */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { outcomeOf } from '../../doubles/outcome.js'
import { Bench } from './opened.js'

const LOGIN = 'POST auth/approle/login'

let bench: Bench
beforeEach(async () => {
  bench = await Bench.start({ ttl: 86_400 })
})
afterEach(async () => bench.close())

/** Asks once a second, as a probe does; how many logins that took. */
async function loginsIn(seconds: number, ask: () => Promise<unknown>): Promise<number> {
  bench.takeAsked()
  for (let second = 0; second < seconds; second += 1) {
    await ask()
    await bench.pass(1000)
  }
  return bench.takeAsked().filter((path) => path === LOGIN).length
}

test('ever more rarely: neither leases nor the uses of a secret id run out', async () => {
  const wrapper = bench.open()
  const ask = async () => outcomeOf(wrapper.currentKeyId(bench.options))
  expect(await ask()).toBe('OK')
  bench.fake.policies.set('plugin', {})
  expect(await loginsIn(900, ask)).toBeLessThanOrEqual(8)
  expect(await ask()).toBe('ERR_ACCESS_DENIED')
})

test('and a token that is revoked meanwhile does not have to wait for the end of that rest', async () => {
  const wrapper = bench.open()
  const ask = async () => outcomeOf(wrapper.currentKeyId(bench.options))
  await ask()
  bench.fake.policies.set('plugin', {})
  await loginsIn(900, ask)
  bench.fake.tokens.revokeAll()
  expect(await loginsIn(2, ask)).toBe(1)
})
