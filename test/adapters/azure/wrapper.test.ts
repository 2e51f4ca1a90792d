/** The life of a key: rotation, states, deletion, and how often Azure is asked. */
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { keyIdOfVersion } from '../../../src/adapters/backends/azure/key.js'
import type { AzureSettings } from '../../../src/adapters/backends/azure/settings.js'
import { AzureKeyWrapper } from '../../../src/adapters/backends/azure/wrapper.js'
import { asKmsError, type KmsError } from '../../../src/ports/errors.js'
import { kekPart } from '../../../src/ports/key_id.js'
import type { KeyWrapper, WrappedDek } from '../../../src/ports/key_wrapper.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { FakeAzure } from '../../support/fakes/azure.js'
import type { FakeVersion } from '../../support/fakes/azure_keys.js'
import { deps, section, within } from './opened.js'

let fake: FakeAzure
let first: FakeVersion
let wrapper: KeyWrapper
const opened: KeyWrapper[] = []
const dek = randomBytes(32)

function open(change: Partial<AzureSettings> = {}): KeyWrapper {
  const made = new AzureKeyWrapper(
    section(fake.server.url, change),
    deps({ env: { SECRET: fake.entra.secret } }),
  )
  opened.push(made)
  return made
}

async function failureOf(call: Promise<unknown>): Promise<KmsError> {
  return call.then(() => expect.fail('it did not fail'), asKmsError)
}

async function opens(wrapped: WrappedDek, by = wrapper): Promise<boolean> {
  return Buffer.from(await by.unwrap(wrapped, within())).equals(dek)
}

beforeEach(async () => {
  fake = await FakeAzure.start()
  first = fake.addVersion('kek')
  wrapper = open()
})

afterEach(async () => {
  for (const one of opened.splice(0)) await one.close()
  await fake.server.close()
})

test('the key id of a version is the same for ever', () => {
  const vault = section('https://My-Vault.vault.azure.net', { authorityHost: undefined, keyName: 'Kek' })
  expect(keyIdOfVersion(vault, '0123456789abcdef0123456789abcdef')).toBe(
    'azure:7qgcnprqbzpgzcnovcrxmlomfw.3kdyyeljq5tsnkqzr5viv7ojpg',
  )
})

test('an answer about another version than the pinned one is not believed', async () => {
  const pinned = open({ keyVersion: first.version })
  const path = `/keys/kek/${first.version}`
  const latest = fake.addVersion('kek')
  const kid = `${fake.server.url}/keys/kek/${latest.version}`
  const body = { key: { kid, kty: 'RSA', ...latest.jwk }, attributes: { enabled: true } }
  fake.server.failNext({ status: 200, body }, 2, ({ url }) => url.pathname === path)
  expect(await outcomeOf(pinned.currentKeyId(within()))).toBe('ERR_BACKEND_RESPONSE')
  expect(await outcomeOf(pinned.wrap(dek, within()))).toBe('ERR_BACKEND_RESPONSE')
  expect(await outcomeOf(pinned.wrap(dek, within()))).toBe('OK')
})

describe('a rotation', () => {
  test('moves the key id, within one KEK, and what was wrapped before still opens', async () => {
    const before = await wrapper.wrap(dek, within())
    fake.addVersion('kek')
    const id = await wrapper.currentKeyId(within())
    expect(id).not.toBe(before.keyId)
    expect(kekPart(id)).toBe(kekPart(before.keyId))
    const after = await wrapper.wrap(dek, within())
    expect(after.keyId).toBe(id)
    expect(await opens(before)).toBe(true)
    expect(await opens(after)).toBe(true)
    expect(await opens(before, open())).toBe(true)
  })

  test('is the only thing that moves it', async () => {
    const before = await wrapper.currentKeyId(within())
    first.operations.push('encrypt')
    first.exp = Math.floor(Date.now() / 1000) + 1000
    expect(await wrapper.currentKeyId(within())).toBe(before)
    for (const keyName of ['KEK', 'Kek']) expect(await open({ keyName }).currentKeyId(within())).toBe(before)
    const upper = open({ vaultUrl: fake.server.url.replace('127.0.0.1', 'LOCALHOST') })
    expect(await upper.currentKeyId(within())).toBe(
      await open({ vaultUrl: fake.server.url.replace('127.0.0.1', 'localhost') }).currentKeyId(within()),
    )
  })

  test('that has taken the old version out of use before we knew is followed within the call', async () => {
    await wrapper.currentKeyId(within())
    first.enabled = false
    const second = fake.addVersion('kek')
    const wrapped = await wrapper.wrap(dek, within())
    expect(await opens(wrapped)).toBe(true)
    expect(fake.asked).toContain(`POST /keys/kek/${second.version}/wrapkey`)
  })

  test('is not followed where a version is pinned, which still opens what others wrapped', async () => {
    const pinned = open({ keyVersion: first.version.toUpperCase() })
    const before = await pinned.wrap(dek, within())
    fake.addVersion('kek')
    expect(await pinned.currentKeyId(within())).toBe(before.keyId)
    expect((await pinned.wrap(dek, within())).keyId).toBe(before.keyId)
    const after = await wrapper.wrap(dek, within())
    expect(after.keyId).not.toBe(before.keyId)
    expect(await opens(after, pinned)).toBe(true)
  })
})

