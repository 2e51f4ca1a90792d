/** Values of openbao-kubernetes-kms: they open, and with a change in ciphertext, key id or an annotation that is bound they do not. */
import { createCipheriv, createHash, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openbaoKubernetesKms as format } from '../../../src/adapters/formats/openbao_kubernetes_kms.js'
import type { NativeCiphertext, StoredValue } from '../../../src/ports/foreign.js'
import {
  flips,
  foreignFixture,
  type ForeignFixture,
  storedValue,
  truncations,
  withAnnotation,
} from '../../support/foreign_fixture.js'
import { faultOf, TransitBench, type TransitKey } from './transit.js'

interface Extra {
  /** As the plugin names them. */
  readonly options: Readonly<Record<string, string>>
  /** What Transit was given, in base64. */
  readonly aad: string
}

const fixture = foreignFixture<ForeignFixture<TransitKey, Extra>>('openbao-kubernetes-kms')
const values = fixture.values.map((entry) => [entry.note, storedValue(entry), entry] as const)
const [, golden, goldenEntry] = values[0]!
const { options } = goldenEntry

let bench: TransitBench
beforeAll(async () => {
  bench = await TransitBench.start(fixture.key)
})
afterAll(async () => bench.close())

const open = async (value: StoredValue, given: object = options) => bench.open(format, value, given)

function expectRefused(outcome: string): void {
  if (outcome === 'not recognized') return
  expect(['data', 'operator']).toContain(faultOf(outcome))
}

function asked(value: StoredValue, given: Extra['options']): NativeCiphertext {
  const plan = format.plan(value, format.options().parse(given), { allowUnauthenticated: false })
  return plan.questions[0] as NativeCiphertext
}

test("the associated data of the plugin's golden vector, byte for byte, and its key id", () => {
  expect(golden.keyId).toBe('obk2.ig7zS9_yvQrdlcvWgJUhA5q_fQYupc5jRX5MzhAMQSk')
  const aad = asked(golden, options).aad ?? Buffer.of()
  expect(createHash('sha256').update(Buffer.from(aad).toString('base64')).digest('hex')).toBe(
    createHash('sha256').update(goldenEntry.aad).digest('hex'),
  )
})

describe.each(values)('%s', (_note, value, entry) => {
  test('each beginning of it is refused; Transit is asked only where base64 happens to end well', async () => {
    const before = bench.decrypts
    const outcomes: string[] = []
    for (const ciphertext of truncations(value.ciphertext)) {
      outcomes.push(await open({ ...value, ciphertext }, entry.options))
    }
    expect(new Set(outcomes)).toEqual(new Set(['ERR_MALFORMED_ENVELOPE', 'ERR_DECRYPTION_FAILED']))
    const failed = outcomes.filter((outcome) => outcome === 'ERR_DECRYPTION_FAILED')
    expect(bench.decrypts - before).toBe(failed.length)
    expect(failed.length).toBeLessThan(outcomes.length / 4)
  })

  test('no changed byte of ciphertext or key id gives a plaintext or looks like a fault of the server', async () => {
    for (const ciphertext of flips(value.ciphertext)) {
      expectRefused(await open({ ...value, ciphertext }, entry.options))
    }
    for (const keyId of flips(Buffer.from(value.keyId ?? ''))) {
      const changed = { ...value, keyId: Buffer.from(keyId).toString('latin1') }
      expect(['ERR_MALFORMED_ENVELOPE', 'ERR_KEY_ID_MISMATCH']).toContain(await open(changed, entry.options))
    }
  })

  test.each(Object.keys(value.annotations))('%s: gone, cut, changed or too long', async (name) => {
    const bytes = value.annotations[name] ?? Buffer.of()
    const isBound = name !== 'plugin-version.kms.openbao.org'
    const missing = await open(withAnnotation(value, name, undefined), entry.options)
    expect(missing).toBe('ERR_MALFORMED_ENVELOPE')
    const plaintext = Buffer.from(entry.plaintext, 'base64').toString('hex')
    const changes = [...truncations(bytes), ...flips(bytes), Buffer.concat([bytes, Buffer.from('0')])]
    for (const changed of changes) {
      const outcome = await open(withAnnotation(value, name, changed), entry.options)
      // The version of the plugin is bound to nothing, and read by nobody.
      if (isBound || changed.length === 0) expectRefused(outcome)
      else expect(outcome).toBe(plaintext)
    }
  })

  test('on v1, which has neither key id nor annotations, it is not known', async () => {
    expect(format.recognize({ ...value, keyId: undefined, annotations: {} })).toBeUndefined()
    expect(await open({ ...value, annotations: {} }, entry.options)).toBe('ERR_MALFORMED_ENVELOPE')
    expect(await open({ ...value, keyId: undefined }, entry.options)).toBe('ERR_MALFORMED_ENVELOPE')
  })

  test('opens to what was encrypted, with what Transit was given, and an annotation more changes nothing', async () => {
    const plaintext = Buffer.from(entry.plaintext, 'base64').toString('hex')
    expect(Buffer.from(asked(value, entry.options).aad ?? Buffer.of()).toString('base64')).toBe(entry.aad)
    expect(await open(value, entry.options)).toBe(plaintext)
    const more = withAnnotation(value, 'new.kms.openbao.org', Buffer.from('x'))
    expect(await open(more, entry.options)).toBe(plaintext)
  })
})

