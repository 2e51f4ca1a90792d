/** How the plugin is let in: which token, from whom, for how long, and when not. */
import { generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { BackendDeps } from '../../../src/adapters/backends/backend.js'
import { AzureKeyWrapper } from '../../../src/adapters/backends/azure/wrapper.js'
import { asKmsError, type KmsError } from '../../../src/ports/errors.js'
import type { KeyWrapper } from '../../../src/ports/key_wrapper.js'
import { ManualClock } from '../../doubles/manual_clock.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'
import { PrivateFiles } from '../../support/certificates.js'
import { FakeAzure } from '../../support/fakes/azure.js'
import { CLIENT, TENANT } from '../../support/fakes/azure_login.js'
import type { FakeRequest } from '../../support/fakes/fake_server.js'
import { makeRsaCertificate } from '../../support/rsa_certificate.js'
import { TunnelProxy } from '../../support/tunnel_proxy.js'
import { deps, section, within } from './opened.js'

let fake: FakeAzure
let files: PrivateFiles
let logger: RecordingLogger
const opened: KeyWrapper[] = []
const app = { tenantId: TENANT, clientId: CLIENT }

function open(
  change: object = {},
  env: BackendDeps['env'] = {},
  more: Partial<BackendDeps> = {},
): KeyWrapper {
  const all = { SECRET: fake.entra.secret, ...env }
  const made = new AzureKeyWrapper(section(fake.server.url, change), deps({ env: all, logger, ...more }))
  opened.push(made)
  return made
}

async function failureOf(call: Promise<unknown>): Promise<KmsError> {
  return call.then(() => expect.fail('it did not fail'), asKmsError)
}

const isLogin = ({ url }: FakeRequest): boolean => url.pathname.includes('/oauth2/')
const isVault = (request: FakeRequest): boolean => request.url.pathname.startsWith('/keys/')
const logins = (): FakeRequest[] => fake.server.requests.filter(isLogin)

beforeEach(async () => {
  fake = await FakeAzure.start()
  fake.addVersion('kek')
  files = new PrivateFiles()
  logger = new RecordingLogger()
})

afterEach(async () => {
  vi.unstubAllEnvs()
  for (const one of opened.splice(0)) await one.close()
  const said = JSON.stringify(logger.lines)
  for (const secret of [...fake.entra.given, fake.entra.secret ?? 'none given'])
    expect(said).not.toContain(secret)
  await fake.server.close()
  files.remove()
})

describe('what the vault wants a token for', () => {
  test('is asked for once, without a token and without a body, and remembered', async () => {
    const wrapper = open()
    await wrapper.currentKeyId(within())
    fake.entra.endSessions()
    await wrapper.unwrap(await wrapper.wrap(randomBytes(32), within()), within())
    const open401 = fake.server.requests.filter(
      (one) => isVault(one) && one.headers['authorization'] === undefined,
    )
    expect(open401.map(({ method, body }) => [method, body.length])).toEqual([['GET', 0]])
  })

  test('decides the scope of the token: that of a Managed HSM is its own', async () => {
    fake.resource = 'https://managedhsm.azure.net'
    await open().currentKeyId(within())
    expect(new URLSearchParams(logins()[0]?.body.toString()).get('scope')).toBe(
      'https://managedhsm.azure.net/.default',
    )
  })

  test.each([
    'https://management.azure.com',
    'https://graph.microsoft.com',
    'https://vault.azure.net.evil.example',
  ])('is never another service: %s is asked for no token, and the vault gets none', async (resource) => {
    fake.challengedResource = resource
    const error = await failureOf(open().currentKeyId(within()))
    expect([error.code, error.message]).toEqual([
      'ERR_CONFIG_INVALID',
      expect.stringContaining('none was sent'),
    ])
    expect(logins()).toEqual([])
    expect(fake.server.requests).toHaveLength(1)
  })

  test('that changes while we hold a token is looked at again, and not believed blindly', async () => {
    const wrapper = open()
    await wrapper.currentKeyId(within())
    fake.challengedResource = 'https://management.azure.com'
    fake.entra.endSessions()
    expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('ERR_CONFIG_INVALID')
    expect(logins()).toHaveLength(1)
  })

  test.each([
    undefined,
    'Basic realm="vault"',
    'Bearer authorization="https://login.example/t"',
    'Bearer resource="vault.azure.net"',
    'Bearer resource="http://vault.azure.net"',
    'Bearer resource="https://vault.azure.net/path"',
  ])('that is said in no form of Azure is refused: %j', async (header) => {
    const headers = header === undefined ? {} : { 'www-authenticate': header }
    fake.server.failNext({ status: 401, headers, body: '' })
    expect(await outcomeOf(open().currentKeyId(within()))).toBe('ERR_BACKEND_RESPONSE')
    expect(logins()).toEqual([])
  })

  test('may stand there as a scope', async () => {
    const header = 'Bearer authorization="https://login.example/t" scope="https://vault.azure.net/.default"'
    fake.server.failNext({ status: 401, headers: { 'www-authenticate': header }, body: '' })
    expect(await outcomeOf(open().currentKeyId(within()))).toBe('OK')
  })

  test('does not decide where to log in: only the config does', async () => {
    const elsewhere = await FakeAzure.start()
    const header = `Bearer authorization="${elsewhere.server.url}/${TENANT}", resource="https://vault.azure.net"`
    fake.server.failNext({ status: 401, headers: { 'www-authenticate': header }, body: '' })
    expect(await outcomeOf(open().currentKeyId(within()))).toBe('OK')
    expect(elsewhere.server.requests).toEqual([])
    await elsewhere.server.close()
  })
})

describe('a token', () => {
  test('that the vault refuses is replaced once, and the call goes on', async () => {
    const wrapper = open()
    const wrapped = await wrapper.wrap(randomBytes(32), within())
    fake.entra.endSessions()
    expect(await outcomeOf(wrapper.unwrap(wrapped, within()))).toBe('OK')
    expect(logins()).toHaveLength(2)
  })

  test('that the vault refuses again and again is not fetched again and again; the tenant is named', async () => {
    const clock = new ManualClock()
    const wrapper = open({}, {}, { clock })
    await wrapper.currentKeyId(within())
    const header = `Bearer authorization="https://login.example/other-tenant", resource="https://vault.azure.net"`
    const refused = { status: 401, headers: { 'www-authenticate': header }, body: '' }
    fake.server.failNext(refused, Infinity, isVault)
    for (let i = 0; i < 5; i += 1) {
      const error = await failureOf(wrapper.currentKeyId(within()))
      expect([error.code, error.message]).toEqual([
        'ERR_LOGIN_REFUSED',
        expect.stringContaining('other-tenant'),
      ])
    }
    expect(logins()).toHaveLength(2)
    await clock.advance(10_000)
    await failureOf(wrapper.currentKeyId(within()))
    expect(logins()).toHaveLength(3)
  })

  test('is renewed in the background at half of its life', async () => {
    const clock = new ManualClock()
    const wrapper = open({}, {}, { clock })
    await wrapper.currentKeyId(within())
    await clock.advance(1_799_000)
    expect(logins()).toHaveLength(1)
    await clock.advance(1000)
    await expect.poll(() => logins().length).toBe(2)
  })

  test('is fetched once for all who wait', async () => {
    const wrapper = open()
    await Promise.all(Array.from({ length: 16 }, async () => wrapper.currentKeyId(within())))
    expect(logins()).toHaveLength(1)
  })

  test.each([
    {},
    { access_token: '', expires_in: 3600 },
    { access_token: 'two\r\nlines', expires_in: 3600 },
    { access_token: 'x', expires_in: 'soon' },
    { access_token: 'x', expires_in: -1 },
    { access_token: 'x', expires_in: 0 },
    { access_token: 'x', expires_in: '' },
    { access_token: 'x', expires_in: null },
    { access_token: 'x', expires_in: [] },
    { access_token: 5, expires_in: 3600 },
  ])('of another form is not used: %j', async (body) => {
    fake.server.failNext({ status: 200, body }, 1, isLogin)
    expect(await outcomeOf(open().currentKeyId(within()))).toBe('ERR_BACKEND_RESPONSE')
  })
})

describe('a login that Entra refuses', () => {
  test.each<[number, string, RegExp]>([
    [7000215, 'ERR_LOGIN_REFUSED', /client secret is wrong/],
    [7000222, 'ERR_LOGIN_REFUSED', /secret has expired/],
    [700016, 'ERR_LOGIN_REFUSED', /no such application/],
    [90002, 'ERR_LOGIN_REFUSED', /no such tenant/],
    [700024, 'ERR_LOGIN_REFUSED', /clock/],
    [424242, 'ERR_LOGIN_REFUSED', /AADSTS424242/],
  ])('says why (AADSTS%s) and nothing that was sent', async (number, code, text) => {
    const description = `AADSTS${number}: you sent ${fake.entra.secret ?? ''}`
    fake.server.failNext(
      { status: 401, body: { error: 'invalid_client', error_description: description } },
      1,
      isLogin,
    )
    const error = await failureOf(open().currentKeyId(within()))
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(text)])
    expect(error.message).not.toContain(fake.entra.secret)
  })

  test.each([
    [{ status: 429, headers: { 'retry-after': '4' }, body: {} }, 'ERR_BACKEND_THROTTLED', 4000],
    [{ status: 503, headers: { 'retry-after': '5' }, body: '' }, 'ERR_BACKEND_UNAVAILABLE', 5000],
    [{ status: 400, body: { error: 'temporarily_unavailable' } }, 'ERR_BACKEND_UNAVAILABLE', undefined],
    [{ status: 400, body: '<html>no</html>' }, 'ERR_BACKEND_RESPONSE', undefined],
    [{ status: 404, body: '' }, 'ERR_BACKEND_RESPONSE', undefined],
  ])('because it is out or busy is told apart: %j', async (answer, code, retryAfterMs) => {
    fake.server.failNext(answer, 1, isLogin)
    const error = await failureOf(open().currentKeyId(within()))
    expect([error.code, error.retryAfterMs]).toEqual([code, retryAfterMs])
  })

  test('is not tried again at once with the same secret, and is with another one', async () => {
    const clock = new ManualClock()
    const reference = `file:${files.write('secret', 'the wrong secret')}`
    const wrapper = open({ auth: { method: 'clientSecret', ...app, clientSecret: reference } }, {}, { clock })
    for (let i = 0; i < 3; i += 1)
      expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('ERR_LOGIN_REFUSED')
    expect(logins()).toHaveLength(1)
    await clock.advance(5000)
    expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('ERR_LOGIN_REFUSED')
    expect(logins()).toHaveLength(2)
    files.write('secret', fake.entra.secret ?? '')
    expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('OK')
  })
})

