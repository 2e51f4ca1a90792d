/** Google's own client takes the fake for Cloud KMS, and opens what the backend wrapped. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { googleClientMissing } from '../../../scripts/google_client.mjs'
import { createSystemClock } from '../../../src/adapters/system/clock.js'
import { keyId } from '../../../src/ports/key_id.js'
import type { KeyWrapper, WrappedDek } from '../../../src/ports/key_wrapper.js'
import { PrivateFiles } from '../../support/certificates.js'
import { castagnoli } from '../../support/fakes/gcp_key.js'
import { FakeGcp, KEY_NAME, KMS_SCOPES } from '../../support/fakes/gcp.js'
import { ACCOUNT, newPrivateKey, openGcp, serviceAccountJson } from '../../support/gcp.js'
import { openGoogleClient, type GoogleClient } from './client.js'

const missing = googleClientMissing()
const clock = createSystemClock()
const options = () => ({ deadlineMs: clock.nowMs() + 20_000 })
const title = missing === undefined ? "Google's client" : `Google's client (skipped: ${missing})`

describe.skipIf(missing !== undefined)(title, () => {
  let fake: FakeGcp
  let files: PrivateFiles
  let client: GoogleClient
  let wrapper: KeyWrapper

  const aad = Buffer.from('some context')
  const crc = (bytes: Uint8Array) => ({ value: castagnoli(bytes) })
  const sealed = (plaintext: Uint8Array, aadBytes: Uint8Array = aad) => ({
    name: KEY_NAME,
    plaintext,
    plaintextCrc32c: crc(plaintext),
    additionalAuthenticatedData: aadBytes,
    additionalAuthenticatedDataCrc32c: crc(aadBytes),
  })

  /** What the client throws: the HTTP status in its REST mode, and the text of the answer. */
  const refusalOf = async (call: Promise<unknown>): Promise<string> => {
    try {
      await call
      return 'it was accepted'
    } catch (error) {
      return String(error)
    }
  }

  beforeAll(async () => {
    fake = await FakeGcp.start()
    files = new PrivateFiles()
    const privateKey = newPrivateKey()
    fake.addAccount(ACCOUNT, privateKey)
    client = openGoogleClient(fake.server.port, fake.issue(ACCOUNT, KMS_SCOPES))
    const { url } = fake.server
    const credentials = files.write('credentials.json', serviceAccountJson(privateKey, url))
    wrapper = openGcp({ endpoint: url, credentials })
  })

  afterAll(async () => {
    await wrapper.close()
    await client.close()
    await fake.close()
    files.remove()
  })

  test('reads the key, its purpose and its primary version', async () => {
    const [key] = await client.getCryptoKey({ name: KEY_NAME })
    expect(key).toMatchObject({ name: KEY_NAME, purpose: 'ENCRYPT_DECRYPT' })
    expect(key.primary).toMatchObject({
      name: `${KEY_NAME}/cryptoKeyVersions/1`,
      state: 'ENABLED',
      algorithm: 'GOOGLE_SYMMETRIC_ENCRYPTION',
    })
  })

  test('encrypts and decrypts, with every checksum verified in both directions', async () => {
    const plaintext = randomBytes(32)
    const [answer] = await client.encrypt(sealed(plaintext))
    expect(answer).toMatchObject({
      name: `${KEY_NAME}/cryptoKeyVersions/1`,
      verifiedPlaintextCrc32c: true,
      verifiedAdditionalAuthenticatedDataCrc32c: true,
      protectionLevel: 'HSM',
    })
    expect(Number(answer.ciphertextCrc32c.value)).toBe(castagnoli(answer.ciphertext))
    expect(answer.ciphertext.length).toBe(112)
    const [back] = await client.decrypt({
      name: KEY_NAME,
      ciphertext: answer.ciphertext,
      ciphertextCrc32c: crc(answer.ciphertext),
      additionalAuthenticatedData: aad,
      additionalAuthenticatedDataCrc32c: crc(aad),
    })
    expect(Buffer.from(back.plaintext).equals(plaintext)).toBe(true)
    expect(Number(back.plaintextCrc32c.value)).toBe(castagnoli(plaintext))
    expect(back.usedPrimary).toBe(true)
  })

  test('is told of a wrong checksum, of other data, of a key that is not there, and of a state', async () => {
    const [{ ciphertext }] = await client.encrypt(sealed(randomBytes(32)))
    const wrong = { ...sealed(randomBytes(32)), plaintextCrc32c: { value: 1 } }
    expect(await refusalOf(client.encrypt(wrong))).toContain('checksum')
    expect(await refusalOf(client.decrypt({ name: KEY_NAME, ciphertext }))).toContain('ciphertext is invalid')
    expect(await refusalOf(client.getCryptoKey({ name: `${KEY_NAME}-2` }))).toContain('not found')
    fake.key.setState(1, 'DISABLED')
    expect(await refusalOf(client.encrypt(sealed(randomBytes(32))))).toContain('current state is: DISABLED')
    fake.key.setState(1, 'ENABLED')
  })

  test('opens what the backend wrapped, given what docs/gcp.md says of its bytes', async () => {
    const dek = randomBytes(32)
    const { bytes } = await wrapper.wrap(dek, options())
    const form = Buffer.from(bytes)
    expect([form[0], form.readUInt32BE(1)]).toEqual([1, 1])
    const context = `kmsplugin/v1 dek ${KEY_NAME}/cryptoKeyVersions/1`
    const request = {
      name: KEY_NAME,
      ciphertext: form.subarray(5),
      additionalAuthenticatedData: Buffer.from(context),
    }
    const [back] = await client.decrypt(request)
    expect(Buffer.from(back.plaintext).equals(dek)).toBe(true)
  })

  test('seals what the backend opens', async () => {
    const dek = randomBytes(32)
    const context = Buffer.from(`kmsplugin/v1 dek ${KEY_NAME}/cryptoKeyVersions/1`)
    const [{ ciphertext }] = await client.encrypt(sealed(dek, context))
    const wrapped: WrappedDek = {
      keyId: await wrapper.currentKeyId(options()),
      bytes: Buffer.concat([Buffer.of(1, 0, 0, 0, 1), ciphertext]),
    }
    expect(Buffer.from(await wrapper.unwrap(wrapped, options())).equals(dek)).toBe(true)
    const elsewhere = { ...wrapped, keyId: keyId(`gcp:${'b'.repeat(26)}.${'b'.repeat(26)}`) }
    await expect(wrapper.unwrap(elsewhere, options())).rejects.toMatchObject({ code: 'ERR_KEY_UNKNOWN' })
  })
})

test('the lockfile of the client names no registry', () => {
  const text = readFileSync(new URL('./package-lock.json', import.meta.url), 'utf8')
  expect(text).not.toContain('"resolved"')
})
