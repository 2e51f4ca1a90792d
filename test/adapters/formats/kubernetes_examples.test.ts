/** Values of Kubernetes' own example plugins: the mock, kleidi's variant, and the local KEK before the mock. */
import { createCipheriv, randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { erased } from '../../../src/adapters/formats/format.js'
import { kubernetesKmsMock } from '../../../src/adapters/formats/kubernetes_kms_mock.js'
import { kubernetesLocalKek } from '../../../src/adapters/formats/kubernetes_local_kek.js'
import type { ForeignDecoder, StoredValue } from '../../../src/ports/foreign.js'
import { outcomeNow } from '../../doubles/outcome.js'
import {
  damaged,
  KeysInMemory,
  openInMemory,
  recorded,
  tally,
  type TokenValue,
} from '../../support/token_values.js'

const KEK = 'encrypted-kek.reference.encryption.k8s.io'
const permission = { allowUnauthenticated: false }
const mockRecording = recorded('kubernetes-kms-mock')
const kekRecording = recorded('kubernetes-local-kek')

const mock = (options: object = {}) => erased(kubernetesKmsMock).decoder(options, permission)
const localKek = erased(kubernetesLocalKek).decoder({}, permission)
const bound = mock()
const unbound = mock({ boundToKeyId: false })

interface Case {
  readonly value: TokenValue
  readonly decoder: ForeignDecoder
  readonly inner: readonly ForeignDecoder[]
  readonly memory: KeysInMemory
}

const cases: [string, Case][] = [
  ...mockRecording.values.map((value): [string, Case] => [
    `mock: ${value.name}`,
    { value, decoder: bound, inner: [], memory: new KeysInMemory(mockRecording.key['kek']!) },
  ]),
  ...kekRecording.values.map((value): [string, Case] => [
    `local KEK: ${value.name}`,
    {
      value,
      decoder: localKek,
      inner: [value.opensWith === 'kek' ? bound : unbound],
      memory: new KeysInMemory(kekRecording.key[value.opensWith]!),
    },
  ]),
]

describe.each(cases)('%s', (_name, { value, decoder, inner, memory }) => {
  const { stored, plaintext } = value
  const open = (one: StoredValue) => openInMemory(decoder, one, memory, inner)

  test('is recognized by its annotation and opens', () => {
    expect(decoder.recognize(stored)).toBe('annotation')
    expect(open(stored).equals(plaintext)).toBe(true)
  })

  test('is refused whatever byte of the ciphertext, the key id or an annotation is altered', () => {
    const all: StoredValue[] = [
      ...damaged(stored.ciphertext).map((ciphertext) => ({ ...stored, ciphertext })),
      ...damaged(Buffer.from(stored.keyId!)).map((keyId) => ({ ...stored, keyId: keyId.toString('latin1') })),
      ...Object.entries(stored.annotations).flatMap(([name, bytes]) =>
        damaged(bytes).map((one) => ({ ...stored, annotations: { ...stored.annotations, [name]: one } })),
      ),
    ]
    const {
      ERR_MALFORMED_ENVELOPE = 0,
      ERR_DECRYPTION_FAILED = 0,
      ERR_KEY_UNKNOWN = 0,
      ...others
    } = tally(all, plaintext, open)
    expect(others).toEqual({})
    expect(ERR_MALFORMED_ENVELOPE + ERR_DECRYPTION_FAILED).toBeGreaterThan(ERR_KEY_UNKNOWN)
  })

  test('is refused under another key of the same name', () => {
    const { label, id } =
      value.opensWith === 'kek' ? mockRecording.key['kek']! : kekRecording.key[value.opensWith]!
    const other = new KeysInMemory({ label, id, aes: '11'.repeat(32) })
    expect(outcomeNow(() => openInMemory(decoder, stored, other, inner))).toBe('ERR_DECRYPTION_FAILED')
  })

  test('is explained without a key', () => {
    const format = decoder === localKek ? kubernetesLocalKek : kubernetesKmsMock
    const { fields, problem } = format.explain(stored)
    expect(problem).toBeUndefined()
    expect(fields.map(({ label }) => label)).toEqual(expect.arrayContaining(['nonce', 'ciphertext', 'tag']))
    expect(format.explain({ ...stored, ciphertext: Buffer.alloc(3) }).problem).toContain('too short')
  })
})

describe('the mock', () => {
  const key = mockRecording.key['kek']!
  const memory = new KeysInMemory(key)
  const plaintext = randomBytes(32)
  const sealed = (nonceBytes: number, bytes = plaintext): StoredValue => {
    const nonce = randomBytes(nonceBytes)
    const cipher = createCipheriv('aes-256-gcm', Buffer.from(key.aes!, 'hex'), nonce).setAAD(
      Buffer.from(key.label),
    )
    const parts = [nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]
    return {
      ciphertext: Buffer.concat(parts),
      keyId: key.label,
      annotations: { 'v2.kleidi.beezy.dev': Buffer.from('1') },
    }
  }

  test('kleidi on SoftHSM is the mock under an annotation of its own, with a nonce of 12 or of 16 bytes', () => {
    for (const nonceBytes of [12, 16]) {
      const value = sealed(nonceBytes)
      expect(bound.recognize(value)).toBe('annotation')
      expect(openInMemory(bound, value, memory).equals(plaintext)).toBe(true)
    }
  })

  test('kleidi on Vault, which has the same annotation, is left to the format of Vault', () => {
    expect(bound.recognize({ ...sealed(12), ciphertext: Buffer.from('vault:v1:AAAA') })).toBeUndefined()
  })

  test('a plaintext of another length needs to be told how long the nonce is, where that is not 16', () => {
    const value = sealed(12, randomBytes(7))
    expect(outcomeNow(() => openInMemory(bound, value, memory))).toBe('ERR_DECRYPTION_FAILED')
    expect(openInMemory(mock({ nonceBytes: 12 }), value, memory)).toHaveLength(7)
  })

  test('the key id is the label of the key, unless an option says what the label was', () => {
    const value = sealed(16)
    expect(bound.plan(value).questions).toMatchObject([{ keyName: 'label:kms-test' }])
    expect(Object.hasOwn(mock({ label: 'kms-test' }).plan(value).questions[0]!, 'keyName')).toBe(false)
    expect(outcomeNow(() => mock({ label: 'other' }).plan(value))).toBe('ERR_KEY_UNKNOWN')
  })

  test('another annotation beside its own, or none, is no sign of it', () => {
    const value = sealed(16)
    expect(bound.recognize({ ...value, annotations: {} })).toBeUndefined()
    const more = { ...value.annotations, 'other.example.org': Buffer.from('1') }
    expect(bound.recognize({ ...value, annotations: more })).toBeUndefined()
  })

  test('without a key id, or of another version, is refused before the key is asked', () => {
    const value = sealed(16)
    expect(outcomeNow(() => bound.plan({ ...value, keyId: undefined }))).toBe('ERR_MALFORMED_ENVELOPE')
    const annotations = { 'v2.kleidi.beezy.dev': Buffer.from('2') }
    expect(outcomeNow(() => bound.plan({ ...value, annotations }))).toBe('ERR_MALFORMED_ENVELOPE')
  })
})

describe('the local KEK', () => {
  const { stored } = kekRecording.values[0]!

  test('asks for it as the remote service was asked: its bytes, the key id and the annotations that are not its own', () => {
    const { questions, isReusable } = localKek.plan(stored)
    expect(isReusable).toBe(true)
    expect(questions).toEqual([
      {
        ciphertext: stored.annotations[KEK],
        keyId: 'kms-test',
        annotations: { 'version.encryption.remote.io': Buffer.from('1') },
      },
    ])
  })

  test('a remote service that writes no annotations is known by its key id or its bytes', () => {
    const alone = { ...stored, annotations: { [KEK]: Buffer.from('vault:v1:AAAA') } }
    expect(localKek.plan(alone).questions).toMatchObject([{ annotations: {} }])
  })

  test('whoever holds the answer of the remote service opens every value under that local KEK, once', () => {
    const memory = new KeysInMemory(kekRecording.key['kek']!)
    const [remote] = localKek.plan(stored).questions as StoredValue[]
    const kek = openInMemory(bound, remote!, memory)
    for (const { stored: each, plaintext, opensWith } of kekRecording.values) {
      if (opensWith !== 'kek') continue
      expect(Buffer.from(localKek.plan(each).finish([kek])).equals(plaintext)).toBe(true)
    }
  })

  test('a local KEK of another length than 32 bytes is none', () => {
    for (const length of [0, 16, 24, 31, 33]) {
      expect(outcomeNow(() => localKek.plan(stored).finish([Buffer.alloc(length)]))).toBe(
        'ERR_DECRYPTION_FAILED',
      )
    }
  })
})
