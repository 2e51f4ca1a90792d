/** What do we make of answers that are not Azure's, but of a proxy that stands in its place? */
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AzureKeyWrapper } from '../../../src/adapters/backends/azure/wrapper.js'
import { KmsError } from '../../../src/ports/errors.js'
import type { KeyWrapper } from '../../../src/ports/key_wrapper.js'
import { FakeAzure } from '../../support/fakes/azure.js'
import type { FakeRequest } from '../../support/fakes/fake_server.js'
import { deps, section, within } from './opened.js'

const dek = randomBytes(32)
const opened: KeyWrapper[] = []
let fake: FakeAzure

beforeEach(async () => {
  fake = await FakeAzure.start()
  fake.addVersion('kek')
})
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close()
  await fake.server.close()
})

function open(): KeyWrapper {
  const made = new AzureKeyWrapper(section(fake.server.url), deps({ env: { SECRET: fake.entra.secret } }))
  opened.push(made)
  return made
}

async function faultOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'none',
    (thrown: unknown) => (thrown instanceof KmsError ? thrown.fault : String(thrown)),
  )
}

describe.each([
  [400, '<html>no upstream</html>'],
  [401, '<html>no upstream</html>'],
  [403, '<html>no upstream</html>'],
  [404, '<html>no upstream</html>'],
  [409, '<html>no upstream</html>'],
  [403, ''],
  [403, '{"error":"forbidden"}'],
  [400, '{"error":"bad_request","message":"no upstream"}'],
  [401, '{"error":"unauthorized"}'],
])('a page with status %i: %s', (status, body) => {
  test.each([
    ['everything', () => true],
    ['the vault', ({ url }: FakeRequest) => url.pathname.startsWith('/keys/')],
    ['Entra', ({ url }: FakeRequest) => url.pathname.includes('/oauth2/')],
  ])('in the place of %s is an outage, and nothing is held against token or secret', async (name, at) => {
    const known = open()
    const wrapped = await known.wrap(dek, within())
    const fresh = open()
    fake.server.failNext({ status, body }, Infinity, at)
    for (const wrapper of name === 'Entra' ? [fresh] : [known, fresh]) {
      expect(await faultOf(wrapper.currentKeyId(within()))).toBe('backend')
      expect(await faultOf(wrapper.wrap(dek, within()))).toBe('backend')
      expect(await faultOf(wrapper.unwrap(wrapped, within()))).toBe('backend')
    }
    fake.server.fault = undefined
    for (const wrapper of [known, fresh]) expect(await faultOf(wrapper.currentKeyId(within()))).toBe('none')
    expect(fake.entra.given).toHaveLength(2)
  })
})
