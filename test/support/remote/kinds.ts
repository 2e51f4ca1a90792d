/** The services on the network that the built program is tried with, each by the name of its backend. */
import { readFileSync } from 'node:fs'
import { envOf } from '../aws_scene.js'
import { FakeAws } from '../fakes/aws.js'
import { FakeAzure } from '../fakes/azure.js'
import { CLIENT, TENANT } from '../fakes/azure_login.js'
import { FakeGcp, KEY_NAME } from '../fakes/gcp.js'
import { FakeIbm } from '../fakes/ibm.js'
import { makeVersion } from '../fakes/ibm_keys.js'
import { FakeOkms } from '../fakes/okms.js'
import { FakeVault } from '../fakes/vault.js'
import type { Canary } from '../canaries.js'
import { ACCOUNT, newPrivateKey, serviceAccountJson } from '../gcp.js'
import { writeClient } from '../okms_subject.js'
import type { MakeRemoteKms } from './remote_kms.js'

export const remoteKinds: Readonly<Record<string, MakeRemoteKms>> = {
  aws: async (tls) => {
    const fake = await FakeAws.start(tls)
    const kek = fake.addKey()
    const identity = fake.openSession()
    return {
      server: fake.server,
      section: (endpoint, caFile) => ({ backend: 'aws', endpoint, caFile, keyId: kek.arn }),
      env: { AWS_EC2_METADATA_DISABLED: 'true', ...envOf(identity) },
      rotate: () => kek.rotate(),
      canaries: () => [
        canary('secret access key', identity.secretAccessKey),
        canary('session token', identity.sessionToken ?? ''),
      ],
      close: async () => fake.close(),
    }
  },

  vault: async (tls, files) => {
    const fake = await FakeVault.start(tls)
    fake.transit.create('kek')
    const secretId = 'CANARY-secret-id-of-approle'
    fake.logins.add('approle', 'approle', 'the-role-id', [secretId], { policies: ['default', 'plugin'] })
    const auth = {
      method: 'approle',
      roleId: 'the-role-id',
      secretId: `file:${files.write('secret-id', secretId)}`,
    }
    return {
      server: fake.server,
      section: (url, caFile) => ({ backend: 'vault', url, caFile, keyName: 'kek', auth }),
      env: {},
      rotate: () => fake.transit.rotate('kek'),
      canaries: () => [canary('secret id', secretId), ...fake.tokens.ids.map((id) => canary('token', id))],
      close: async () => fake.close(),
    }
  },

  ibm: async (tls, files) => {
    const fake = await FakeIbm.start(tls)
    const kek = fake.addKey()
    const apiKey = fake.iam.makeApiKey()
    const reference = `file:${files.write('api-key', apiKey)}`
    return {
      server: fake.server,
      section: (url, caFile) => ({
        ...{ backend: 'ibm', url, caFile, tokenUrl: `${url}/identity/token`, tokenCaFile: caFile },
        ...{ instanceId: fake.instanceId, keyId: kek.id, apiKey: reference },
      }),
      env: {},
      rotate: () => void kek.versions.push(makeVersion()),
      canaries: () => [canary('API key', apiKey), ...[...fake.iam.given].map((one) => canary('token', one))],
      close: async () => fake.close(),
    }
  },

  azure: async (tls, files) => {
    const fake = await FakeAzure.start(tls)
    fake.addVersion('kek')
    const { entra } = fake
    const secret = entra.secret ?? ''
    const auth = { method: 'clientSecret', tenantId: TENANT, clientId: CLIENT }
    const clientSecret = `file:${files.write('secret', secret)}`
    return {
      server: fake.server,
      section: (url, caFile) => ({
        ...{ backend: 'azure', vaultUrl: url, authorityHost: url, caFile, keyName: 'kek' },
        auth: { ...auth, clientSecret },
      }),
      env: {},
      rotate: () => void fake.addVersion('kek'),
      canaries: () => [
        canary('client secret', secret),
        ...entra.given.map((token) => canary('token', token)),
      ],
      close: async () => fake.server.close(),
    }
  },

  gcp: async (tls, files) => {
    const fake = await FakeGcp.start(tls)
    const privateKey = newPrivateKey()
    fake.addAccount(ACCOUNT, privateKey)
    return {
      server: fake.server,
      section: (url, caFile) => {
        const credentials = `file:${files.write('gcp.json', serviceAccountJson(privateKey, url))}`
        return { backend: 'gcp', keyName: KEY_NAME, endpoint: url, caFile, credentials }
      },
      env: {},
      rotate: () => fake.key.rotate(),
      canaries: () => [
        canary('private key', privateKey.split('\n')[5] ?? ''),
        ...[...fake.tokens.keys()].map((token) => canary('token', token)),
      ],
      close: async () => fake.close(),
    }
  },

  /** By its label: a service key has no versions, so a rotation gives the label to another key. */
  okms: async (tls, files, authority) => {
    const fake = await FakeOkms.start({ ...tls, ca: authority.cert })
    const kek = fake.addKey()
    const client = await writeClient(authority, files)
    const { okmsId } = fake
    return {
      server: fake.server,
      section: (url, caFile) => ({ backend: 'okms', url, caFile, okmsId, keyLabel: kek.name, ...client }),
      others: (url, caFile) => ({
        former: { backend: 'okms', url, caFile, okmsId, keyId: kek.id, ...client },
      }),
      env: {},
      rotate: () => {
        const { name } = kek
        kek.name = `${name}-former`
        fake.addKey({ name })
      },
      canaries: () =>
        [...readFileSync(client.clientKeyFile, 'utf8').matchAll(/^[A-Za-z0-9+/=]{20,}$/gm)].map(([line]) =>
          canary('client key', line),
        ),
      close: async () => fake.close(),
    }
  },
}

function canary(name: string, text: string): Canary {
  return { name, bytes: Buffer.from(text) }
}