describe('a wrapped DEK', () => {
  test('of another key or vault is refused before anybody is asked', async () => {
    fake.addVersion('other')
    const wrapped = await open({ keyName: 'other' }).wrap(dek, within())
    const before = fake.server.requests.length
    expect(await outcomeOf(wrapper.unwrap(wrapped, within()))).toBe('ERR_KEY_UNKNOWN')
    expect(fake.server.requests.length).toBe(before)
  })

  test('whose bytes belong to another version than its key id is refused before anybody is asked', async () => {
    const one = await wrapper.wrap(dek, within())
    fake.addVersion('kek')
    await wrapper.currentKeyId(within())
    const two = await wrapper.wrap(dek, within())
    const before = fake.server.requests.length
    for (const mixed of [
      { ...one, keyId: two.keyId },
      { ...two, keyId: one.keyId },
    ]) {
      expect(await outcomeOf(wrapper.unwrap(mixed, within()))).toBe('ERR_DECRYPTION_FAILED')
    }
    expect(fake.server.requests.length).toBe(before)
  })

  test('of a version that was purged is told from one of a key that is gone', async () => {
    const wrapped = await wrapper.wrap(dek, within())
    fake.purge('kek')
    const gone = await failureOf(wrapper.unwrap(wrapped, within()))
    expect(gone.code).toBe('ERR_KEY_NOT_FOUND')
    fake.addVersion('kek')
    const unknown = await failureOf(wrapper.unwrap(wrapped, within()))
    expect([unknown.code, unknown.message]).toEqual([
      'ERR_KEY_UNKNOWN',
      expect.stringContaining(first.version),
    ])
  })

  test('that opens to something else than 32 bytes is refused', async () => {
    const wrapped = await wrapper.wrap(dek, within())
    for (const length of [0, 31, 33]) {
      const value = Buffer.alloc(length, 1).toString('base64url')
      fake.server.failNext({ status: 200, body: { kid: 'x', value } })
      expect(await outcomeOf(wrapper.unwrap(wrapped, within()))).toBe('ERR_DECRYPTION_FAILED')
    }
  })

  test.each([400, 422])(
    'that Azure refuses in other words (%s) is put to the test by the core',
    async (status) => {
      const wrapped = await wrapper.wrap(dek, within())
      fake.server.failNext({ status, body: { error: { code: 'CryptographicError', message: 'bad' } } })
      const expected = status === 400 ? 'ERR_UNWRAP_AMBIGUOUS' : 'ERR_BACKEND_RESPONSE'
      expect(await outcomeOf(wrapper.unwrap(wrapped, within()))).toBe(expected)
    },
  )
})

describe('an answer to a wrap', () => {
  const wrapBy = async (change: object): Promise<string> => {
    await wrapper.currentKeyId(within())
    const right = {
      kid: `${fake.server.url}/keys/kek/${first.version}`,
      value: Buffer.alloc(256, 1).toString('base64url'),
    }
    fake.server.failNext({ status: 200, body: { ...right, ...change } })
    return outcomeOf(wrapper.wrap(dek, within()))
  }

  const bytes = Buffer.alloc(256, 0xff)

  test.each<[string, object]>([
    ['no key id', { kid: undefined }],
    ['another version', { kid: `https://v.vault.azure.net/keys/kek/${'0'.repeat(32)}` }],
    ['no version', { kid: 'https://v.vault.azure.net/keys/kek' }],
    ['another key', { kid: `https://v.vault.azure.net/keys/other/${'0'.repeat(32)}` }],
    ['no value', { value: undefined }],
    ['too short a value', { value: 'AAAA' }],
    ['too long a value', { value: Buffer.alloc(257, 1).toString('base64url') }],
    ['another alphabet', { value: bytes.toString('base64') }],
    ['wrong padding', { value: `${bytes.toString('base64url')}=` }],
  ])('is not believed with %s', async (_name, change) => {
    expect(await wrapBy(change)).toBe('ERR_BACKEND_RESPONSE')
  })

  test('is believed in the right form, with padding or without', async () => {
    expect(await wrapBy({})).toBe('OK')
    expect(await wrapBy({ value: `${Buffer.alloc(256, 1).toString('base64url')}==` })).toBe('OK')
  })
})

