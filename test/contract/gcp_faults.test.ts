import { FakeGcp } from '../support/fakes/gcp.js'
import { googleError } from '../support/fakes/gcp_errors.js'
import { ACCOUNT, newPrivateKey, openGcp, serviceAccountJson } from '../support/gcp.js'
import { remoteFaults } from './remote_faults.js'

remoteFaults(
  'gcp',
  async ({ cert, key, files }) => {
    const fake = await FakeGcp.start({ cert, key })
    let privateKey = newPrivateKey()
    const secrets = [privateKey.split('\n')[3] ?? '']
    fake.addAccount(ACCOUNT, privateKey)
    let credentials = ''
    let url = ''
    const write = () => {
      credentials = files.write('credentials.json', serviceAccountJson(privateKey, url))
    }
    return {
      server: fake.server,
      open: (connection) => {
        url = connection.url
        write()
        const { caFile, logger, callTimeoutMs } = connection
        return openGcp({ endpoint: url, credentials, caFile, logger, callTimeoutMs })
      },
      throttled: googleError(429, 'RESOURCE_EXHAUSTED', 'Quota exceeded for quota metric.'),
      unavailable: googleError(503, 'UNAVAILABLE', 'The service is currently unavailable.'),
      endSessions: () => fake.revokeTokens(),
      changeCredentials: () => {
        privateKey = newPrivateKey()
        secrets.push(privateKey.split('\n')[3] ?? '')
        fake.addAccount(ACCOUNT, privateKey)
        fake.revokeTokens()
        return write
      },
      secrets: () => [...secrets, ...fake.tokens.keys()],
      close: async () => fake.close(),
    }
  },
  { sessions: true, credentials: true },
)
