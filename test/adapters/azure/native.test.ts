/** What another program had Key Vault encrypt: which version opens it, and what a refusal means. */
import { createHash, randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AzureKeyWrapper } from '../../../src/adapters/backends/azure/wrapper.js'
import type { NativeCiphertext } from '../../../src/ports/foreign.js'
import { ManualClock } from '../../doubles/manual_clock.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { FakeAzure } from '../../support/fakes/azure.js'
import type { FakeVersion } from '../../support/fakes/azure_keys.js'
import { deps, section, within } from './opened.js'

/** Of a vault at the address of the fake, were it on the port that vaults have. */
const BASE = 'https://127.0.0.1'
const plaintext = randomBytes(32)

let fake: FakeAzure
let first: FakeVersion
let second: FakeVersion
const opened: AzureKeyWrapper[] = []

beforeEach(async () => {
  fake = await FakeAzure.start()
  fake.kidBase = BASE
  fake.rights.add('decrypt')
  fake.rights.add('list')
  first = addVersion()
  second = addVersion()
})

afterEach(async () => {
  await Promise.all(opened.splice(0).map(async (one) => one.close()))
  await fake.server.close()
})

function addVersion(): FakeVersion {
  const version = fake.addVersion('kek')
  version.operations.push('decrypt')
  return version
}

function openWith(change: object = {}, parts: Parameters<typeof deps>[0] = {}): AzureKeyWrapper {
  const one = new AzureKeyWrapper(
    section(fake.server.url, change),
    deps({ env: { SECRET: fake.entra.secret }, ...parts }),
  )
  opened.push(one)
  return one
}

function nameOf({ version }: FakeVersion, base = BASE): string {
  return createHash('sha256').update(`${base}/keys/kek/${version}`).digest('hex')
}

function madeBy(
  version: FakeVersion,
  algorithm: 'RSA1_5' | 'RSA-OAEP-256' = 'RSA-OAEP-256',
): NativeCiphertext {
  return { bytes: version.wrap(algorithm, plaintext)!, algorithm }
}

const decrypted = async (wrapper: AzureKeyWrapper, native: NativeCiphertext): Promise<boolean> =>
  plaintext.equals(await wrapper.decryptNative(native, within()))

const asked = () => fake.asked.filter((line) => line !== 'GET /keys/kek')

