import { silentDeps } from '../adapters/vault/opened.js'
import { vault } from '../../src/adapters/backends/vault/index.js'
import { PrivateFiles } from '../support/certificates.js'
import { FakeVault } from '../support/fakes/vault.js'
import type { KeyWish } from '../support/fakes/vault/transit.js'
import { keyWrapperContract } from './key_wrapper.js'

const kinds: readonly (readonly [string, KeyWish, Record<string, string>])[] = [
  ['aes256-gcm96', { type: 'aes256-gcm96' }, {}],
  ['aes256-gcm96 with associated data', { type: 'aes256-gcm96' }, { associatedData: 'cluster-1' }],
  ['chacha20-poly1305', { type: 'chacha20-poly1305' }, {}],
  ['derived', { type: 'aes256-gcm96', derived: true }, { context: 'cluster-1' }],
  ['rsa-2048', { type: 'rsa-2048' }, {}],
  ['rsa-4096', { type: 'rsa-4096' }, {}],
]

for (const [name, wish, settings] of kinds) {
  keyWrapperContract(`vault (${name})`, async () => {
    const files = new PrivateFiles()
    const server = await FakeVault.start()
    server.transit.create('kek', wish)
    server.logins.add('approle', 'approle', 'role-id', ['the-secret-id'], { policies: ['default', 'plugin'] })
    const secretId = `file:${files.write('secret-id', 'the-secret-id\n')}`
    return {
      open: () =>
        vault.open(
          vault.settings.parse({
            ...{ backend: 'vault', url: server.server.url, keyName: 'kek', ...settings },
            auth: { method: 'approle', roleId: 'role-id', secretId },
          }),
          silentDeps(),
        ),
      remove: async () => {
        await server.close()
        files.remove()
      },
    }
  })
}