describe('by a client certificate', () => {
  const pair = async () => {
    const { cert, key } = await makeRsaCertificate()
    const certificateFile = files.write('client.pem', cert)
    const privateKeyFile = files.write('client.key', key)
    return { cert, auth: { method: 'clientCertificate', ...app, certificateFile, privateKeyFile } }
  }

  test('we are let in, by a proof that its key has signed and that is made anew each time', async () => {
    const { cert, auth } = await pair()
    fake.entra.certificate = cert
    const wrapper = open({ auth })
    expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('OK')
    fake.entra.endSessions()
    expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('OK')
    const sent = logins().map(({ body }) => new URLSearchParams(body.toString()).get('client_assertion'))
    expect(new Set(sent).size).toBe(2)
  })

  test('that the application does not know we are not, and are with the one that replaced it', async () => {
    const { cert } = await pair()
    fake.entra.certificate = cert
    const { cert: next, auth } = await pair()
    const wrapper = open({ auth })
    const error = await failureOf(wrapper.currentKeyId(within()))
    expect([error.code, error.message]).toEqual(['ERR_LOGIN_REFUSED', expect.stringContaining('upload it')])
    expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('ERR_LOGIN_REFUSED')
    expect(logins()).toHaveLength(1)
    fake.entra.certificate = next
    expect(await outcomeOf(open({ auth }).currentKeyId(within()))).toBe('OK')
  })

  test('whose key is another, is no key, or may be read by others, nobody is asked', async () => {
    const { auth } = await pair()
    const wrapper = open({ auth })
    for (const [key, mode] of [
      [(await makeRsaCertificate()).key, 0o600],
      ['no key', 0o600],
    ] as const) {
      files.write('client.key', key, mode)
      const error = await failureOf(wrapper.currentKeyId(within()))
      expect([error.code, error.message]).toEqual([
        'ERR_CONFIG_INVALID',
        expect.stringContaining('client.key'),
      ])
    }
    expect(logins()).toEqual([])
  })
})

