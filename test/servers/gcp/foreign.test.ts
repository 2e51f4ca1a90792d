/** Fresh values as Google's plugin makes them, by Google's own client, open with the backend. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { googleClientMissing } from '../../../scripts/google_client.mjs'
import { erased } from '../../../src/adapters/formats/format.js'
import { gcpCloudkmsPlugin } from '../../../src/adapters/formats/gcp_cloudkms_plugin.js'
import { createSystemClock } from '../../../src/adapters/system/clock.js'
import type { StoredValue } from '../../../src/ports/foreign.js'
import type { KeyWrapper } from '../../../src/ports/key_wrapper.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { PrivateFiles } from '../../support/certificates.js'
import { damagedCiphertexts, open, tally } from '../../support/cloud_values.js'
import { FakeGcp, KEY_NAME, KMS_SCOPES } from '../../support/fakes/gcp.js'
import { ACCOUNT, newPrivateKey, openGcp, serviceAccountJson } from '../../support/gcp.js'
import { openGoogleClient, type GoogleClient } from './client.js'

const missing = googleClientMissing()
const clock = createSystemClock()
const options = () => ({ deadlineMs: clock.nowMs() + 20_000 })
const decoder = erased(gcpCloudkmsPlugin).decoder({}, { allowUnauthenticated: false })

describe.skipIf(missing !== undefined)("what Google's client had encrypted", () => {
  let fake: FakeGcp
  let files: PrivateFiles
  let client: GoogleClient
  let wrapper: KeyWrapper

  beforeAll(async () => {
    fake = await FakeGcp.start()
    files = new PrivateFiles()
    const privateKey = newPrivateKey()
    fake.addAccount(ACCOUNT, privateKey)
    client = openGoogleClient(fake.server.port, fake.issue(ACCOUNT, KMS_SCOPES))
    const { url } = fake.server
    const credentials = files.write('credentials.json', serviceAccountJson(privateKey, url))
    wrapper = openGcp({ endpoint: url, credentials, additionalAuthenticatedData: 'of our own values' })
  })

  afterAll(async () => {
    await wrapper.close()
    await client.close()
    await fake.close()
    files.remove()
  })

  test.each([1, 2])('with version %i opens as v1 and as v2, with and without a suffix', async (number) => {
    const plaintext = randomBytes(32)
    // As the plugin asks: no checksums, no additional authenticated data.
    const [answer] = await client.encrypt({ name: KEY_NAME, plaintext })
    expect(answer.name).toBe(`${KEY_NAME}/cryptoKeyVersions/${number}`)
    const ciphertext = Buffer.from(answer.ciphertext)
    for (const keyId of [undefined, answer.name, `${answer.name}:again`]) {
      const stored = { ciphertext, keyId, annotations: {} }
      expect(decoder.recognize(stored)).toBe(keyId === undefined ? 'bytes' : 'keyId')
      expect(plaintext.equals(await open(decoder, wrapper, stored, options()))).toBe(true)
    }
    fake.key.rotate()
  })

  test('is refused when it was altered, or is said to be of another key', async () => {
    const plaintext = randomBytes(32)
    const [{ ciphertext, name }] = await client.encrypt({ name: KEY_NAME, plaintext })
    const stored = { ciphertext: Buffer.from(ciphertext), keyId: name, annotations: {} }
    const damaged = damagedCiphertexts(stored).map((bytes) => ({ ...stored, ciphertext: bytes }))
    const opening = async (value: StoredValue) => open(decoder, wrapper, value, options())
    const {
      ERR_DECRYPTION_FAILED = 0,
      ERR_MALFORMED_ENVELOPE = 0,
      ...others
    } = await tally(damaged, plaintext, opening)
    expect(others).toEqual({})
    expect(ERR_DECRYPTION_FAILED + ERR_MALFORMED_ENVELOPE).toBe(damaged.length)
    const keyId = name.replace('/kek/', '/kek-2/')
    expect(await outcomeOf(opening({ ...stored, keyId }))).toBe('ERR_KEY_UNKNOWN')
  })
})
