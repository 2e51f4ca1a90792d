/** Does the backend decrypt what another plugin had the configured key encrypt, and nothing else? */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { VaultKeyWrapper } from '../../../src/adapters/backends/vault/wrapper.js'
import { asKmsError } from '../../../src/ports/errors.js'
import type { NativeCiphertext } from '../../../src/ports/foreign.js'
import { pluginPolicy } from '../../support/fakes/vault.js'
import type { KeyWish } from '../../support/fakes/vault/transit.js'
import { Bench, type Opening } from './opened.js'

let bench: Bench
const opened: VaultKeyWrapper[] = []
beforeEach(async () => {
  bench = await Bench.start()
})
afterEach(async () => {
  for (const wrapper of opened.splice(0)) await wrapper.close()
  await bench.close()
})

function open(opening: Opening = {}): VaultKeyWrapper {
  const wrapper = new VaultKeyWrapper(bench.settings(opening), bench.deps(opening.deps))
  opened.push(wrapper)
  return wrapper
}

/** As another plugin has Transit encrypt, with nothing of ours around it. */
function encrypted(plaintext: string, body: Record<string, unknown> = {}, key = 'kek'): Buffer {
  const { transit } = bench.fake
  const answer = transit.encrypt(
    key,
    { plaintext: Buffer.from(plaintext).toString('base64'), ...body },
    false,
  )
  const { data } = answer.body as { data: { ciphertext: string } }
  return Buffer.from(data.ciphertext)
}

async function outcome(wrapper: VaultKeyWrapper, ciphertext: NativeCiphertext): Promise<string> {
  return wrapper.decryptNative(ciphertext, bench.options).then(
    (plaintext) => Buffer.from(plaintext).toString(),
    (thrown: unknown) => `${asKmsError(thrown).code} ${asKmsError(thrown).message}`,
  )
}

const base64 = (text: string) => Buffer.from(text).toString('base64')

test('plaintexts of any length, of every version of the key', async () => {
  const wrapper = open()
  const old = encrypted('one')
  bench.fake.transit.rotate('kek')
  for (const text of ['', 'x', 'y'.repeat(4096)]) {
    expect(await outcome(wrapper, { bytes: encrypted(text) })).toBe(text)
  }
  expect(await outcome(wrapper, { bytes: old })).toBe('one')
})

describe('refused', () => {
  test('what is no ciphertext of Transit, before anybody is asked', async () => {
    const good = encrypted('x').toString()
    for (const text of ['', 'vault:v1:', 'vault:v0:AAAA', `${good}\n`, ` ${good}`, `${good}%`, '{"a":1}']) {
      expect(await outcome(open(), { bytes: Buffer.from(text) })).toMatch(/^ERR_DECRYPTION_FAILED /)
    }
    expect(bench.fake.asked).toEqual([])
  })

  test('another key of the same engine, by its name', async () => {
    const bytes = encrypted('x')
    expect(await outcome(open(), { bytes, keyName: 'other' })).toMatch(/^ERR_KEY_UNKNOWN .*"other"/)
    expect(bench.fake.asked).toEqual([])
    expect(await outcome(open(), { bytes, keyName: 'kek' })).toBe('x')
  })

  test('an altered value, one of another key and one of a version that is not there: bad data, told as such', async () => {
    bench.fake.transit.create('other')
    const good = encrypted('x').toString()
    const altered = good.replace(/(.)(?=.{6}$)/, (letter) => (letter === 'A' ? 'B' : 'A'))
    for (const text of [altered, encrypted('x', {}, 'other').toString(), good.replace('v1', 'v7')]) {
      const said = await outcome(open(), { bytes: Buffer.from(text) })
      expect(said).toMatch(/^ERR_DECRYPTION_FAILED the value failed authentication under the key kek/)
    }
  })

  test('the associated data of the value is what was bound: other, missing or one too many fails', async () => {
    const bytes = encrypted('x', { associated_data: base64('cluster one') })
    const aad = Buffer.from('cluster one')
    expect(await outcome(open(), { bytes, aad })).toBe('x')
    expect(await outcome(open(), { bytes, aad: Buffer.from('cluster two') })).toMatch(
      /^ERR_DECRYPTION_FAILED/,
    )
    expect(await outcome(open(), { bytes })).toMatch(/^ERR_DECRYPTION_FAILED/)
    expect(await outcome(open(), { bytes: encrypted('x'), aad })).toMatch(/^ERR_DECRYPTION_FAILED/)
  })

  test('a version below min_decryption_version is for the operator, and opens when it is lowered', async () => {
    const bytes = encrypted('x')
    bench.fake.transit.rotate('kek')
    const key = bench.fake.transit.get('kek')!
    key.minDecryption = 2
    expect(await outcome(open(), { bytes })).toMatch(/^ERR_KEY_UNUSABLE .*min_decryption_version/)
    key.minDecryption = 1
    expect(await outcome(open(), { bytes })).toBe('x')
  })

  test('a key that is gone, soft-deleted or forbidden, and a server that is sealed, are told from bad data', async () => {
    const bytes = encrypted('x')
    const { transit, policies } = bench.fake
    const key = transit.get('kek')!
    key.softDeleted = true
    expect(await outcome(open(), { bytes })).toMatch(/^ERR_KEY_DISABLED/)
    key.softDeleted = false
    policies.set('plugin', { 'transit/keys/kek': ['read'] })
    expect(await outcome(open(), { bytes })).toMatch(/^ERR_ACCESS_DENIED/)
    policies.set('plugin', pluginPolicy())
    transit.delete('kek')
    expect(await outcome(open(), { bytes })).toMatch(/^ERR_KEY_NOT_FOUND/)
    bench.fake.isSealed = true
    expect(await outcome(open(), { bytes })).toMatch(/^ERR_BACKEND_UNAVAILABLE/)
  })
})

describe('what is configured for our own DEKs', () => {
  test('associatedData is ours alone: what another plugin encrypted without it opens', async () => {
    const wrapper = open({ settings: { associatedData: 'ours' } })
    expect(await outcome(wrapper, { bytes: encrypted('x') })).toBe('x')
  })

  test('context is that of the derived key, theirs and ours; without it the config is at fault', async () => {
    bench.fake.transit.create('kek', { derived: true })
    const bytes = encrypted('x', { context: base64('cluster one') })
    expect(await outcome(open({ settings: { context: 'cluster one' } }), { bytes })).toBe('x')
    expect(await outcome(open({ settings: { context: 'other' } }), { bytes })).toMatch(
      /^ERR_DECRYPTION_FAILED/,
    )
    expect(await outcome(open(), { bytes })).toMatch(/^ERR_CONFIG_INVALID .*`context`/)
  })

  test.each(['chacha20-poly1305', 'aes128-gcm96', 'rsa-2048'] as const)(
    'a key of type %s opens, and altered bytes are bad data',
    async (type: KeyWish['type'] & string) => {
      bench.fake.transit.create('kek', { type })
      const bytes = encrypted('x')
      expect(await outcome(open(), { bytes })).toBe('x')
      const altered = Buffer.from(
        bytes.toString().replace(/(.)(?=.{8}$)/, (one) => (one === 'A' ? 'B' : 'A')),
      )
      expect(await outcome(open(), { bytes: altered })).toMatch(/^ERR_DECRYPTION_FAILED /)
    },
  )
})