describe('by a service account token', () => {
  const issuer = 'https://oidc.example/cluster'
  const subject = 'system:serviceaccount:kube-system:kmsplugin'
  const keys = generateKeyPairSync('rsa', { modulusLength: 2048 })

  const tokenOf = (claims: object = {}, key: KeyObject = keys.privateKey): string => {
    const all = {
      iss: issuer,
      sub: subject,
      aud: 'api://AzureADTokenExchange',
      exp: Date.now() / 1000 + 3600,
      ...claims,
    }
    const parts = [{ alg: 'RS256', kid: '1' }, all].map((part) =>
      Buffer.from(JSON.stringify(part)).toString('base64url'),
    )
    const signed = parts.join('.')
    return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`
  }

  const env = () => ({
    AZURE_TENANT_ID: TENANT,
    AZURE_CLIENT_ID: CLIENT,
    AZURE_FEDERATED_TOKEN_FILE: files.write('token', tokenOf(), 0o644),
    AZURE_AUTHORITY_HOST: `${fake.server.url}/`,
  })

  beforeEach(() => {
    fake.entra.federation = { issuer, subject, audience: 'api://AzureADTokenExchange', key: keys.publicKey }
  })

  test('we are let in by what Azure Workload Identity sets in a pod, and nothing else is configured', async () => {
    const wrapper = open({ auth: { method: 'workloadIdentity' }, authorityHost: undefined }, env())
    expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('OK')
  })

  test('the file is read anew at each login', async () => {
    const wrapper = open({ auth: { method: 'workloadIdentity' } }, env())
    await wrapper.currentKeyId(within())
    const next = tokenOf({ jti: 'the next one' })
    files.write('token', next)
    fake.entra.endSessions()
    await wrapper.currentKeyId(within())
    expect(new URLSearchParams(logins()[1]?.body.toString()).get('client_assertion')).toBe(next)
  })

  test('the config comes before the environment', async () => {
    const tokenFile = files.write('mine', tokenOf())
    const wrong = { ...env(), AZURE_CLIENT_ID: TENANT, AZURE_FEDERATED_TOKEN_FILE: '/absent' }
    const wrapper = open({ auth: { method: 'workloadIdentity', ...app, tokenFile } }, wrong)
    expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('OK')
  })

  test.each(['AZURE_TENANT_ID', 'AZURE_CLIENT_ID', 'AZURE_FEDERATED_TOKEN_FILE'])(
    'what is missing is named, and Entra is not asked: %s',
    async (name) => {
      const wrapper = open({ auth: { method: 'workloadIdentity' } }, { ...env(), [name]: undefined })
      const error = await failureOf(wrapper.currentKeyId(within()))
      expect([error.code, error.message]).toEqual(['ERR_CONFIG_INVALID', expect.stringContaining(name)])
      expect(logins()).toEqual([])
    },
  )

  test.each([
    [{ iss: 'https://other.example' }, /issuer of this cluster/],
    [{ sub: 'system:serviceaccount:default:default' }, /this service account/],
    [{ aud: 'api' }, /audience/],
    [{ exp: 1 }, /clock/],
  ])('that does not fit the federated credential is refused, and why: %j', async (claims, text) => {
    const variables = env()
    files.write('token', tokenOf(claims))
    const error = await failureOf(
      open({ auth: { method: 'workloadIdentity' } }, variables).currentKeyId(within()),
    )
    expect([error.code, error.message]).toEqual(['ERR_LOGIN_REFUSED', expect.stringMatching(text)])
  })
})

describe('by the identity of the machine', () => {
  const auth = { method: 'managedIdentity' }
  const env = () => ({ AZURE_POD_IDENTITY_AUTHORITY_HOST: fake.server.url })

  test('we are let in, without Entra, and without a proxy', async () => {
    const proxy = await TunnelProxy.start(() => fake.server.port)
    for (const name of ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY']) vi.stubEnv(name, proxy.url)
    for (const name of ['NO_PROXY', 'no_proxy']) vi.stubEnv(name, '')
    const wrapper = open({ auth }, env())
    expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('OK')
    const asked = logins().map(({ url, headers }) => [url.pathname, url.search, headers['metadata']])
    const query = '?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net'
    expect(asked).toEqual([['/metadata/identity/oauth2/token', query, 'true']])
    expect(proxy.asked).toEqual([])
    await proxy.close()
  })

  test('or by one of several', async () => {
    expect(await outcomeOf(open({ auth: { ...auth, clientId: CLIENT } }, env()).currentKeyId(within()))).toBe(
      'OK',
    )
    const error = await failureOf(open({ auth: { ...auth, clientId: TENANT } }, env()).currentKeyId(within()))
    expect([error.code, error.message]).toEqual(['ERR_LOGIN_REFUSED', expect.stringContaining(TENANT)])
  })

  test('a machine without one is told what to do', async () => {
    fake.entra.hasManagedIdentity = false
    const error = await failureOf(open({ auth }, env()).currentKeyId(within()))
    expect([error.code, error.message]).toEqual(['ERR_LOGIN_REFUSED', expect.stringContaining('assign one')])
  })

  test.each([
    [{ status: 404, body: '' }, 'ERR_BACKEND_UNAVAILABLE'],
    [{ status: 410, body: '' }, 'ERR_BACKEND_UNAVAILABLE'],
    [{ status: 500, body: '' }, 'ERR_BACKEND_UNAVAILABLE'],
    [{ status: 429, body: '' }, 'ERR_BACKEND_THROTTLED'],
    [{ status: 403, body: 'a proxy' }, 'ERR_BACKEND_RESPONSE'],
    [{ status: 302, headers: { location: 'http://elsewhere.example' }, body: '' }, 'ERR_BACKEND_RESPONSE'],
  ])('a service that has no answer now is told from one that refuses: %j', async (answer, code) => {
    fake.server.failNext(answer, 1, isLogin)
    expect(await outcomeOf(open({ auth }, env()).currentKeyId(within()))).toBe(code)
  })

  test.each([
    'http://10.0.0.1',
    'http://imds.example',
    'https://127.0.0.1',
    'x',
    'http://169.254.169.254.example',
  ])('the environment cannot move the service off the machine: %s', async (host) => {
    const error = await failureOf(
      open({ auth }, { AZURE_POD_IDENTITY_AUTHORITY_HOST: host }).currentKeyId(within()),
    )
    expect([error.code, error.message]).toEqual([
      'ERR_CONFIG_INVALID',
      expect.stringContaining('AZURE_POD_IDENTITY_AUTHORITY_HOST'),
    ])
  })
})

test('after close nothing is sent, and a login under way ends', async () => {
  const wrapper = open()
  fake.server.failNext('stall', 1, isLogin)
  const pending = failureOf(wrapper.currentKeyId(within()))
  await expect.poll(() => logins().length).toBe(1)
  await wrapper.close()
  expect((await pending).code).toBe('ERR_SHUTTING_DOWN')
  const before = fake.server.requests.length
  expect(await outcomeOf(wrapper.currentKeyId(within()))).toBe('ERR_SHUTTING_DOWN')
  expect(fake.server.requests).toHaveLength(before)
})
