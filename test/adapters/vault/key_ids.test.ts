/** Which key id does a version of a Transit key have, and when does it change? */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readKey } from '../../../src/adapters/backends/vault/key.js'
import { settings } from '../../../src/adapters/backends/vault/settings.js'
import { kekPart } from '../../../src/ports/key_id.js'
import { outcomeNow, outcomeOf } from '../../doubles/outcome.js'
import { Bench } from './opened.js'

const DEK = Buffer.alloc(32, 7)

describe('the key id of a key on a server', () => {
  let bench: Bench
  beforeEach(async () => {
    bench = await Bench.start()
  })
  afterEach(async () => bench.close())

  test('differs between two keys of the same version, of the same age', async () => {
    bench.fake.transit.create('other')
    bench.fake.policies.set('plugin', {
      'transit/keys/kek': ['read'],
      'transit/keys/other': ['read'],
    })
    const one = await bench.open().currentKeyId(bench.options)
    const other = await bench.open({ settings: { keyName: 'other' } }).currentKeyId(bench.options)
    expect(kekPart(one)).not.toBe(kekPart(other))
  })

  test('changes with a rotation, and the old version still opens', async () => {
    const wrapper = bench.open()
    const old = await wrapper.wrap(DEK, bench.options)
    bench.fake.transit.rotate('kek')
    const now = await wrapper.currentKeyId(bench.options)
    expect(now).not.toBe(old.keyId)
    expect(kekPart(now)).toBe(kekPart(old.keyId))
    for (const opener of [wrapper, bench.open()]) {
      expect(Buffer.from(await opener.unwrap(old, bench.options)).equals(DEK)).toBe(true)
    }
  })

  test('changes when a key was deleted and made anew as version 1, and old values are not called damaged', async () => {
    const wrapper = bench.open()
    const old = await wrapper.wrap(DEK, bench.options)
    bench.fake.advance(5000)
    bench.fake.transit.delete('kek')
    bench.fake.transit.create('kek')
    // The one that remembers the old key finds out by the refusal, the new one by reading the key.
    for (const opener of [wrapper, bench.open()]) {
      expect(await outcomeOf(opener.unwrap(old, bench.options))).toBe('ERR_KEY_UNKNOWN')
    }
    const fresh = await wrapper.wrap(DEK, bench.options)
    expect(fresh.keyId).not.toBe(old.keyId)
    expect(kekPart(fresh.keyId)).toBe(kekPart(old.keyId))
  })

  test('the same for an RSA key, whose failures look like those of the server', async () => {
    bench.fake.transit.create('kek', { type: 'rsa-2048' })
    const wrapper = bench.open()
    const old = await wrapper.wrap(DEK, bench.options)
    bench.fake.advance(5000)
    bench.fake.transit.create('kek', { type: 'rsa-2048' })
    expect(await outcomeOf(wrapper.unwrap(old, bench.options))).toBe('ERR_KEY_UNKNOWN')
  })

  test('is that of the version which the server was told to use, though it rotates in between', async () => {
    const wrapper = bench.open()
    const before = await wrapper.currentKeyId(bench.options)
    bench.fake.server.fault = ({ url }) => {
      if (url.pathname.includes('/encrypt/')) bench.fake.transit.rotate('kek')
      return undefined
    }
    const wrapped = await wrapper.wrap(DEK, bench.options)
    bench.fake.server.fault = undefined
    expect(wrapped.keyId).toBe(before)
    expect(await wrapper.currentKeyId(bench.options)).not.toBe(before)
    expect(await outcomeOf(bench.open().unwrap(wrapped, bench.options))).toBe('OK')
  })

  test.each([{ context: 'one' }, { associatedData: 'one' }])(
    'is another with another binding, since nothing else opens it: %j',
    async (binding) => {
      const plain = await bench.open().currentKeyId(bench.options)
      const bound = await bench.open({ settings: binding }).currentKeyId(bench.options)
      const [name = ''] = Object.keys(binding)
      const other = await bench.open({ settings: { [name]: 'two' } }).currentKeyId(bench.options)
      expect(new Set([plain, bound, other].map(kekPart)).size).toBe(3)
    },
  )

  test('that is of another KEK is unknown, and nothing is sent, not even to log in', async () => {
    const other = bench.open({ settings: { keyName: 'other' } })
    const wrapped = await bench.open().wrap(DEK, bench.options)
    bench.takeAsked()
    expect(await outcomeOf(other.unwrap(wrapped, bench.options))).toBe('ERR_KEY_UNKNOWN')
    expect(bench.takeAsked()).toEqual([])
  })

  test('a key id of the right KEK that no version has is unknown, and its bytes are not sent', async () => {
    const wrapper = bench.open()
    const wrapped = await wrapper.wrap(DEK, bench.options)
    const keyId = wrapped.keyId.replace(/\..*/, `.${'a'.repeat(26)}`) as typeof wrapped.keyId
    bench.takeAsked()
    expect(await outcomeOf(wrapper.unwrap({ ...wrapped, keyId }, bench.options))).toBe('ERR_KEY_UNKNOWN')
    expect(bench.takeAsked()).toEqual(['GET transit/keys/kek'])
  })

  test('bytes of one version under the key id of another are bad data', async () => {
    const wrapper = bench.open()
    const old = await wrapper.wrap(DEK, bench.options)
    bench.fake.transit.rotate('kek')
    const keyId = await wrapper.currentKeyId(bench.options)
    expect(await outcomeOf(wrapper.unwrap({ ...old, keyId }, bench.options))).toBe('ERR_DECRYPTION_FAILED')
  })
})