describe('the version that a hash names', () => {
  test('is the configured one without any question', async () => {
    const wrapper = openWith({ keyVersion: first.version.toUpperCase() })
    expect(await decrypted(wrapper, { ...madeBy(first), keyName: nameOf(first) })).toBe(true)
    expect(asked()).toEqual([`POST /keys/kek/${first.version}/decrypt`])
  })

  test('is the latest one, once that was read, without a list', async () => {
    const wrapper = openWith()
    await wrapper.currentKeyId(within())
    expect(await decrypted(wrapper, { ...madeBy(second), keyName: nameOf(second) })).toBe(true)
    expect(asked()).toEqual([`POST /keys/kek/${second.version}/decrypt`])
  })

  test('is any other one of the list, which is asked for once, a page at a time', async () => {
    fake.pageSize = 1
    const third = addVersion()
    const wrapper = openWith()
    for (const version of [third, first, second, first]) {
      expect(await decrypted(wrapper, { ...madeBy(version), keyName: nameOf(version) })).toBe(true)
    }
    expect(asked().filter((line) => line === 'GET /keys/kek/versions')).toHaveLength(3)
  })

  test('is found as the vault writes it, whatever the case of the name in our settings', async () => {
    const wrapper = openWith({ keyName: 'KEK' })
    expect(await decrypted(wrapper, { ...madeBy(first), keyName: nameOf(first) })).toBe(true)
  })

  test('is looked for once however many values wait, and not again for a while', async () => {
    const clock = new ManualClock()
    const wrapper = openWith({}, { clock })
    const keyName = nameOf(first, 'https://other-vault.vault.azure.net')
    const tries = async (): Promise<void> => {
      const all = Array.from({ length: 20 }, async () =>
        outcomeOf(wrapper.decryptNative({ ...madeBy(first), keyName }, within())),
      )
      expect(new Set(await Promise.all(all))).toEqual(new Set(['ERR_KEY_UNKNOWN']))
    }
    await tries()
    await tries()
    expect(asked()).toEqual(['GET /keys/kek/versions'])
    await clock.advance(30_000)
    const third = addVersion()
    expect(await decrypted(wrapper, { ...madeBy(third), keyName: nameOf(third) })).toBe(true)
  })

  test('that is not in the list, or a list that goes on for ever, ends after 40 pages', async () => {
    fake.server.fault = ({ url }) =>
      url.pathname === '/keys/kek/versions'
        ? { status: 200, body: { value: [], nextLink: `${BASE}/keys/kek/versions?$skiptoken=again` } }
        : undefined
    const call = openWith().decryptNative({ ...madeBy(first), keyName: 'a'.repeat(64) }, within())
    expect(await outcomeOf(call)).toBe('ERR_KEY_UNKNOWN')
    expect(asked()).toHaveLength(40)
  })

  test('of another host is no address to follow: the token goes to the vault alone', async () => {
    const stranger = await FakeAzure.start()
    fake.server.fault = ({ url }) =>
      url.pathname === '/keys/kek/versions' && !url.searchParams.has('$skiptoken')
        ? {
            status: 200,
            body: { value: [], nextLink: `${stranger.server.url}/keys/kek/versions?$skiptoken=0` },
          }
        : undefined
    expect(await decrypted(openWith(), { ...madeBy(first), keyName: nameOf(first) })).toBe(true)
    expect(stranger.server.requests).toEqual([])
    await stranger.server.close()
  })

  test('cannot be looked for without the right to list, which the message says', async () => {
    fake.rights.delete('list')
    const call = openWith().decryptNative({ ...madeBy(first), keyName: nameOf(first) }, within())
    expect(await outcomeOf(call)).toBe('ERR_ACCESS_DENIED')
    await expect(call).rejects.toThrow(/allows us list/)
  })

  test('a list that is none is a fault of the vault', async () => {
    fake.server.failNext({ status: 200, body: { value: 'all' } }, 1, ({ url }) =>
      url.pathname.endsWith('/versions'),
    )
    const call = openWith().decryptNative({ ...madeBy(first), keyName: nameOf(first) }, within())
    expect(await outcomeOf(call)).toBe('ERR_BACKEND_RESPONSE')
  })
})

describe('without a name', () => {
  test.each(['RSA1_5', 'RSA-OAEP-256'] as const)('the configured version decrypts %s', async (algorithm) => {
    const wrapper = openWith({ keyVersion: first.version })
    expect(await decrypted(wrapper, madeBy(first, algorithm))).toBe(true)
    expect(asked()).toEqual([`POST /keys/kek/${first.version}/decrypt`])
  })

  test('and without a configured version the latest one decrypts', async () => {
    const wrapper = openWith()
    expect(await decrypted(wrapper, madeBy(second, 'RSA1_5'))).toBe(true)
    expect(asked()).toEqual([`POST /keys/kek/${second.version}/decrypt`])
  })
})

