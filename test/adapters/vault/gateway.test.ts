/** What do we make of answers that are not Vault's, but of a balancer or proxy whose Vault is away? */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { KmsError } from '../../../src/ports/errors.js'
import { Bench } from './opened.js'

const DEK = Buffer.alloc(32, 7)

let bench: Bench
beforeEach(async () => {
  bench = await Bench.start()
})
afterEach(async () => bench.close())

async function faultOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'none',
    (thrown: unknown) => (thrown instanceof KmsError ? thrown.fault : String(thrown)),
  )
}

describe.each([400, 401, 403, 404, 405])('a page with status %i', (status) => {
  const page = () => ({ status, body: '<html><body>default backend</body></html>' })

  test('is an outage for calls, for logins and for tokens that somebody gave us', async () => {
    const known = bench.open()
    const wrapped = await known.wrap(DEK, bench.options)
    const given = bench.open({ auth: { method: 'token', token: bench.file('token', bench.token().id) } })
    bench.fake.server.fault = page
    for (const wrapper of [known, bench.open(), given]) {
      expect(await faultOf(wrapper.currentKeyId(bench.options))).toBe('backend')
      expect(await faultOf(wrapper.wrap(DEK, bench.options))).toBe('backend')
      expect(await faultOf(wrapper.unwrap(wrapped, bench.options))).toBe('backend')
    }
  })

  test('is forgotten with the outage: nothing is held against token or credentials', async () => {
    const known = bench.open()
    await known.wrap(DEK, bench.options)
    const fresh = bench.open()
    bench.fake.server.fault = page
    for (const wrapper of [known, fresh]) await faultOf(wrapper.currentKeyId(bench.options))
    bench.fake.server.fault = undefined
    bench.takeAsked()
    for (const wrapper of [known, fresh])
      expect(await faultOf(wrapper.currentKeyId(bench.options))).toBe('none')
    expect(bench.takeAsked()).toEqual([
      'GET transit/keys/kek',
      'POST auth/approle/login',
      'GET transit/keys/kek',
    ])
  })
})
