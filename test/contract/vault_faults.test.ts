import { vault } from '../../src/adapters/backends/vault/index.js'
import { silentDeps } from '../adapters/vault/opened.js'
import { FakeVault } from '../support/fakes/vault.js'
import { remoteFaults } from './remote_faults.js'

remoteFaults(
  'vault',
  async ({ cert, key, files }) => {
    const fake = await FakeVault.start({ cert, key })
    fake.transit.create('kek')
    const role = fake.logins.add('approle', 'approle', 'the-role-id', ['the-first-secret-id'], {
      policies: ['default', 'plugin'],
    })
    files.write('secret-id', 'the-first-secret-id\n')
    return {
      server: fake.server,
      open: ({ url, caFile, logger, callTimeoutMs }) =>
        vault.open(
          vault.settings.parse({
            ...{ backend: 'vault', url, caFile, keyName: 'kek' },
            auth: { method: 'approle', roleId: 'the-role-id', secretId: `file:${files.folder}/secret-id` },
          }),
          silentDeps({ logger, callTimeoutMs }),
        ),
      throttled: {
        status: 429,
        body: { errors: ['request path "transit/decrypt/kek": rate limit quota exceeded'] },
      },
      unavailable: { status: 503, body: { errors: ['Vault is sealed'] } },
      endSessions: () => fake.tokens.revokeAll(),
      changeCredentials: () => {
        role.secrets = ['the-second-secret-id']
        fake.tokens.revokeAll()
        return () => void files.write('secret-id', 'the-second-secret-id\n')
      },
      secrets: () => ['the-first-secret-id', 'the-second-secret-id', ...fake.tokens.ids],
      close: async () => fake.close(),
    }
  },
  { sessions: true, credentials: true },
)
