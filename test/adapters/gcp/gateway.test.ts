/** What do we make of answers that are not Google's, but of a proxy that stands in its place? */
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { KmsError } from '../../../src/ports/errors.js'
import type { FakeAnswer, FakeRequest } from '../../support/fakes/fake_server.js'
import { googleError } from '../../support/fakes/gcp_errors.js'
import { patiently, useScene } from './opened.js'

const dek = randomBytes(32)
const scene = useScene()

async function faultOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'none',
    (thrown: unknown) => (thrown instanceof KmsError ? thrown.fault : String(thrown)),
  )
}

const toKms = ({ url }: FakeRequest): boolean => url.pathname.includes('/cryptoKeys/')

const logins = (): number => scene.fake.server.requests.filter(({ url }) => url.pathname === '/token').length

const everywhere = (): boolean => true

describe.each([400, 401, 403, 404])('a page with status %i', (status) => {
  const page: FakeAnswer = { status, body: '<html>no upstream</html>' }

  test.each([
    ['everything', everywhere],
    ['Cloud KMS', toKms],
  ])(
    'in the place of %s is an outage, and nothing is held against token or credentials',
    async (_name, at) => {
      const known = scene.open()
      const wrapped = await known.wrap(dek, patiently())
      const fresh = scene.open()
      scene.fake.server.failNext(page, Infinity, at)
      for (const wrapper of [known, fresh]) {
        expect(await faultOf(wrapper.currentKeyId(patiently()))).toBe('backend')
        expect(await faultOf(wrapper.wrap(dek, patiently()))).toBe('backend')
        expect(await faultOf(wrapper.unwrap(wrapped, patiently()))).toBe('backend')
      }
      scene.fake.server.fault = undefined
      for (const wrapper of [known, fresh]) {
        expect(await faultOf(wrapper.currentKeyId(patiently()))).toBe('none')
      }
      expect(scene.fake.tokens.size).toBe(2)
    },
  )
})

test('a Cloud KMS that refuses every token does not make us ask for one with each call', async () => {
  const wrapper = scene.open()
  await wrapper.currentKeyId(patiently())
  scene.fake.server.failNext(googleError(401, 'UNAUTHENTICATED', 'x'), Infinity, toKms)
  for (let i = 0; i < 5; i += 1) expect(await faultOf(wrapper.currentKeyId(patiently()))).toBe('operator')
  expect(logins()).toBe(2)
})
