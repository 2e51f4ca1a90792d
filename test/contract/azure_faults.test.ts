import { AzureKeyWrapper } from '../../src/adapters/backends/azure/wrapper.js'
import { deps, secretAuth, section } from '../adapters/azure/opened.js'
import { FakeAzure } from '../support/fakes/azure.js'
import { remoteFaults, type Connection, type SubjectParts } from './remote_faults.js'

async function makeSubject({ cert, key, files }: SubjectParts) {
  const fake = await FakeAzure.start({ cert, key })
  fake.addVersion('kek')
  const { entra } = fake
  const writeSecret = () => files.write('secret', entra.secret ?? '')
  const auth = { ...secretAuth, clientSecret: `file:${writeSecret()}` }
  const secrets = [entra.secret ?? '']
  return {
    server: fake.server,
    open: ({ url, caFile, logger, callTimeoutMs }: Connection) =>
      new AzureKeyWrapper(section(url, { caFile, auth }), deps({ logger, callTimeoutMs })),
    throttled: { status: 429, body: { error: { code: 'Throttled', message: 'Request was not processed.' } } },
    unavailable: { status: 503, body: { error: { code: 'ServiceUnavailable', message: 'try again' } } },
    endSessions: () => entra.endSessions(),
    changeCredentials: () => {
      entra.secret = 'the-next-secret-of-the-app'
      secrets.push(entra.secret)
      entra.endSessions()
      return () => {
        writeSecret()
      }
    },
    secrets: () => [...secrets, ...entra.given],
    close: async () => fake.server.close(),
  }
}

remoteFaults('Azure Key Vault', makeSubject, { sessions: true, credentials: true })
