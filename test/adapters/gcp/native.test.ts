/** Ciphertexts that another program had Cloud KMS make: with which key they open, and what a refusal means. */
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { outcomeOf } from '../../doubles/outcome.js'
import type { KeyWrapper } from '../../../src/ports/key_wrapper.js'
import type { NativeCiphertext } from '../../../src/ports/foreign.js'
import { googleError } from '../../support/fakes/gcp_errors.js'
import { KEY_NAME } from '../../support/fakes/gcp.js'
import { failureOf, patiently, useScene } from './opened.js'

const scene = useScene()

/** As a client without checksums and additional authenticated data does. */
function encrypted(plaintext: Uint8Array): Buffer {
  const { body } = scene.fake.key.call('encrypt', KEY_NAME, {
    plaintext: Buffer.from(plaintext).toString('base64'),
  })
  return Buffer.from((body as { readonly ciphertext: string }).ciphertext, 'base64')
}

async function decrypt(wrapper: KeyWrapper, native: NativeCiphertext): Promise<Buffer> {
  return Buffer.from((await wrapper.decryptNative?.(native, patiently())) ?? [])
}

describe('a ciphertext', () => {
  test.each([0, 1, 32, 1000])(
    'of %i bytes opens in one call, by its own key or without a name',
    async (length) => {
      const plaintext = randomBytes(length)
      const bytes = encrypted(plaintext)
      const wrapper = scene.open()
      expect((await decrypt(wrapper, { bytes })).equals(plaintext)).toBe(true)
      expect((await decrypt(wrapper, { bytes, keyName: KEY_NAME })).equals(plaintext)).toBe(true)
      expect(scene.asked()).toEqual(['POST /kek:decrypt', 'POST /kek:decrypt'])
    },
  )

  test('of an older version opens, and without the additional authenticated data of our own entry', async () => {
    const bytes = encrypted(Buffer.from('old'))
    scene.fake.key.rotate()
    const wrapper = scene.open({ additionalAuthenticatedData: 'prod-1' })
    expect((await decrypt(wrapper, { bytes })).toString()).toBe('old')
    const body = scene.fake.server.requests.at(-1)?.body.toString() ?? ''
    expect(Object.keys(JSON.parse(body) as object)).toEqual(['ciphertext', 'ciphertextCrc32c'])
  })

  test('that was altered is bad data', async () => {
    const bytes = encrypted(randomBytes(32))
    bytes.writeUInt8(bytes.readUInt8(60) ^ 1, 60)
    expect(await outcomeOf(decrypt(scene.open(), { bytes }))).toBe('ERR_DECRYPTION_FAILED')
  })
})

test.each([
  KEY_NAME.replace('acme-prod', 'acme-test'),
  `${KEY_NAME}2`,
  `${KEY_NAME}/cryptoKeyVersions/1`,
  'kek',
  '',
])('what another key made, %s, is refused before anybody is asked', async (keyName) => {
  const bytes = encrypted(randomBytes(32))
  expect(await outcomeOf(decrypt(scene.open(), { bytes, keyName }))).toBe('ERR_KEY_UNKNOWN')
  expect(scene.asked()).toEqual([])
})

test('a name of a key that is none is not repeated in the message', async () => {
  const bytes = encrypted(randomBytes(32))
  const { message } = await failureOf(decrypt(scene.open(), { bytes, keyName: 'no\u001b[31mkey' }))
  expect(message).toBe(`the value was made with another key, not with ${KEY_NAME}`)
})

describe('what is no fault of the value', () => {
  test.each([
    ['DISABLED', 'ERR_KEY_DISABLED'],
    ['DESTROY_SCHEDULED', 'ERR_KEY_PENDING_DELETION'],
  ])('a version that is %s: %s', async (state, code) => {
    const bytes = encrypted(randomBytes(32))
    scene.fake.key.setState(1, state)
    expect(await outcomeOf(decrypt(scene.open(), { bytes }))).toBe(code)
  })

  test('a right that we do not have', async () => {
    scene.fake.denied.add('* cloudkms.cryptoKeyVersions.useToDecrypt')
    expect(await outcomeOf(decrypt(scene.open(), { bytes: encrypted(randomBytes(32)) }))).toBe(
      'ERR_ACCESS_DENIED',
    )
  })

  test('an outage, and bytes that changed on the way', async () => {
    const bytes = encrypted(randomBytes(32))
    const wrapper = scene.open()
    scene.fake.server.failNext(googleError(503, 'UNAVAILABLE', ''), 1, ({ url }) =>
      url.pathname.endsWith(':decrypt'),
    )
    expect(await outcomeOf(decrypt(wrapper, { bytes }))).toBe('ERR_BACKEND_UNAVAILABLE')
    scene.fake.lie = (answer) => ({ ...answer, body: { ...(answer.body as object), plaintext: 'AAAA' } })
    expect(await outcomeOf(decrypt(wrapper, { bytes }))).toBe('ERR_BACKEND_RESPONSE')
  })
})
