/** The built program in the place of another cloud's plugin: what that one stored opens, and is sealed anew as ours. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { envOf } from '../support/aws_scene.js'
import { recordingOf } from '../support/cloud_values.js'
import { PrivateFiles } from '../support/certificates.js'
import { FakeAws } from '../support/fakes/aws.js'
import type { KeyWish } from '../support/fakes/aws/kms.js'
import { FakeAzure } from '../support/fakes/azure.js'
import type { VersionWish } from '../support/fakes/azure_keys.js'
import { CLIENT, TENANT } from '../support/fakes/azure_login.js'
import { FakeGcp } from '../support/fakes/gcp.js'
import type { VersionWish as GcpVersionWish } from '../support/fakes/gcp_key.js'
import { ACCOUNT, newPrivateKey, serviceAccountJson } from '../support/gcp.js'
import { refusal } from '../support/kms_client.js'
import { freePort, type Settings } from '../support/plugin.js'
import { pagesOf } from '../support/provoked.js'
import { sandboxPerTest } from '../support/scene.js'

interface Cloud {
  /** The first is primary. */
  readonly keys: Readonly<Record<string, Settings>>
  readonly env: Readonly<Record<string, string>>
  close(): Promise<void>
}

const clouds: Readonly<Record<string, (files: PrivateFiles) => Promise<Cloud>>> = {
  'aws-encryption-provider': async () => {
    const fake = await FakeAws.start()
    const kek = fake.addKey(recordingOf<KeyWish>('aws-encryption-provider').key)
    const encryptionContext = { cluster: 'prod-1', team: 'infra' }
    const with_ = {
      backend: 'aws',
      keyId: kek.arn,
      endpoint: fake.server.url,
      decode: ['aws-encryption-provider'],
    }
    return {
      keys: { now: { ...with_, encryptionContext }, without: with_ },
      env: { AWS_EC2_METADATA_DISABLED: 'true', ...envOf(fake.addIdentity()) },
      close: async () => fake.close(),
    }
  },

  'gcp-cloudkms-plugin': async (files) => {
    const { key } = recordingOf<{ name: string; versions: GcpVersionWish[] }>('gcp-cloudkms-plugin')
    const fake = await FakeGcp.start()
    fake.key.restore(key.versions)
    const privateKey = newPrivateKey()
    fake.addAccount(ACCOUNT, privateKey)
    const { url } = fake.server
    const credentials = `file:${files.write('gcp.json', serviceAccountJson(privateKey, url))}`
    const section = { backend: 'gcp', keyName: key.name, endpoint: url, credentials }
    return {
      keys: { now: { ...section, decode: ['gcp-cloudkms-plugin'] } },
      env: {},
      close: async () => fake.close(),
    }
  },

  'azure-kubernetes-kms': async (files) => {
    const { key } = recordingOf<{ vaultUrl: string; versions: VersionWish[] }>('azure-kubernetes-kms')
    const fake = await FakeAzure.start()
    fake.kidBase = key.vaultUrl
    for (const right of ['decrypt', 'list']) fake.rights.add(right)
    for (const wish of key.versions) fake.addVersion('kek', 'RSA', 2048, wish).operations.push('decrypt')
    const { url } = fake.server
    const clientSecret = `file:${files.write('secret', fake.entra.secret ?? '')}`
    const auth = { method: 'clientSecret', tenantId: TENANT, clientId: CLIENT, clientSecret }
    const section = { backend: 'azure', vaultUrl: url, authorityHost: url, keyName: 'kek', auth }
    const decode = ['azure-kubernetes-kms']
    return {
      keys: {
        now: { ...section, decode },
        former: { ...section, keyVersion: key.versions[0]!.version, decode },
      },
      env: {},
      close: async () => fake.server.close(),
    }
  },
}

const scene = sandboxPerTest()
let files: PrivateFiles
let cloud: Cloud | undefined

beforeEach(() => {
  files = new PrivateFiles()
})
afterEach(async () => {
  await cloud?.close()
  files.remove()
})

describe.each(Object.keys(clouds))('in the place of %s', (format) => {
  test('all that it stored opens, is counted, and is sealed anew as ours; an altered value is refused', async () => {
    cloud = await clouds[format]!(files)
    const port = await freePort()
    const { keys, env } = cloud
    const config = scene.sandbox.localConfig({
      ...{ server: { kmsV1: true }, health: { address: `127.0.0.1:${port}` } },
      ...{ primary: 'now', keys },
    })
    await scene.sandbox.serve(config, { env })
    const client = scene.connect(10_000)
    const { keyId: ours } = await client.v2Status()

    const { values } = recordingOf(format)
    for (const { stored, plaintext, note } of values) {
      const { ciphertext, keyId, annotations } = stored
      const ask = async (bytes: Uint8Array) =>
        keyId === undefined
          ? client.v1Decrypt(bytes)
          : client.v2Decrypt({ ciphertext: bytes, keyId, annotations })
      expect((await ask(ciphertext)).equals(plaintext), note).toBe(true)
      const altered = Buffer.from(ciphertext)
      altered.writeUInt8(altered.readUInt8(altered.length - 3) ^ 1, altered.length - 3)
      expect(await refusal(ask(altered)), note).toBe('INVALID_ARGUMENT: ciphertext rejected')
    }

    const sealed = await client.v2Encrypt(values[0]!.plaintext)
    expect(sealed.keyId).toBe(ours)
    const pages = await pagesOf(port)
    const counted = (code: string) =>
      Number(
        new RegExp(
          `^kmsplugin_foreign_decrypts_total\\{format="${format}",code="${code}"\\} (\\d+)$`,
          'm',
        ).exec(String(pages['/metrics']))?.[1],
      )
    expect(counted('OK')).toBe(values.length)
    expect(counted('ERR_DECRYPTION_FAILED')).toBe(values.length)
    expect(String(pages['/readyz'])).toMatch(/^ready\nnow: primary, OK/)
  })
})
