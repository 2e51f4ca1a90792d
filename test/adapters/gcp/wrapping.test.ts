import { randomBytes } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import { keyIdOf } from '../../../src/adapters/backends/identity.js'
import type { KeyWrapper } from '../../../src/ports/key_wrapper.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { KEY_NAME } from '../../support/fakes/gcp.js'
import type { FakeAnswer } from '../../support/fakes/fake_server.js'
import { failureOf, patiently, useScene } from './opened.js'

const scene = useScene()
let wrapper: KeyWrapper
const dek = randomBytes(32)

const idOf = (version: number) => keyIdOf('gcp', [KEY_NAME], [`cryptoKeyVersions/${version}`])

const opens = async (from: KeyWrapper, wrapped: Parameters<KeyWrapper['unwrap']>[0]) =>
  Buffer.from(await from.unwrap(wrapped, patiently())).equals(dek)

beforeEach(() => {
  wrapper = scene.open()
})

describe('the key id', () => {
  test('is made of the resource names of key and version', async () => {
    expect(await wrapper.currentKeyId(patiently())).toBe(idOf(1))
  })

  test('moves with the primary version, and old versions still open', async () => {
    const old = await wrapper.wrap(dek, patiently())
    scene.fake.key.rotate()
    expect(await wrapper.currentKeyId(patiently())).toBe(idOf(2))
    const young = await wrapper.wrap(dek, patiently())
    expect(young.keyId).toBe(idOf(2))
    expect(await opens(wrapper, old)).toBe(true)
    expect(await opens(wrapper, young)).toBe(true)
    expect(await opens(scene.open(), old)).toBe(true)
  })

  test('moves by no change of state, and back when an older version is made primary', async () => {
    scene.fake.key.rotate()
    scene.fake.key.setState(1, 'DISABLED')
    expect(await wrapper.currentKeyId(patiently())).toBe(idOf(2))
    scene.fake.key.setState(1, 'ENABLED')
    scene.fake.key.primary = 1
    expect(await wrapper.currentKeyId(patiently())).toBe(idOf(1))
  })

  test('is not made under a name that the service does not use: another would be another key', async () => {
    scene.fake.key.answeredName = KEY_NAME.replace('acme-prod', '123456789')
    const error = await failureOf(wrapper.currentKeyId(patiently()))
    expect(error.code).toBe('ERR_CONFIG_INVALID')
    expect(error.message).toContain('projects/123456789/')
  })
})

describe('a wrap', () => {
  test('that meets a rotation is bound to the version that did it, and one more call is made', async () => {
    await wrapper.wrap(dek, patiently())
    scene.fake.key.rotate()
    const before = scene.asked().length
    const wrapped = await wrapper.wrap(dek, patiently())
    expect(wrapped.keyId).toBe(idOf(2))
    expect(scene.asked().slice(before)).toEqual(['POST /kek:encrypt', 'POST /kek:encrypt'])
    expect(await opens(wrapper, wrapped)).toBe(true)
  })

  test('while a rotation spreads goes by the version that encrypts, not by the one that is said to be primary', async () => {
    scene.fake.key.rotate()
    expect(await wrapper.currentKeyId(patiently())).toBe(idOf(2))
    scene.fake.key.stalePrimaries.push(1, 1)
    const wrapped = await wrapper.wrap(dek, patiently())
    expect(wrapped.keyId).toBe(idOf(1))
    expect(await opens(wrapper, wrapped)).toBe(true)
  })

  test('that meets another version at each call gives up as something that may pass', async () => {
    scene.fake.key.rotate()
    scene.fake.key.stalePrimaries.push(1, 2, 1)
    const error = await failureOf(wrapper.wrap(dek, patiently()))
    expect([error.code, error.retryable]).toEqual(['ERR_BACKEND_RESPONSE', true])
  })

  const lies: readonly (readonly [string, (body: Record<string, unknown>) => object])[] = [
    ['plaintext not verified', (body) => ({ ...body, verifiedPlaintextCrc32c: false })],
    ['plaintext verification left out', (body) => ({ ...body, verifiedPlaintextCrc32c: undefined })],
    ['plaintext verification as a text', (body) => ({ ...body, verifiedPlaintextCrc32c: 'true' })],
    [
      'additional data not verified',
      (body) => ({ ...body, verifiedAdditionalAuthenticatedDataCrc32c: false }),
    ],
    ['wrong checksum', (body) => ({ ...body, ciphertextCrc32c: '1' })],
    ['no checksum', (body) => ({ ...body, ciphertextCrc32c: undefined })],
    ['no ciphertext', (body) => ({ ...body, ciphertext: undefined })],
    ['a ciphertext that is no base64', (body) => ({ ...body, ciphertext: '!' })],
    ['a changed ciphertext', (body) => ({ ...body, ciphertext: Buffer.alloc(112).toString('base64') })],
    ['no name', (body) => ({ ...body, name: undefined })],
    ['the name of another key', (body) => ({ ...body, name: `${KEY_NAME}2/cryptoKeyVersions/1` })],
    ['the name of a key for a version', (body) => ({ ...body, name: KEY_NAME })],
  ]

  test.each(lies)('is not believed and tried again: %s', async (_name, lie) => {
    scene.fake.lie = (answer: FakeAnswer) =>
      answer.status === 200 && JSON.stringify(answer.body).includes('verified')
        ? { status: 200, body: lie(answer.body as Record<string, unknown>) }
        : answer
    const error = await failureOf(wrapper.wrap(dek, patiently()))
    expect([error.code, error.retryable]).toEqual(['ERR_BACKEND_RESPONSE', true])
    scene.fake.lie = undefined
    expect(await opens(wrapper, await wrapper.wrap(dek, patiently()))).toBe(true)
  })

  test('whose checksums are numbers and no texts is believed', async () => {
    scene.fake.key.hasNumbers = true
    expect(await opens(wrapper, await wrapper.wrap(dek, patiently()))).toBe(true)
  })

  test('is told by the service that its bytes were changed on the way, and is tried again', async () => {
    await wrapper.currentKeyId(patiently())
    scene.fake.server.failNext({
      status: 400,
      body: {
        error: {
          code: 400,
          status: 'INVALID_ARGUMENT',
          message: 'The checksum in field plaintext_crc32c did not match the data in field plaintext.',
        },
      },
    })
    expect((await failureOf(wrapper.wrap(dek, patiently()))).code).toBe('ERR_BACKEND_RESPONSE')
  })
})