test('annotations, key id and ciphertext of different values do not open together', async () => {
  const [, older] = values[1]!
  const mixed = [
    { ...golden, ciphertext: older.ciphertext },
    { ...golden, keyId: older.keyId },
    { ...golden, annotations: older.annotations },
    { ...golden, keyId: older.keyId, annotations: older.annotations },
  ]
  for (const value of mixed) expectRefused(await open(value))
})

describe('where a namespace is configured there', () => {
  const NAME = 'openbao-namespace-hash.kms.openbao.org'
  const plaintext = randomBytes(32)
  const hash = createHash('sha256').update('admin/workload-a').digest('base64url')
  const before = '"transit_mount_hash"'
  const aad = Buffer.from(goldenEntry.aad, 'base64')
    .toString()
    .replace(before, `"openbao_namespace_hash":"${hash}",${before}`)
  const value = withAnnotation({ ...golden, ciphertext: sealed(aad) }, NAME, Buffer.from(hash))

  /** As version 3 of the key of the fixture does it. */
  function sealed(associated: string): Buffer {
    const nonce = randomBytes(12)
    const cipher = createCipheriv(
      'aes-256-gcm',
      Buffer.from(fixture.key.versions['3'] ?? '', 'base64'),
      nonce,
    )
    const body = cipher.setAAD(Buffer.from(associated)).update(plaintext)
    const bytes = Buffer.concat([nonce, body, cipher.final(), cipher.getAuthTag()])
    return Buffer.from(`vault:v3:${bytes.toString('base64')}`)
  }

  test('its hash is bound too: gone or changed, nothing opens', async () => {
    expect(await open(withAnnotation(value, NAME, undefined))).toBe('ERR_DECRYPTION_FAILED')
    const bytes = Buffer.from(hash)
    for (const changed of [...truncations(bytes), ...flips(bytes)]) {
      expectRefused(await open(withAnnotation(value, NAME, changed)))
    }
    expect(await open(withAnnotation(golden, NAME, bytes))).toBe('ERR_DECRYPTION_FAILED')
  })

  test('what was written opens without the name of the namespace, and its hash is shown', async () => {
    expect(await open(value)).toBe(plaintext.toString('hex'))
    expect(format.explain(value).fields).toContainEqual({ label: 'openbao-namespace-hash', value: hash })
  })
})

test.each([
  ['transitMountId', 'ERR_KEY_UNKNOWN', 0],
  ['keyLineageId', 'ERR_KEY_UNKNOWN', 0],
  ['providerName', 'ERR_DECRYPTION_FAILED', 1],
  ['clusterId', 'ERR_DECRYPTION_FAILED', 1],
  ['instanceId', 'ERR_DECRYPTION_FAILED', 1],
] as const)('with another %s nothing opens: %s', async (name, code, decrypts) => {
  const before = bench.decrypts
  expect(await open(golden, { ...options, [name]: `${options[name] ?? ''} ` })).toBe(code)
  expect(bench.decrypts - before).toBe(decrypts)
})

test('the options are five names, none of them empty, of several lines, or unknown', () => {
  const accepts = (given: object) => format.options().safeParse(given).success
  expect(accepts(options)).toBe(true)
  for (const name of Object.keys(options)) {
    for (const wrong of ['', 'a\nb', '\ud800', undefined, 1]) {
      expect(accepts({ ...options, [name]: wrong })).toBe(false)
    }
  }
  expect(accepts({ ...options, namespace: 'x' })).toBe(false)
})

test('under another key every value fails authentication, and that is no fault of the server', async () => {
  const versions = Object.fromEntries([1, 2, 3].map((n) => [n, Buffer.alloc(32, n).toString('base64')]))
  const other = await TransitBench.start({ ...fixture.key, versions })
  try {
    for (const [, value, entry] of values) {
      expect(await other.open(format, value, entry.options)).toBe('ERR_DECRYPTION_FAILED')
    }
  } finally {
    await other.close()
  }
})

describe('explained without a key', () => {
  test('by its annotations, else by its key id', () => {
    expect(format.recognize(golden)).toBe('annotation')
    expect(format.recognize({ ...golden, annotations: {} })).toBe('keyId')
    expect(format.recognize({ ...golden, annotations: {}, ciphertext: Buffer.from('1abc') })).toBeUndefined()
  })

  test('the ciphertext of Transit, then each annotation', () => {
    const { fields, problem } = format.explain(golden)
    expect(problem).toBeUndefined()
    expect(fields.map(({ label }) => label)).toEqual([
      ...[
        'key version',
        'nonce',
        'ciphertext bytes',
        'tag',
        'provider',
        'key-id-hash',
        'transit-key-version',
      ],
      ...['transit-mount-hash', 'transit-key-hash', 'plugin-version', 'aad-version'],
    ])
    expect(fields.find(({ label }) => label === 'key version')?.value).toBe('3')
  })

  test('what is not of its form says why, shows what is there, and throws nothing', () => {
    const broken = withAnnotation(golden, 'plugin-version.kms.openbao.org', Buffer.from('a\nb\x1b'))
    expect(format.explain(broken).fields.map(({ value }) => value)).toContain('a\\u{a}b\\u{1b}')
    const cut = { ...golden, ciphertext: golden.ciphertext.subarray(0, 20), keyId: undefined }
    expect(format.explain(cut)).toMatchObject({ problem: expect.stringContaining('ciphertext') as string })
    expect(format.explain(cut).fields).toHaveLength(7)
  })
})
