/**
 * The fake is put to the official client, so that what our tests conclude from it holds: Azure's own code gets from it
 * what it gets from Azure, and opens with it what ours wrapped.
 */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { azureClientMissing } from '../../../scripts/azure_client.mjs'
import { AzureKeyWrapper } from '../../../src/adapters/backends/azure/wrapper.js'
import { keyIdOfVersion } from '../../../src/adapters/backends/azure/key.js'
import { deps, section, within } from '../../adapters/azure/opened.js'
import { makeAuthority, PrivateFiles, type Authority } from '../../support/certificates.js'
import { FakeAzure } from '../../support/fakes/azure.js'
import { CLIENT, TENANT } from '../../support/fakes/azure_login.js'
import { makeRsaCertificate } from '../../support/rsa_certificate.js'
import { officialClient, type ClientOptions, type TokenCredential } from './official_client.js'

const missing = azureClientMissing()
const dek = randomBytes(32)

describe.skipIf(missing !== undefined)(
  missing === undefined ? 'the official client' : `the official client (skipped: ${missing})`,
  () => {
    let authority: Authority
    let files: PrivateFiles
    let fake: FakeAzure
    let options: ClientOptions

    beforeEach(async () => {
      authority = await makeAuthority()
      files = new PrivateFiles()
      fake = await FakeAzure.start(await authority.issue())
      options = {
        tlsOptions: { ca: authority.cert },
        // The fake has no name below a domain of Azure.
        disableChallengeResourceVerification: true,
        disableInstanceDiscovery: true,
        authorityHost: fake.server.url,
        retryOptions: { maxRetries: 0 },
      }
    })

    afterEach(async () => {
      vi.unstubAllEnvs()
      await fake.server.close()
      files.remove()
    })

    const bySecret = (): TokenCredential => {
      const { ClientSecretCredential } = officialClient()
      return new ClientSecretCredential(TENANT, CLIENT, fake.entra.secret ?? '', options)
    }

    const read = async (name: string, version?: string, credential = bySecret()) => {
      const { KeyClient } = officialClient()
      return new KeyClient(fake.server.url, credential, options).getKey(
        name,
        version === undefined ? {} : { version },
      )
    }

    const cryptography = (name: string, version: string) => {
      const { CryptographyClient } = officialClient()
      return new CryptographyClient(`${fake.server.url}/keys/${name}/${version}`, bySecret(), options)
    }

    const wrapper = () => {
      const caFile = files.write('ca.pem', authority.cert)
      return new AzureKeyWrapper(
        section(fake.server.url, { caFile }),
        deps({ env: { SECRET: fake.entra.secret } }),
      )
    }

    /** What its errors show of an answer. */
    const refusal = async (call: Promise<unknown>): Promise<readonly [unknown, unknown]> => {
      const error = await call.then(
        () => expect.fail('it did not fail'),
        (thrown: unknown) => thrown as { readonly statusCode?: unknown; readonly code?: unknown },
      )
      return [error.statusCode, error.code]
    }

    test('reads a key of the fake, its latest version and an older one', async () => {
      const first = fake.addVersion('kek')
      const second = fake.addVersion('kek')
      expect(await read('kek')).toMatchObject({
        id: `${fake.server.url}/keys/kek/${second.version}`,
        keyType: 'RSA',
        keyOperations: ['wrapKey', 'unwrapKey'],
        properties: { version: second.version, enabled: true, recoveryLevel: 'Recoverable' },
      })
      expect((await read('kek', first.version)).properties.version).toBe(first.version)
    })

    test.each([
      ['RSA', 2048, 'RSA-OAEP-256'],
      ['RSA-HSM', 4096, 'RSA-OAEP-256'],
      ['oct-HSM', 256, 'A256KW'],
    ] as const)(
      'wraps and unwraps with %s %s, and opens what ours wrapped; ours opens what it wrapped',
      async (kty, bits, alg) => {
        const { version } = fake.addVersion('kek', kty, bits)
        const client = cryptography('kek', version)
        const { result } = await client.wrapKey(alg, dek)
        expect(fake.asked).toContain(`POST /keys/kek/${version}/wrapkey`)
        expect(Buffer.from((await client.unwrapKey(alg, result)).result).equals(dek)).toBe(true)

        const ours = wrapper()
        const { bytes } = await ours.wrap(dek, within())
        expect(Buffer.from((await client.unwrapKey(alg, bytes.subarray(17))).result).equals(dek)).toBe(true)
        const form = Buffer.of(alg === 'A256KW' ? 2 : 1)
        const theirs = {
          keyId: keyIdOfVersion(section(fake.server.url), version),
          bytes: Buffer.concat([form, Buffer.from(version, 'hex'), result]),
        }
        expect(Buffer.from(await ours.unwrap(theirs, within())).equals(dek)).toBe(true)
        await ours.close()
      },
    )

    test('understands how the fake refuses', async () => {
      const key = fake.addVersion('kek')
      const client = cryptography('kek', key.version)
      const { result } = await client.wrapKey('RSA-OAEP-256', dek)
      result[5] = (result[5] ?? 0) ^ 1
      expect(await refusal(client.unwrapKey('RSA-OAEP-256', result))).toEqual([400, 'BadParameter'])
      key.enabled = false
      expect(await refusal(client.unwrapKey('RSA-OAEP-256', result))).toEqual([403, 'Forbidden'])
      key.enabled = true
      fake.rights.delete('get')
      expect(await refusal(read('kek'))).toEqual([403, 'Forbidden'])
      fake.rights.add('get')
      expect(await refusal(read('absent'))).toEqual([404, 'KeyNotFound'])
      fake.server.failNext({ status: 429, body: { error: { code: 'Throttled', message: '' } } })
      expect(await refusal(read('kek'))).toEqual([429, 'Throttled'])
    })

    test('finds a deleted key among the deleted ones', async () => {
      const { KeyClient } = officialClient()
      const { version } = fake.addVersion('kek')
      fake.setDeleted('kek', true)
      const client = new KeyClient(fake.server.url, bySecret(), options)
      expect((await client.getDeletedKey('kek')).properties.version).toBe(version)
      expect(await refusal(client.getKey('kek'))).toEqual([404, 'KeyNotFound'])
    })

    test('refuses, as ours does, a vault that wants a token for another service', async () => {
      const { KeyClient } = officialClient()
      fake.addVersion('kek')
      const client = new KeyClient(fake.server.url, bySecret(), {
        ...options,
        disableChallengeResourceVerification: false,
      })
      await expect(client.getKey('kek')).rejects.toThrow(/does not match the requested domain/)
    })

    describe('is let in by the fake', () => {
      beforeEach(() => {
        fake.addVersion('kek')
      })

      const isLetIn = async (credential: TokenCredential) => {
        expect((await read('kek', undefined, credential)).properties.enabled).toBe(true)
      }

      test('by a client secret, and not by a wrong one', async () => {
        await isLetIn(bySecret())
        const { ClientSecretCredential } = officialClient()
        const wrong = new ClientSecretCredential(TENANT, CLIENT, 'wrong', options)
        await expect(read('kek', undefined, wrong)).rejects.toThrow(/AADSTS7000215/)
      })

      test('by a certificate, and not by another one', async () => {
        const { ClientCertificateCredential } = officialClient()
        const { cert, key } = await makeRsaCertificate()
        const certificatePath = files.write('both.pem', `${cert}\n${key}`)
        const credential = () => new ClientCertificateCredential(TENANT, CLIENT, { certificatePath }, options)
        fake.entra.certificate = cert
        await isLetIn(credential())
        fake.entra.certificate = (await makeRsaCertificate()).cert
        await expect(read('kek', undefined, credential())).rejects.toThrow(/AADSTS700027/)
      })

      test('by a service account token', async () => {
        const { WorkloadIdentityCredential } = officialClient()
        const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
        const claims = { iss: 'https://oidc.example', sub: 'sa', aud: 'api://AzureADTokenExchange', exp: 4e9 }
        fake.entra.federation = { issuer: claims.iss, subject: 'sa', audience: claims.aud, key: publicKey }
        const parts = [{ alg: 'RS256' }, claims].map((part) =>
          Buffer.from(JSON.stringify(part)).toString('base64url'),
        )
        const signature = sign('sha256', Buffer.from(parts.join('.')), privateKey).toString('base64url')
        const tokenFilePath = files.write('token', [...parts, signature].join('.'))
        await isLetIn(
          new WorkloadIdentityCredential({ ...options, tenantId: TENANT, clientId: CLIENT, tokenFilePath }),
        )
      })

      test('by the identity of the machine', async () => {
        const { ManagedIdentityCredential } = officialClient()
        const imds = await FakeAzure.start()
        try {
          vi.stubEnv('AZURE_POD_IDENTITY_AUTHORITY_HOST', imds.server.url)
          const credential = new ManagedIdentityCredential(options)
          const token = await credential.getToken('https://vault.azure.net/.default')
          expect(token?.token).toBe(imds.entra.given[0])
        } finally {
          await imds.server.close()
        }
      })
    })
  },
)
