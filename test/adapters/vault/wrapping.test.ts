/** What may happen to a key on the server, and what does the wrapper say about it? */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { asKmsError } from '../../../src/ports/errors.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { Bench } from './opened.js'

const DEK = Buffer.alloc(32, 7)

let bench: Bench
beforeEach(async () => {
  bench = await Bench.start()
})
afterEach(async () => bench.close())

async function failureOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'it did not fail',
    (thrown: unknown) => `${asKmsError(thrown).code} ${asKmsError(thrown).message}`,
  )
}

describe('a missing key is never made', () => {
  test.each([
    ['by a token that may update alone', ['update']],
    ['by a token that may create', ['create', 'update']],
  ] as const)('%s', async (_name, capabilities) => {
    bench.fake.policies.set('plugin', { 'transit/keys/kek': ['read'], 'transit/encrypt/kek': capabilities })
    bench.fake.transit.delete('kek')
    expect(await outcomeOf(bench.open().wrap(DEK, bench.options))).toBe('ERR_KEY_NOT_FOUND')
    expect(bench.fake.transit.get('kek')).toBeUndefined()
    expect(bench.fake.asked.filter((path) => path.includes('encrypt'))).toEqual([])
  })

  test('even by the root token', async () => {
    bench.fake.transit.delete('kek')
    const root = bench.token({ policies: ['root'], ttl: 0 })
    const auth = { method: 'token', token: bench.file('token', root.id) }
    expect(await outcomeOf(bench.open({ auth }).wrap(DEK, bench.options))).toBe('ERR_KEY_NOT_FOUND')
    expect(bench.fake.transit.get('kek')).toBeUndefined()
  })

  test('when it vanishes between reading and wrapping and the token may update alone', async () => {
    bench.fake.server.fault = ({ url }) => {
      if (url.pathname.includes('/encrypt/')) bench.fake.transit.delete('kek')
      return undefined
    }
    expect(await outcomeOf(bench.open().wrap(DEK, bench.options))).toBe('ERR_ACCESS_DENIED')
    expect(bench.fake.transit.get('kek')).toBeUndefined()
  })
})

describe('told apart', () => {
  test('no such key, soft-deleted, of the wrong type, forbidden, no such mount, no such namespace', async () => {
    const { transit, policies } = bench.fake
    const wrap = async (settings: Record<string, unknown> = {}) =>
      failureOf(bench.open({ settings }).wrap(DEK, bench.options))
    transit.delete('kek')
    expect(await wrap()).toMatch(/^ERR_KEY_NOT_FOUND .*keyName/)
    transit.create('kek').softDeleted = true
    expect(await wrap()).toMatch(/^ERR_KEY_DISABLED .*soft-delete-restore/)
    for (const type of ['ed25519', 'hmac'] as const) {
      transit.create('kek', { type })
      expect(await wrap()).toMatch(new RegExp(`^ERR_KEY_UNUSABLE .*${type}`))
    }
    policies.set('plugin', { 'elsewhere/keys/kek': ['read'] })
    expect(await wrap()).toMatch(/^ERR_ACCESS_DENIED .*transit\/keys\/kek/)
    expect(await wrap({ mount: 'elsewhere' })).toMatch(/^ERR_KEY_NOT_FOUND .*not mounted/)
  })

  test('a decrypt that the policy forbids names its path', async () => {
    const wrapped = await bench.open().wrap(DEK, bench.options)
    bench.fake.policies.set('plugin', { 'transit/keys/kek': ['read'] })
    expect(await failureOf(bench.open().unwrap(wrapped, bench.options))).toMatch(
      /^ERR_ACCESS_DENIED .*transit\/decrypt\/kek/,
    )
  })

  test('a sealed server is out, says so, and works when it is unsealed', async () => {
    const wrapper = bench.open()
    const wrapped = await wrapper.wrap(DEK, bench.options)
    bench.fake.isSealed = true
    expect(await failureOf(wrapper.unwrap(wrapped, bench.options))).toMatch(
      /^ERR_BACKEND_UNAVAILABLE .*is sealed/,
    )
    expect(await failureOf(bench.open().currentKeyId(bench.options))).toMatch(/is sealed/)
    bench.fake.isSealed = false
    expect(await outcomeOf(wrapper.unwrap(wrapped, bench.options))).toBe('OK')
  })
})

