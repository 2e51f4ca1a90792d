/** Values of vault-kubernetes-kms and kleidi: they open under any key id, which nothing binds, and with a changed ciphertext they do not. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { vaultKubernetesKms as format } from '../../../src/adapters/formats/vault_kubernetes_kms.js'
import type { StoredValue } from '../../../src/ports/foreign.js'
import {
  flips,
  foreignFixture,
  type ForeignFixture,
  storedValue,
  truncations,
  withAnnotation,
} from '../../support/foreign_fixture.js'
import { faultOf, TransitBench, type TransitKey } from './transit.js'

interface Printed {
  readonly printed: {
    readonly ciphertext: string
    readonly keyId: string
    readonly version: number
    readonly nonce: string
    readonly ciphertextBytes: number
  }
}

const fixture = foreignFixture<ForeignFixture<TransitKey> & Printed>('vault-kubernetes-kms')
const values = fixture.values.map((entry) => [entry.note, entry.api, storedValue(entry), entry] as const)
const KLEIDI = 'v2.kleidi.beezy.dev'

let bench: TransitBench
beforeAll(async () => {
  bench = await TransitBench.start(fixture.key)
})
afterAll(async () => bench.close())

const open = async (value: StoredValue) => bench.open(format, value)

/** What may be said of a value that was changed: never that the server is at fault. */
function expectRefused(outcome: string): void {
  if (outcome !== 'not recognized') expect(faultOf(outcome)).toBe('data')
}

function text(value: StoredValue, change: (text: string) => string): StoredValue {
  return { ...value, ciphertext: Buffer.from(change(Buffer.from(value.ciphertext).toString()), 'latin1') }
}

test('the fixture has v1 and v2, two key versions, and both programs', () => {
  expect(values.length).toBe(7)
  expect(new Set(fixture.values.map(({ api }) => api))).toEqual(new Set(['v1', 'v2']))
  expect(values.filter(([, , { annotations }]) => KLEIDI in annotations)).toHaveLength(2)
})

describe.each(values)('%s, %s', (_note, _api, value, entry) => {
  test('each beginning of it is refused; Transit is asked only where base64 happens to end well', async () => {
    const before = bench.decrypts
    const outcomes: string[] = []
    for (const ciphertext of truncations(value.ciphertext))
      outcomes.push(await open({ ...value, ciphertext }))
    expect(new Set(outcomes)).toEqual(
      new Set(['not recognized', 'ERR_MALFORMED_ENVELOPE', 'ERR_DECRYPTION_FAILED']),
    )
    const failed = outcomes.filter((outcome) => outcome === 'ERR_DECRYPTION_FAILED')
    expect(bench.decrypts - before).toBe(failed.length)
    expect(failed.length).toBeLessThan(outcomes.length / 4)
  })

  test('no changed byte gives another plaintext or looks like a fault of the server', async () => {
    for (const ciphertext of flips(value.ciphertext)) expectRefused(await open({ ...value, ciphertext }))
  })

  test('anything behind it is refused before anybody is asked', async () => {
    const before = bench.decrypts
    for (const tail of ['\n', '\0', '===', 'A', ':', ' vault:v1:AAAA']) {
      expect(await open(text(value, (whole) => whole + tail))).toBe('ERR_MALFORMED_ENVELOPE')
    }
    expect(bench.decrypts).toBe(before)
  })

  test('another version of the key, one that is not there, and none', async () => {
    const as = async (version: string) => open(text(value, (whole) => whole.replace(/v[12]/, `v${version}`)))
    const other = /v1/.test(Buffer.from(value.ciphertext).toString()) ? '2' : '1'
    for (const version of [other, '3', '4294967296']) expect(await as(version)).toBe('ERR_DECRYPTION_FAILED')
    for (const version of ['0', '01', '-1', '', '1e0', '99999999999']) {
      expect(await as(version)).toBe('ERR_MALFORMED_ENVELOPE')
    }
  })

  test('opens to what was encrypted, by its first bytes on v1 and whatever key id it was stored with', async () => {
    const plaintext = Buffer.from(entry.plaintext, 'base64').toString('hex')
    expect(await open(value)).toBe(plaintext)
    // Nothing binds it: the plugin does not look at it either, and wrote the creation time up to v0.1.0.
    for (const keyId of ['1', '1706707774', 'anything', undefined])
      expect(await open({ ...value, keyId })).toBe(plaintext)
  })
})

