import { ibm } from '../../src/adapters/backends/ibm/index.js'
import { backendDeps } from '../support/backend_deps.js'
import { FakeIbm } from '../support/fakes/ibm.js'
import { kmsError } from '../support/fakes/ibm_kms.js'
import { remoteFaults, type RemoteSubject, type SubjectParts } from './remote_faults.js'

/** KMS and IAM stand behind the same faults. */
async function makeSubject({ cert, key, files }: SubjectParts): Promise<RemoteSubject> {
  const fake = await FakeIbm.start({ cert, key })
  const kek = fake.addKey()
  const apiKeys = [fake.iam.makeApiKey()]
  const apiKey = `file:${files.write('api-key', apiKeys[0]!)}`
  return {
    server: fake.server,
    open: ({ url, caFile, logger, callTimeoutMs }) =>
      ibm.open(
        ibm.settings.parse({
          backend: 'ibm',
          url,
          instanceId: fake.instanceId,
          keyId: kek.id,
          apiKey,
          tokenUrl: `${url}/identity/token`,
          caFile,
          tokenCaFile: caFile,
        }),
        backendDeps({ logger, callTimeoutMs }),
      ),
    throttled: kmsError(429, 'Too Many Requests'),
    unavailable: kmsError(503, 'Service Unavailable'),
    endSessions: () => {
      fake.iam.endTokens()
    },
    changeCredentials: () => {
      fake.iam.deleteApiKey(apiKeys[0]!)
      fake.iam.endTokens()
      apiKeys.push(fake.iam.makeApiKey())
      return () => {
        files.write('api-key', apiKeys.at(-1)!)
      }
    },
    secrets: () => [...apiKeys, ...fake.iam.given],
    close: async () => fake.close(),
  }
}

remoteFaults('ibm', makeSubject, { sessions: true, credentials: true })
