/** Values that Azure's plugin itself wrote open with the key in Key Vault, and nothing that was altered does. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AzureKeyWrapper } from '../../../src/adapters/backends/azure/wrapper.js'
import { azureKubernetesKms } from '../../../src/adapters/formats/azure_kubernetes_kms.js'
import { erased } from '../../../src/adapters/formats/format.js'
import type { StoredValue } from '../../../src/ports/foreign.js'
import { outcomeNow, outcomeOf } from '../../doubles/outcome.js'
import {
  damagedAnnotations,
  damagedCiphertexts,
  damagedTexts,
  open,
  recordingOf,
  tally,
  type RecordedValue,
} from '../../support/cloud_values.js'
import { FakeAzure } from '../../support/fakes/azure.js'
import type { VersionWish } from '../../support/fakes/azure_keys.js'
import { deps, section, within } from '../azure/opened.js'

interface Key {
  readonly vaultUrl: string
  readonly name: string
  readonly versions: readonly VersionWish[]
}

const recording = recordingOf<Key>('azure-kubernetes-kms')
const decoder = erased(azureKubernetesKms).decoder({}, { allowUnauthenticated: false })

let fake: FakeAzure
/** With its version pinned, by version, as v1 needs it. */
const pinned = new Map<unknown, AzureKeyWrapper>()

beforeAll(async () => {
  fake = await FakeAzure.start()
  fake.kidBase = recording.key.vaultUrl
  for (const right of ['decrypt', 'list']) fake.rights.add(right)
  for (const wish of recording.key.versions) {
    fake.addVersion(recording.key.name, 'RSA', 2048, wish).operations.push('decrypt')
    pinned.set(wish.version, openWith({ keyVersion: wish.version }))
  }
})

afterAll(async () => {
  await Promise.all([...pinned.values()].map(async (one) => one.close()))
  await fake.server.close()
})

function openWith(change: object): AzureKeyWrapper {
  return new AzureKeyWrapper(section(fake.server.url, change), deps({ env: { SECRET: fake.entra.secret } }))
}

const openingOf =
  ({ raw }: RecordedValue) =>
  async (stored: StoredValue) =>
    open(decoder, pinned.get(raw['version'])!, stored, within())
const cases = recording.values.map((value): [string, RecordedValue] => [`${value.api}, ${value.note}`, value])

describe.each(cases)('%s', (_name, value) => {
  const { stored, plaintext } = value

  test('is recognized and opens', async () => {
    expect(decoder.recognize(stored)).toBe(stored.keyId === undefined ? 'bytes' : 'annotation')
    expect(Buffer.from(await openingOf(value)(stored)).equals(plaintext)).toBe(true)
  })

  test('is refused whatever of its bytes is altered, and never as a fault of Azure', async () => {
    const damaged = damagedCiphertexts(stored).map((ciphertext) => ({ ...stored, ciphertext }))
    const counts = await tally(damaged, plaintext, openingOf(value))
    const { ERR_MALFORMED_ENVELOPE = 0, ERR_DECRYPTION_FAILED = 0, ...others } = counts
    expect(others).toEqual({})
    expect(ERR_MALFORMED_ENVELOPE + ERR_DECRYPTION_FAILED).toBe(damaged.length)
  })

  test('under the key of another version is refused', async () => {
    const other = recording.values.find(
      ({ api, raw }) => api === value.api && raw['version'] !== value.raw['version'],
    )!
    const keyId = other.stored.keyId
    expect(await outcomeOf(openingOf(other)({ ...stored, keyId }))).toBe('ERR_DECRYPTION_FAILED')
  })
})

describe('a value of v2', () => {
  const { stored, plaintext } = recording.values.find(({ api }) => api === 'v2')!
  const opening = openingOf(recording.values[0]!)

  test('under another key id is refused, and the versions are listed once for all of them', async () => {
    const wrapper = openWith({})
    const damaged = damagedTexts(stored.keyId ?? '').map((keyId) => ({ ...stored, keyId }))
    const before = fake.asked.length
    const counts = await tally(damaged, plaintext, async (value) => open(decoder, wrapper, value, within()))
    const { ERR_KEY_UNKNOWN = 0, ERR_MALFORMED_ENVELOPE = 0, ...others } = counts
    expect(others).toEqual({})
    expect(ERR_KEY_UNKNOWN + ERR_MALFORMED_ENVELOPE).toBe(64)
    expect(fake.asked.slice(before).filter((line) => !line.endsWith('/kek'))).toEqual([
      'GET /keys/kek/versions',
    ])
    await wrapper.close()
  })

  test.each(['version.azure.akv.io', 'algorithm.azure.akv.io'])(
    'without %s, or with another one, is refused before Azure is asked',
    async (name) => {
      const damaged = damagedAnnotations(stored)
        .get(name)!
        .map((annotations) => ({ ...stored, annotations }))
      const before = fake.asked.length
      const counts = await tally(damaged, plaintext, opening)
      expect(counts).toEqual({ ERR_MALFORMED_ENVELOPE: damaged.length })
      expect(fake.asked.length).toBe(before)
    },
  )

  test.each(['date.azure.akv.io', 'x-ms-request-id.azure.akv.io', 'x-ms-keyvault-region.azure.akv.io'])(
    'opens whatever %s says: it only tells when and where',
    async (name) => {
      const others = damagedAnnotations(stored)
        .get(name)!
        .map((annotations) => ({ ...stored, annotations }))
      expect(await tally(others, plaintext, opening)).toEqual({ OK: others.length })
    },
  )

  test.each([
    ['no annotations', { ...stored, annotations: {} }],
    ['an empty key id', { ...stored, keyId: '' }],
    ['a key id in upper case', { ...stored, keyId: (stored.keyId ?? '').toUpperCase() }],
    ['the annotations of v2 on v1', { ...stored, keyId: undefined, ciphertext: Buffer.from('AAAA') }],
    ['a ciphertext with padding', { ...stored, ciphertext: Buffer.from(`${'A'.repeat(341)}=`) }],
    ['a ciphertext of another length', { ...stored, ciphertext: Buffer.from('A'.repeat(343)) }],
    ['base64 of the other alphabet', { ...stored, ciphertext: Buffer.from('+'.repeat(342)) }],
    ['bits behind the end', { ...stored, ciphertext: Buffer.from(`${'A'.repeat(341)}B`) }],
  ])('with %s is refused before Azure is asked', (_name, value) => {
    expect(outcomeNow(() => decoder.plan(value))).toBe('ERR_MALFORMED_ENVELOPE')
  })
})