describe('the identity in an answer', () => {
  const config = settings.parse({
    ...{ backend: 'vault', url: 'https://vault:8200', keyName: 'kek' },
    auth: { method: 'token', token: 'env:T' },
  })
  const keyOf = (entry: unknown, change: object = {}) =>
    readKey(
      { data: { type: 'rsa-2048', latest_version: 1, keys: { '1': entry }, ...change } },
      config,
      'Vault',
    )
  const idOf = (entry: unknown) => keyOf(entry).currentKeyId
  const time = (text: string) => ({ creation_time: text })

  test.each([
    1442851412,
    time('2015-09-21T16:03:32Z'),
    time('2015-09-21T16:03:32.123456789Z'),
    time('2015-09-21T16:03:32.12Z'),
    time('2015-09-21T18:03:32.12+02:00'),
    time('2015-09-21T12:03:32-04:00'),
  ])('is the same whatever form, fraction or time zone a node writes the creation time in: %j', (entry) => {
    expect(idOf(entry)).toBe(idOf(1442851412))
  })

  test.each([1442851413, time('2015-09-21T16:03:33Z'), time('2015-09-21T16:03:31.999999999Z')])(
    'is another for another second: %j',
    (entry) => {
      expect(idOf(entry)).not.toBe(idOf(1442851412))
    },
  )

  test('is pinned: this key id must never change', () => {
    expect(idOf(1442851412)).toMatchInlineSnapshot(
      `"vault:bimctgdyrxmp7j6zkz5ouvpcux.yfp2qdkvfpzcxtble3xbmcsvwr"`,
    )
  })

  test.each([
    ['no creation time', () => keyOf({})],
    ['a creation time that is none', () => keyOf(time('yesterday'))],
    ['a version that is no number', () => keyOf(1, { keys: { one: 1 } })],
    ['no latest version', () => keyOf(1, { latest_version: 2 })],
    ['no versions', () => keyOf(1, { keys: undefined })],
    ['no type', () => keyOf(1, { type: undefined })],
    ['nothing', () => readKey({}, config, 'Vault')],
  ])('an answer with %s is refused', (_name, read) => {
    expect(outcomeNow(read)).toBe('ERR_BACKEND_RESPONSE')
  })
})
