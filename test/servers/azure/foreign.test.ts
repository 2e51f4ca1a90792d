/** Fresh values as Azure's plugin makes them, by Azure's own client, open with the backend. */
import { createHash, randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { azureClientMissing } from '../../../scripts/azure_client.mjs'
import { AzureKeyWrapper } from '../../../src/adapters/backends/azure/wrapper.js'
import { azureKubernetesKms } from '../../../src/adapters/formats/azure_kubernetes_kms.js'
import { erased } from '../../../src/adapters/formats/format.js'
import type { StoredValue } from '../../../src/ports/foreign.js'
import { deps, section, within } from '../../adapters/azure/opened.js'
import { damagedCiphertexts, open, tally } from '../../support/cloud_values.js'
import { makeAuthority, PrivateFiles, type Authority } from '../../support/certificates.js'
import { FakeAzure } from '../../support/fakes/azure.js'
import { CLIENT, TENANT } from '../../support/fakes/azure_login.js'
import { officialClient } from './official_client.js'

const missing = azureClientMissing()
const decoder = erased(azureKubernetesKms).decoder({}, { allowUnauthenticated: false })

describe.skipIf(missing !== undefined)("what Azure's client encrypts", () => {
  const plaintext = randomBytes(32)
  let authority: Authority
  let files: PrivateFiles
  let fake: FakeAzure

  beforeEach(async () => {
    authority = await makeAuthority()
    files = new PrivateFiles()
    fake = await FakeAzure.start(await authority.issue())
    for (const right of ['encrypt', 'decrypt', 'list']) fake.rights.add(right)
  })

  afterEach(async () => {
    await fake.server.close()
    files.remove()
  })

  function addVersion(bits: number): string {
    const version = fake.addVersion('kek', 'RSA', bits)
    version.operations.push('encrypt', 'decrypt')
    return version.version
  }

  async function encrypted(version: string, algorithm: 'RSA1_5' | 'RSA-OAEP-256'): Promise<StoredValue> {
    const { ClientSecretCredential, CryptographyClient } = officialClient()
    const options = {
      tlsOptions: { ca: authority.cert },
      disableChallengeResourceVerification: true,
      disableInstanceDiscovery: true,
      authorityHost: fake.server.url,
      retryOptions: { maxRetries: 0 },
    }
    const credential = new ClientSecretCredential(TENANT, CLIENT, fake.entra.secret ?? '', options)
    const id = `${fake.server.url}/keys/kek/${version}`
    const client = new CryptographyClient(id, credential, options)
    const { result } = await client.encrypt({ algorithm, plaintext })
    const ciphertext = Buffer.from(Buffer.from(result).toString('base64url'))
    if (algorithm === 'RSA1_5') return { ciphertext, keyId: undefined, annotations: {} }
    const annotations = {
      'date.azure.akv.io': Buffer.from(new Date().toUTCString()),
      'version.azure.akv.io': Buffer.from('1'),
      'algorithm.azure.akv.io': Buffer.from(algorithm),
    }
    return { ciphertext, keyId: createHash('sha256').update(id).digest('hex'), annotations }
  }

  function wrapperWith(keyVersion?: string): AzureKeyWrapper {
    const caFile = files.write('ca.pem', authority.cert)
    const change = { caFile, ...(keyVersion !== undefined && { keyVersion }) }
    return new AzureKeyWrapper(section(fake.server.url, change), deps({ env: { SECRET: fake.entra.secret } }))
  }

  test.each([2048, 3072])(
    'with RSA-OAEP-256 and %i bits opens as v2, whichever version it was',
    async (bits) => {
      const versions = [addVersion(bits), addVersion(bits)]
      const wrapper = wrapperWith()
      for (const version of versions) {
        const stored = await encrypted(version, 'RSA-OAEP-256')
        expect(plaintext.equals(await open(decoder, wrapper, stored, within()))).toBe(true)
      }
      await wrapper.close()
    },
  )

  test.each([2048, 3072])(
    'with RSA1_5 and %i bits opens as v1, with the version that is configured',
    async (bits) => {
      const [version] = [addVersion(bits), addVersion(bits)]
      const wrapper = wrapperWith(version)
      const stored = await encrypted(version, 'RSA1_5')
      expect(decoder.recognize(stored)).toBe('bytes')
      expect(plaintext.equals(await open(decoder, wrapper, stored, within()))).toBe(true)
      await wrapper.close()
    },
  )

  test.each(['RSA1_5', 'RSA-OAEP-256'] as const)(
    'with %s is refused when it was altered',
    async (algorithm) => {
      const version = addVersion(2048)
      const wrapper = wrapperWith(version)
      const stored = await encrypted(version, algorithm)
      const damaged = damagedCiphertexts(stored).map((ciphertext) => ({ ...stored, ciphertext }))
      const opening = async (value: StoredValue) => open(decoder, wrapper, value, within())
      const {
        ERR_DECRYPTION_FAILED = 0,
        ERR_MALFORMED_ENVELOPE = 0,
        ...others
      } = await tally(damaged, plaintext, opening)
      expect(others).toEqual({})
      expect(ERR_DECRYPTION_FAILED + ERR_MALFORMED_ENVELOPE).toBe(damaged.length)
      await wrapper.close()
    },
  )
})