describe('min_decryption_version above the version that wrapped', () => {
  test.each([true, false])('is named, and lowering it is enough (seen before: %s)', async (isSeen) => {
    const first = bench.open()
    const old = await first.wrap(DEK, bench.options)
    bench.fake.transit.rotate('kek')
    bench.fake.transit.get('kek')!.minDecryption = 2
    const wrapper = isSeen ? first : bench.open()
    for (let i = 0; i < 2; i += 1) {
      expect(await failureOf(wrapper.unwrap(old, bench.options))).toMatch(
        /^ERR_KEY_UNUSABLE .*min_decryption_version/,
      )
    }
    await wrapper.currentKeyId(bench.options)
    expect(await outcomeOf(wrapper.unwrap(old, bench.options))).toBe('ERR_KEY_UNUSABLE')
    bench.fake.transit.get('kek')!.minDecryption = 1
    expect(await outcomeOf(wrapper.unwrap(old, bench.options))).toBe('OK')
  })
})

describe('bindings', () => {
  test('a derived key without context is a matter of the config', async () => {
    bench.fake.transit.create('kek', { derived: true })
    expect(await failureOf(bench.open().wrap(DEK, bench.options))).toMatch(/^ERR_CONFIG_INVALID .*`context`/)
  })

  test('associated data for RSA is a matter of the config', async () => {
    bench.fake.transit.create('kek', { type: 'rsa-2048' })
    const settings = { associatedData: 'x' }
    expect(await failureOf(bench.open({ settings }).wrap(DEK, bench.options))).toMatch(
      /^ERR_CONFIG_INVALID .*`associatedData`/,
    )
  })

  test('associated data and context reach the server in base64, on both ways', async () => {
    bench.fake.transit.create('kek', { derived: true })
    const wrapper = bench.open({ settings: { associatedData: 'a', context: 'c' } })
    const wrapped = await wrapper.wrap(DEK, bench.options)
    await wrapper.unwrap(wrapped, bench.options)
    const bodies = bench.fake.server.requests
      .filter(({ url }) => /crypt\//.test(url.pathname))
      .map(({ body }) => JSON.parse(body.toString()) as Record<string, unknown>)
    expect(bodies).toHaveLength(2)
    for (const body of bodies) expect(body).toMatchObject({ associated_data: 'YQ==', context: 'Yw==' })
  })
})

describe('what is sent', () => {
  test('carries token, namespace and the header that browsers cannot send; paths are encoded', async () => {
    const { fake } = bench
    fake.mount('team/transit', 'ns/one').create('a.b-c_d')
    fake.policies.set('plugin', { 'ns/one/team/transit/*': ['read', 'update'] })
    fake.logins.add('ns/one/approle', 'approle', 'role-id', ['the-secret-id'], {
      policies: ['default', 'plugin'],
    })
    const settings = { namespace: 'ns/one', mount: 'team/transit', keyName: 'a.b-c_d' }
    const wrapper = bench.open({ settings })
    const wrapped = await wrapper.wrap(DEK, bench.options)
    expect(await outcomeOf(wrapper.unwrap(wrapped, bench.options))).toBe('OK')
    const [login, read] = fake.server.requests
    expect(login?.headers).toMatchObject({ 'x-vault-request': 'true', 'x-vault-namespace': 'ns/one' })
    expect(login?.headers['x-vault-token']).toBeUndefined()
    expect(read?.url.pathname).toBe('/v1/team/transit/keys/a.b-c_d')
    expect(read?.headers['x-vault-token']).toMatch(/^s\./)
  })

  test('is two requests to wrap, one to unwrap, one to ask for the key id, after one login', async () => {
    const wrapper = bench.open()
    await wrapper.currentKeyId(bench.options)
    expect(bench.takeAsked()).toEqual(['POST auth/approle/login', 'GET transit/keys/kek'])
    const wrapped = await wrapper.wrap(DEK, bench.options)
    expect(bench.takeAsked()).toEqual(['GET transit/keys/kek', 'POST transit/encrypt/kek'])
    await wrapper.unwrap(wrapped, bench.options)
    expect(bench.takeAsked()).toEqual(['POST transit/decrypt/kek'])
    await wrapper.currentKeyId(bench.options)
    expect(bench.takeAsked()).toEqual(['GET transit/keys/kek'])
  })

  test('is nothing for bytes that no Transit engine made', async () => {
    const wrapper = bench.open()
    const { keyId } = await wrapper.wrap(DEK, bench.options)
    bench.takeAsked()
    for (const bytes of [Buffer.alloc(0), Buffer.of(1), Buffer.alloc(61, 2), Buffer.alloc(641, 1)]) {
      expect(await outcomeOf(wrapper.unwrap({ keyId, bytes }, bench.options))).toBe('ERR_DECRYPTION_FAILED')
    }
    expect(bench.takeAsked()).toEqual([])
  })
})

describe('an answer that does not fit its question is refused', () => {
  test.each([
    ['of another version', { ciphertext: `vault:v2:${'A'.repeat(80)}`, key_version: 2 }],
    ['whose version is not that of its prefix', { ciphertext: `vault:v1:${'A'.repeat(80)}`, key_version: 2 }],
    ['with another prefix', { ciphertext: `other:v1:${'A'.repeat(80)}`, key_version: 1 }],
    ['that is too short', { ciphertext: 'vault:v1:AAAA', key_version: 1 }],
    ['that is too long', { ciphertext: `vault:v1:${'A'.repeat(1000)}`, key_version: 1 }],
    ['in another base64', { ciphertext: `vault:v1:${'A'.repeat(81)}`, key_version: 1 }],
    ['that is none', {}],
  ])('a ciphertext %s', async (_name, data) => {
    bench.fake.server.failNext({ status: 200, body: { data } }, 1, ({ url }) =>
      url.pathname.includes('encrypt'),
    )
    expect(await outcomeOf(bench.open().wrap(DEK, bench.options))).toBe('ERR_BACKEND_RESPONSE')
  })

  test('a ciphertext without key_version, as old servers answer, is taken by its prefix', async () => {
    const data = { ciphertext: `vault:v1:${'A'.repeat(80)}` }
    bench.fake.server.failNext({ status: 200, body: { data } }, 1, ({ url }) =>
      url.pathname.includes('encrypt'),
    )
    expect(await outcomeOf(bench.open().wrap(DEK, bench.options))).toBe('OK')
  })

  test.each([
    ['of 31 bytes', { plaintext: Buffer.alloc(31).toString('base64') }, 'ERR_DECRYPTION_FAILED'],
    ['of no bytes', { plaintext: '' }, 'ERR_DECRYPTION_FAILED'],
    ['that is no base64', { plaintext: '***' }, 'ERR_BACKEND_RESPONSE'],
    ['that is none', {}, 'ERR_BACKEND_RESPONSE'],
  ])('a plaintext %s', async (_name, data, code) => {
    const wrapper = bench.open()
    const wrapped = await wrapper.wrap(DEK, bench.options)
    bench.fake.server.failNext({ status: 200, body: { data } })
    expect(await outcomeOf(wrapper.unwrap(wrapped, bench.options))).toBe(code)
  })
})

test('two gaps of the peer plugin: calls at once share one login, and none blocks another', async () => {
  const wrapper = bench.open()
  const all = await Promise.all(Array.from({ length: 64 }, async () => wrapper.wrap(DEK, bench.options)))
  expect(all).toHaveLength(64)
  expect(bench.fake.asked.filter((path) => path.includes('login'))).toHaveLength(1)
})