test('under another key of the same name every value fails authentication, and that is no fault of the server', async () => {
  const other = await TransitBench.start({
    ...fixture.key,
    versions: { 1: Buffer.alloc(32, 1).toString('base64'), 2: Buffer.alloc(32, 2).toString('base64') },
  })
  try {
    for (const [, , value] of values) expect(await other.open(format, value)).toBe('ERR_DECRYPTION_FAILED')
  } finally {
    await other.close()
  }
})

describe('whose it is', () => {
  const [plain, kleidi] = [values[0]![2], values.find(([, , { annotations }]) => KLEIDI in annotations)![2]]

  test('by its first bytes, and surer by the annotation of kleidi', () => {
    expect([format.recognize(plain), format.recognize(kleidi)]).toEqual(['bytes', 'annotation'])
  })

  test('not what kleidi wrote with SoftHSM, nor what openbao-kubernetes-kms binds to its annotations', () => {
    expect(format.recognize({ ...kleidi, ciphertext: Buffer.alloc(60, 7) })).toBeUndefined()
    const annotated = withAnnotation(plain, 'provider.kms.openbao.org', Buffer.from('openbao-transit'))
    expect(format.recognize(annotated)).toBeUndefined()
  })

  test('another version in the annotation of kleidi is refused', async () => {
    for (const version of ['', '2', '11', '\u0131']) {
      expect(await open(withAnnotation(kleidi, KLEIDI, Buffer.from(version)))).toBe('ERR_MALFORMED_ENVELOPE')
    }
  })

  test('it has no options', () => {
    expect(format.options().safeParse({ keyName: 'x' }).success).toBe(false)
  })
})

describe('explained without a key', () => {
  const { printed } = fixture

  test('the value that the guide prints: version, nonce, lengths, tag, and when the key version was made', () => {
    const value = { ciphertext: Buffer.from(printed.ciphertext), keyId: printed.keyId, annotations: {} }
    const { fields, problem } = format.explain(value)
    expect(problem).toBeUndefined()
    const bytes = Buffer.from(printed.ciphertext.slice('vault:v1:'.length), 'base64')
    expect(fields).toEqual([
      { label: 'key version', value: String(printed.version) },
      { label: 'nonce', value: printed.nonce },
      { label: 'ciphertext bytes', value: String(printed.ciphertextBytes) },
      { label: 'tag', value: bytes.subarray(-16).toString('hex') },
      { label: 'key version made at', value: '2024-01-31T13:29:34.000Z' },
    ])
  })

  test('each fixture, and its key id where that is a version', () => {
    const labels = values.map(([, , value]) => format.explain(value).fields.map(({ label }) => label))
    for (const seen of labels)
      expect(seen.slice(0, 4)).toEqual(['key version', 'nonce', 'ciphertext bytes', 'tag'])
    expect(labels.filter((seen) => seen.includes('latest key version when it was written'))).toHaveLength(3)
  })

  test('what is not of the format to its end says why and throws nothing', async () => {
    for (const [, , value] of values) {
      for (const ciphertext of [...truncations(value.ciphertext), Buffer.alloc(70_000, 'a')]) {
        const isWhole = (await open({ ...value, ciphertext })) === 'ERR_DECRYPTION_FAILED'
        const { problem } = format.explain({ ...value, ciphertext })
        expect(problem === undefined).toBe(isWhole)
      }
    }
  })
})