describe('an unwrap', () => {
  test.each([
    ['a wrong checksum', (body: Record<string, unknown>) => ({ ...body, plaintextCrc32c: '1' })],
    ['no checksum', (body: Record<string, unknown>) => ({ ...body, plaintextCrc32c: undefined })],
    [
      'another plaintext',
      (body: Record<string, unknown>) => ({ ...body, plaintext: Buffer.alloc(32).toString('base64') }),
    ],
    ['no plaintext', (body: Record<string, unknown>) => ({ ...body, plaintext: undefined })],
  ] as const)('is not believed: %s', async (_name, lie) => {
    const wrapped = await wrapper.wrap(dek, patiently())
    scene.fake.lie = (answer) => ({ status: 200, body: lie(answer.body as Record<string, unknown>) })
    const error = await failureOf(wrapper.unwrap(wrapped, patiently()))
    expect([error.code, error.retryable]).toEqual(['ERR_BACKEND_RESPONSE', true])
  })

  test.each([0, 31, 33])('of something else than a DEK is bad data: %i bytes', async (length) => {
    const other = await wrapper.wrap(randomBytes(length), patiently())
    expect(await outcomeOf(wrapper.unwrap(other, patiently()))).toBe('ERR_DECRYPTION_FAILED')
  })

  test('of bytes with the key id of another version of the key is refused before they go anywhere', async () => {
    const wrapped = await wrapper.wrap(dek, patiently())
    scene.fake.key.rotate()
    await wrapper.currentKeyId(patiently())
    const before = scene.asked().length
    expect(await outcomeOf(wrapper.unwrap({ ...wrapped, keyId: idOf(2) }, patiently()))).toBe(
      'ERR_DECRYPTION_FAILED',
    )
    expect(await outcomeOf(wrapper.unwrap({ ...wrapped, keyId: idOf(9) }, patiently()))).toBe(
      'ERR_KEY_UNKNOWN',
    )
    expect(scene.asked().length).toBe(before)
  })

  test('of bytes whose version was changed together with the key id is refused by the KMS: it is bound', async () => {
    const wrapped = await wrapper.wrap(dek, patiently())
    scene.fake.key.rotate()
    const bytes = Buffer.from(wrapped.bytes)
    bytes.writeUInt32BE(2, 1)
    expect(await outcomeOf(wrapper.unwrap({ keyId: idOf(2), bytes }, patiently()))).toBe(
      'ERR_DECRYPTION_FAILED',
    )
    expect(scene.asked().at(-1)).toBe('POST /kek:decrypt')
  })

  test('of bytes for another KEK sends nothing, even before the first look at the key', async () => {
    const wrapped = await wrapper.wrap(dek, patiently())
    const unseen = scene.open({ keyName: `${KEY_NAME}-2` })
    const before = scene.fake.server.requests.length
    expect(await outcomeOf(unseen.unwrap(wrapped, patiently()))).toBe('ERR_KEY_UNKNOWN')
    expect(scene.fake.server.requests.length).toBe(before)
  })
})

describe('the operator’s own additional data', () => {
  test('binds: what was sealed with it opens with no other and not without', async () => {
    const prod = scene.open({ additionalAuthenticatedData: 'cluster prod' })
    const wrapped = await prod.wrap(dek, patiently())
    expect(await opens(prod, wrapped)).toBe(true)
    for (const other of [{}, { additionalAuthenticatedData: 'cluster test' }]) {
      const wrong = scene.open(other)
      expect(await outcomeOf(wrong.unwrap(wrapped, patiently()))).toBe('ERR_KEY_UNKNOWN')
      // Nor by the KMS, whatever key id is put before it.
      const keyId = await wrong.currentKeyId(patiently())
      expect(keyId).not.toBe(wrapped.keyId)
      expect(await outcomeOf(wrong.unwrap({ ...wrapped, keyId }, patiently()))).toBe('ERR_DECRYPTION_FAILED')
    }
  })
})

describe('calls to the service', () => {
  test('are one for a wrap, one for an unwrap, one for the key id, and one more before the first wrap', async () => {
    const wrapped = await wrapper.wrap(dek, patiently())
    await wrapper.unwrap(wrapped, patiently())
    await wrapper.wrap(dek, patiently())
    await wrapper.currentKeyId(patiently())
    expect(scene.asked()).toEqual([
      'GET /kek',
      'POST /kek:encrypt',
      'POST /kek:decrypt',
      'POST /kek:encrypt',
      'GET /kek',
    ])
  })

  test('a restarted plugin that only opens asks nothing else', async () => {
    const wrapped = await wrapper.wrap(dek, patiently())
    const before = scene.asked().length
    await opens(scene.open({ isPrimary: false }), wrapped)
    expect(scene.asked().slice(before)).toEqual(['POST /kek:decrypt'])
  })

  test('a wrapped DEK takes 117 bytes', async () => {
    expect((await wrapper.wrap(dek, patiently())).bytes.length).toBe(117)
  })
})