describe('a refusal', () => {
  test('of what was altered has one code and one text, whatever Azure says to it', async () => {
    const wrapper = openWith({ keyVersion: first.version })
    const messages = new Set<string>()
    const { bytes } = madeBy(first, 'RSA1_5')
    const answers = [
      undefined,
      { status: 400, body: { error: { code: 'BadParameter', message: 'the padding is wrong' } } },
      { status: 400, body: { error: { code: 'KeyOperationError', message: 'a data error' } } },
      { status: 400, body: '<html>' },
    ]
    for (const answer of answers) {
      if (answer !== undefined) {
        fake.server.failNext(answer, 1, ({ url }) => url.pathname.endsWith('/decrypt'))
      }
      const altered = Buffer.from(bytes)
      altered.writeUInt8(altered.readUInt8(99) ^ 1, 99)
      const call = wrapper.decryptNative({ bytes: altered, algorithm: 'RSA1_5' }, within())
      expect(await outcomeOf(call)).toBe('ERR_DECRYPTION_FAILED')
      messages.add(await call.then(() => '', String))
    }
    expect(messages.size).toBe(1)
  })

  test('of RSA1_5 is the same for a right padding round anything but 32 bytes, so that no metric tells', async () => {
    const wrapper = openWith({ keyVersion: first.version })
    const bad = Buffer.from(madeBy(first, 'RSA1_5').bytes)
    bad.writeUInt8(bad.readUInt8(99) ^ 1, 99)
    const messages = new Set<string>()
    for (const bytes of [
      bad,
      ...[0, 1, 31, 33, 245].map((length) => first.wrap('RSA1_5', Buffer.alloc(length, 7))!),
    ]) {
      const call = wrapper.decryptNative({ bytes, algorithm: 'RSA1_5' }, within())
      expect(await outcomeOf(call)).toBe('ERR_DECRYPTION_FAILED')
      messages.add(await call.then(() => '', String))
    }
    expect(messages.size).toBe(1)
    const bytes = first.wrap('RSA-OAEP-256', Buffer.alloc(33, 7))!
    const longer = await wrapper.decryptNative({ bytes, algorithm: 'RSA-OAEP-256' }, within())
    expect(longer).toHaveLength(33)
  })

  test.each([
    ['a version that is disabled', 'ERR_KEY_DISABLED', () => void (first.enabled = false)],
    ['a right that is missing', 'ERR_ACCESS_DENIED', () => void fake.rights.delete('decrypt')],
    ['an operation that the key has not', 'ERR_KEY_UNUSABLE', () => void first.operations.pop()],
    ['a key that was deleted', 'ERR_KEY_PENDING_DELETION', () => fake.setDeleted('kek', true)],
    ['a key that was purged', 'ERR_KEY_NOT_FOUND', () => fake.purge('kek')],
    ['an outage', 'ERR_BACKEND_UNAVAILABLE', () => fake.server.failNext({ status: 503 }, Infinity)],
  ])('for %s says so', async (_name, code, happen) => {
    const wrapper = openWith({ keyVersion: first.version })
    expect(await decrypted(wrapper, madeBy(first))).toBe(true)
    happen()
    expect(await outcomeOf(wrapper.decryptNative(madeBy(first), within()))).toBe(code)
  })

  test('names the operation that must be permitted', async () => {
    first.operations.pop()
    const call = openWith({ keyVersion: first.version }).decryptNative(madeBy(first), within())
    await expect(call).rejects.toThrow(/--ops wrapKey unwrapKey decrypt/)
  })

  test('of a version that the key no longer has', async () => {
    const gone = { ...first, version: 'f'.repeat(32) }
    const call = openWith({ keyVersion: gone.version }).decryptNative(madeBy(first), within())
    expect(await outcomeOf(call)).toBe('ERR_KEY_UNKNOWN')
  })

  test('an answer without the value is a fault of the vault', async () => {
    const wrapper = openWith({ keyVersion: first.version })
    for (const body of [{}, { value: '=' }, { value: 7 }]) {
      fake.server.failNext({ status: 200, body }, 1, ({ url }) => url.pathname.endsWith('/decrypt'))
      expect(await outcomeOf(wrapper.decryptNative(madeBy(first), within()))).toBe('ERR_BACKEND_RESPONSE')
    }
  })

  test('of an algorithm that is not asked for is a bug of the plugin', async () => {
    const { bytes } = madeBy(first)
    for (const native of [{ bytes }, { bytes, algorithm: 'AES-GCM' as const }]) {
      expect(await outcomeOf(openWith().decryptNative(native, within()))).toBe('ERR_INTERNAL')
    }
    expect(fake.asked).toEqual([])
  })
})

test('after the end no call goes out', async () => {
  const wrapper = openWith({ keyVersion: first.version })
  await wrapper.close()
  expect(await outcomeOf(wrapper.decryptNative(madeBy(first), within()))).toBe('ERR_SHUTTING_DOWN')
})
