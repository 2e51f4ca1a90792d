import { readFileSync } from 'node:fs'
import { okms } from '../../src/adapters/backends/okms/index.js'
import { FakeOkms, okmsError } from '../support/fakes/okms.js'
import { backendDeps } from '../support/backend_deps.js'
import { writeClient } from '../support/okms_subject.js'
import { remoteFaults, type RemoteSubject, type SubjectParts } from './remote_faults.js'

/** What lets us in is the certificate alone: there are no sessions. */
async function makeSubject({ cert, key, authority, files }: SubjectParts): Promise<RemoteSubject> {
  const fake = await FakeOkms.start({ cert, key, ca: authority.cert })
  const kek = fake.addKey()
  const client = await writeClient(authority, files)
  const pems = [readFileSync(client.clientKeyFile, 'utf8')]
  const next = await authority.issue({ commonName: 'kmsplugin-2' })
  return {
    server: fake.server,
    open: ({ url, caFile, logger, callTimeoutMs }) =>
      okms.open(
        okms.settings.parse({ backend: 'okms', url, okmsId: fake.okmsId, keyId: kek.id, caFile, ...client }),
        backendDeps({ logger, callTimeoutMs }),
      ),
    throttled: okmsError(429, 'tooManyRequests'),
    unavailable: okmsError(503, 'unavailable'),
    changeCredentials: () => {
      fake.clients.set('kmsplugin-2', fake.clients.get('kmsplugin')!)
      fake.clients.delete('kmsplugin')
      return () => {
        files.write('kmsplugin.key', next.key)
        files.write('kmsplugin.pem', next.cert)
      }
    },
    secrets: () => [...pems, next.key].map((pem) => pem.split('\n')[1]!),
    close: async () => fake.close(),
  }
}

remoteFaults('okms', makeSubject, { sessions: false, credentials: true })