describe('a key', () => {
  test('that is disabled is told as well where Azure only says so in its attributes', async () => {
    const { version, jwk } = first
    const key = { kid: `https://v.vault.azure.net/keys/kek/${version}`, kty: 'RSA', ...jwk }
    await wrapper.currentKeyId(within())
    fake.server.failNext({ status: 200, body: { key, attributes: { enabled: false } } })
    expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('ERR_KEY_DISABLED')
  })

  test.each<[string, (version: FakeVersion) => void, string, RegExp]>([
    ['is disabled', (v) => (v.enabled = false), 'ERR_KEY_DISABLED', /--enabled true/],
    ['may not wrap', (v) => (v.operations = ['unwrapKey']), 'ERR_KEY_UNUSABLE', /not for wrapKey/],
    ['may do nothing of ours', (v) => (v.operations = ['sign']), 'ERR_KEY_UNUSABLE', /wrapKey and unwrapKey/],
    // `--ops` replaces the list: without these, values of Azure's plugin and the nodes that still run it would fail.
    [
      'was restricted to what another plugin needs',
      (v) => (v.operations = ['encrypt', 'decrypt']),
      'ERR_KEY_UNUSABLE',
      /--ops encrypt decrypt wrapKey unwrapKey$/,
    ],
  ])('that %s is told when its version is read', async (_name, change, code, text) => {
    change(first)
    const error = await failureOf(wrapper.currentKeyId(within()))
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(text)])
  })

  test.each([
    ['EC', 0],
    ['RSA', 1024],
  ] as const)('of a type or size that cannot be a KEK is refused: %s %s', async (kty, bits) => {
    fake.addVersion('wrong', kty, bits)
    const error = await failureOf(open({ keyName: 'wrong' }).currentKeyId(within()))
    expect([error.code, error.message]).toEqual(['ERR_KEY_UNUSABLE', expect.stringContaining(kty)])
  })

  test.each<[string, (version: FakeVersion) => void, string, RegExp, boolean]>([
    ['disabled', (v) => (v.enabled = false), 'ERR_KEY_DISABLED', /is disabled/, false],
    ['expired', (v) => (v.exp = 1), 'ERR_KEY_DISABLED', /has expired.*--expires/, true],
    ['not valid yet', (v) => (v.nbf = 4e9), 'ERR_BACKEND_UNAVAILABLE', /not valid yet/, true],
    ['forbidden to wrap', (v) => (v.operations = ['unwrapKey']), 'ERR_KEY_UNUSABLE', /wrapKey/, true],
  ])(
    'that is %s since we read it is told at the next wrap',
    async (_name, change, code, text, stillOpens) => {
      const wrapped = await wrapper.wrap(dek, within())
      change(first)
      const error = await failureOf(wrapper.wrap(dek, within()))
      expect([error.code, error.message]).toEqual([code, expect.stringMatching(text)])
      expect(await outcomeOf(wrapper.unwrap(wrapped, within()))).toBe(stillOpens ? 'OK' : 'ERR_KEY_DISABLED')
    },
  )

  test('that was deleted and can be recovered is told from one that never was, and works when it is back', async () => {
    const wrapped = await wrapper.wrap(dek, within())
    fake.setDeleted('kek', true)
    const calls = [
      async () => wrapper.currentKeyId(within()),
      async () => wrapper.wrap(dek, within()),
      async () => wrapper.unwrap(wrapped, within()),
    ]
    for (const call of calls) {
      const error = await failureOf(call())
      expect([error.code, error.message]).toEqual([
        'ERR_KEY_PENDING_DELETION',
        expect.stringContaining('az keyvault key recover'),
      ])
    }
    expect(await outcomeOf(open({ keyName: 'absent' }).currentKeyId(within()))).toBe('ERR_KEY_NOT_FOUND')
    fake.setDeleted('kek', false)
    expect(await opens(wrapped)).toBe(true)
  })

  test('is not missing because the deleted ones cannot be asked for', async () => {
    fake.purge('kek')
    const isList = ({ url }: { url: URL }) => url.pathname.startsWith('/deletedkeys/')
    fake.server.failNext('reset', 5, isList)
    expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('ERR_KEY_NOT_FOUND')
  })

  test('that only opens is asked to do nothing else', async () => {
    const wrapped = await wrapper.wrap(dek, within())
    fake.rights.delete('get')
    fake.rights.delete('wrapKey')
    expect(await opens(wrapped, open())).toBe(true)
  })
})

test('Azure is asked once for each thing: key, wrap, unwrap; the token and what it is for once for all', async () => {
  const count = () => fake.server.requests.length
  await wrapper.currentKeyId(within())
  expect(fake.server.requests.map(({ method, url }) => `${method} ${url.pathname}`)).toEqual([
    'GET /keys/kek',
    expect.stringMatching(/^POST .*\/oauth2\/v2\.0\/token$/),
    'GET /keys/kek',
  ])
  const [unauthenticated] = fake.server.requests
  expect(unauthenticated?.headers['authorization']).toBeUndefined()
  for (let i = 0; i < 3; i += 1) {
    const before = count()
    const wrapped = await wrapper.wrap(dek, within())
    await wrapper.unwrap(wrapped, within())
    expect(count()).toBe(before + 2)
  }
})