describe('a value of v1', () => {
  const { stored } = recording.values.find(({ api }) => api === 'v1')!

  test.each([0, 1, 31, 33, 245])(
    'whose plaintext has %i bytes is refused as one with a wrong padding is: there is one error',
    async (length) => {
      const wish = recording.key.versions[0]!
      const wrapper = pinned.get(wish.version)!
      const version = fake.addVersion('kek-of-tries', 'RSA', 2048, wish)
      const text = version.wrap('RSA1_5', Buffer.alloc(length, 7))!.toString('base64url')
      const messages: string[] = []
      for (const ciphertext of [Buffer.from(text), Buffer.from('A'.repeat(342))]) {
        const call = open(decoder, wrapper, { ...stored, ciphertext }, within())
        messages.push(
          await call.then(
            () => 'OK',
            (error: unknown) => String(error),
          ),
        )
      }
      expect(messages.map((message) => message.replace(/^.*does not decrypt/, 'does not decrypt'))).toEqual(
        Array.from(
          { length: 2 },
          () => 'does not decrypt the value: it was altered, or is of another key or version',
        ),
      )
    },
  )

  test('may open under any key to something, where a device hides wrong padding; v2 opens under its own alone', () => {
    expect(decoder.plan(stored).opensUnderAnyKey).toBe(true)
    const named = recording.values.find(({ api }) => api === 'v2')!.stored
    expect(decoder.plan(named).opensUnderAnyKey).not.toBe(true)
  })

  test('asks for RSA1_5 with the bytes of the text, and v2 for RSA-OAEP-256 by the key id', () => {
    const text = 'A'.repeat(342)
    const ciphertext = Buffer.from(text)
    const bytes = Buffer.from(text, 'base64url')
    expect(decoder.plan({ ...stored, ciphertext }).questions).toEqual([{ bytes, algorithm: 'RSA1_5' }])
    const named = recording.values.find(({ api }) => api === 'v2')!.stored
    expect(decoder.plan({ ...named, ciphertext }).questions).toEqual([
      { bytes, algorithm: 'RSA-OAEP-256', keyName: named.keyId },
    ])
  })
})

describe('the form', () => {
  const stored = (ciphertext: Buffer, keyId?: string): StoredValue => ({ ciphertext, keyId, annotations: {} })

  test.each([342, 512, 683])('of v1 is recognized by its %i characters', (length) => {
    expect(decoder.recognize(stored(Buffer.from('A'.repeat(length))))).toBe('bytes')
    expect(decoder.recognize(stored(Buffer.from('A'.repeat(length)), 'a'.repeat(64)))).toBe('keyId')
  })

  test.each([
    ['a value of AWS', stored(Buffer.from('310102020078', 'hex'))],
    ['a value of Vault', stored(Buffer.from('vault:v1:AAAA'))],
    ['a text of another length', stored(Buffer.from('A'.repeat(341)))],
    ['bytes of that length', stored(Buffer.alloc(342))],
    ['a text under a foreign key id', stored(Buffer.from('A'.repeat(342)), 'kms-test')],
    [
      'a value with the annotations of another plugin',
      { ...stored(Buffer.from('A'.repeat(342))), annotations: { 'a.example.com': Buffer.from('1') } },
    ],
    ['nothing', stored(Buffer.alloc(0))],
  ])('does not recognize %s', (_name, value) => {
    expect(decoder.recognize(value)).toBeUndefined()
  })

  test('is explained without a key', () => {
    const { stored: v2 } = recording.values.find(({ api }) => api === 'v2')!
    expect(azureKubernetesKms.explain(v2)).toEqual({
      fields: [
        { label: 'key', value: `SHA-256 of its URL with version: ${v2.keyId}` },
        { label: 'version', value: '1' },
        { label: 'algorithm', value: 'RSA-OAEP-256' },
        { label: 'date', value: expect.stringContaining('2026') as string },
        { label: 'region', value: 'westeurope' },
        { label: 'request id', value: expect.stringMatching(/^[0-9a-f-]{36}$/) as string },
        { label: 'ciphertext', value: '256 bytes' },
      ],
    })
    const v1 = azureKubernetesKms.explain(stored(Buffer.from('A'.repeat(512))))
    expect(v1.fields.map(({ value }) => value)).toEqual(['not stored by v1', 'RSA1_5', '384 bytes'])
    const told = { ...v2, annotations: { ...v2.annotations, 'date.azure.akv.io': Buffer.from('\u001b[0m') } }
    expect(azureKubernetesKms.explain(told).fields.map(({ label }) => label)).not.toContain('date')
    expect(azureKubernetesKms.explain({ ...v2, annotations: {} }).problem).toContain('version.azure.akv.io')
  })
})
