/** What does each auth method send, from where, and what becomes of a refusal? */
import { writeFileSync, symlinkSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { vault } from '../../../src/adapters/backends/vault/index.js'
import { asKmsError } from '../../../src/ports/errors.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { makeAuthority } from '../../support/certificates.js'
import { FakeVault } from '../../support/fakes/vault.js'
import { Bench, PLUGIN, silentDeps } from './opened.js'

let bench: Bench
beforeEach(async () => {
  bench = await Bench.start()
})
afterEach(async () => bench.close())

async function failureOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'it did not fail',
    (thrown: unknown) => `${asKmsError(thrown).code} ${asKmsError(thrown).message}`,
  )
}

const tries = async (auth: Record<string, unknown>) =>
  failureOf(bench.open({ auth }).currentKeyId(bench.options))
const worked = 'it did not fail'
const logins = () => bench.takeAsked().filter((path) => path.includes('/login'))

describe('approle', () => {
  test('without secret id, for a role that binds none', async () => {
    bench.login('approle', 'open-role', [])
    expect(await tries({ method: 'approle', roleId: 'open-role' })).toBe(worked)
  })

  test('that lacks its secret id says which setting is missing', async () => {
    expect(await tries({ method: 'approle', roleId: 'role-id' })).toMatch(/^ERR_LOGIN_REFUSED .*`secretId`/)
  })

  test('at another mount, with the secret id from the environment', async () => {
    bench.fake.logins.add('team/roles', 'approle', 'r', ['from-env'], { policies: PLUGIN })
    const auth = { method: 'approle', roleId: 'r', secretId: 'env:SECRET_ID', mount: 'team/roles' }
    const wrapper = bench.open({ auth, deps: { env: { SECRET_ID: 'from-env' } } })
    expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('OK')
    expect(logins()).toEqual(['POST auth/team/roles/login'])
  })

  test('a wrong secret id is not tried again at once, so that no account is locked; a new one is', async () => {
    const role = bench.login('approle', 'role-id', ['another-secret-id'])
    const wrapper = bench.open()
    for (let i = 0; i < 20; i += 1) {
      expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('ERR_LOGIN_REFUSED')
    }
    expect(role.failures).toBe(1)
    await bench.pass(5000)
    expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('ERR_LOGIN_REFUSED')
    expect(role.failures).toBe(2)
    bench.file('secret-id', 'another-secret-id')
    expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('OK')
  })

  test('a secret id that is not there is a matter of the config, and nothing is sent', async () => {
    const secretId = `file:${bench.files.folder}/absent`
    expect(await tries({ method: 'approle', roleId: 'role-id', secretId })).toMatch(
      /^ERR_CONFIG_INVALID .*absent/,
    )
    expect(bench.takeAsked()).toEqual([])
  })
})

describe('userpass', () => {
  const auth = { method: 'userpass', username: 'kms-plugin', password: 'env:PASSWORD' }
  const open = (password: string) => bench.open({ auth, deps: { env: { PASSWORD: password } } })

  test('logs in by name and password', async () => {
    bench.login('userpass', 'kms-plugin', ['the-password'])
    expect(await outcomeOf(open('the-password').currentKeyId(bench.options))).toBe('OK')
    expect(logins()).toEqual(['POST auth/userpass/login/kms-plugin'])
  })

  test('a wrong password is not tried again at once', async () => {
    const entry = bench.login('userpass', 'kms-plugin', ['the-password'])
    const wrapper = open('wrong-password')
    for (let i = 0; i < 10; i += 1) {
      expect(await failureOf(wrapper.currentKeyId(bench.options))).toMatch(
        /^ERR_LOGIN_REFUSED .*password is wrong/,
      )
    }
    expect(entry.failures).toBe(1)
  })
})

describe.each(['kubernetes', 'jwt'] as const)('%s', (method) => {
  test('reads the token anew at each login, from a file that others may read and that is a link', async () => {
    const entry = bench.login(method, 'kms', ['first.jwt'], { ttl: 60, isRenewable: false })
    const target = `${bench.files.folder}/data`
    const link = `${bench.files.folder}/jwt`
    writeFileSync(target, 'first.jwt', { mode: 0o644 })
    symlinkSync(target, link)
    const wrapper = bench.open({ auth: { method, role: 'kms', jwt: `file:${link}` } })
    expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('OK')
    entry.secrets = ['second.jwt']
    writeFileSync(target, 'second.jwt')
    await bench.passUntilAsked(30_000, `POST auth/${method}/login`)
    expect(bench.logger.lines).toEqual([])
    await bench.pass(29_000)
    expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('OK')
  })

  test('a refusal is tried again with the next call: who vouches for us may have been out', async () => {
    const entry = bench.login(method, 'kms', [])
    const wrapper = bench.open({ auth: { method, role: 'kms', jwt: bench.file('jwt', 'the.jwt') } })
    expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('ERR_LOGIN_REFUSED')
    entry.secrets = ['the.jwt']
    expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('OK')
  })

  test('a role that is not there is named as such', async () => {
    bench.login(method, 'kms', ['the.jwt'])
    const auth = { method, role: 'other', jwt: bench.file('jwt', 'the.jwt') }
    expect(await tries(auth)).toMatch(/^ERR_LOGIN_REFUSED .*no such role/)
  })
})

test('kubernetes: the token is where the kubelet puts it, unless told otherwise', () => {
  expect(bench.settings({ auth: { method: 'kubernetes', role: 'kms' } }).auth).toMatchObject({
    jwt: 'file:/var/run/secrets/kubernetes.io/serviceaccount/token',
    mount: 'kubernetes',
  })
})

test('a method that is not mounted there says which setting to look at, whatever the server answers', async () => {
  const { method, roleId, mount } = { method: 'approle', roleId: 'role-id', mount: 'elsewhere' }
  expect(await tries({ method, roleId, mount })).toMatch(/^ERR_LOGIN_REFUSED .*`auth.mount`/)
  bench.fake.server.failNext({
    status: 404,
    body: { errors: ['no handler for route "auth/elsewhere/login"'] },
  })
  expect(await tries({ method, roleId, mount })).toMatch(/^ERR_CONFIG_INVALID .*`auth.mount`/)
})

test('a login that throttles or fails is an outage, not a refusal', async () => {
  for (const [status, code] of [
    [429, 'ERR_BACKEND_THROTTLED'],
    [500, 'ERR_BACKEND_UNAVAILABLE'],
    [503, 'ERR_BACKEND_UNAVAILABLE'],
  ] as const) {
    bench.fake.server.failNext({ status, body: { errors: ['internal error'] } })
    expect(await outcomeOf(bench.open().currentKeyId(bench.options))).toBe(code)
  }
})

test.each([
  ['a token that cannot stand in a header', { client_token: 'two words', lease_duration: 1 }],
  ['no lease', { client_token: 's.x' }],
  ['no token', { lease_duration: 1 }],
  ['nothing', null],
])('a login that is answered with %s is no login', async (_name, auth) => {
  bench.fake.server.failNext({ status: 200, body: { auth } })
  expect(await outcomeOf(bench.open().currentKeyId(bench.options))).toBe('ERR_BACKEND_RESPONSE')
})

test('a login that wants a second factor says so', async () => {
  const auth = { client_token: '', mfa_requirement: { mfa_request_id: 'x' } }
  bench.fake.server.failNext({ status: 200, body: { auth } })
  expect(await failureOf(bench.open().currentKeyId(bench.options))).toMatch(
    /^ERR_LOGIN_REFUSED .*second factor/,
  )
})

describe('cert', () => {
  test('logs in with the client certificate, and says so when no role fits it', async () => {
    const authority = await makeAuthority()
    const own = await authority.issue()
    const fake = await FakeVault.start({
      ...own,
      ca: authority.cert,
      requestCert: true,
      rejectUnauthorized: false,
    })
    const client = await authority.issue({ commonName: 'kms-plugin' })
    fake.transit.create('kek')
    fake.logins.add('cert', 'cert', 'kms', ['kms-plugin'], { policies: PLUGIN })
    const open = (auth: Record<string, unknown>) =>
      vault.open(
        vault.settings.parse({
          ...{ backend: 'vault', url: fake.server.url, keyName: 'kek' },
          caFile: bench.files.write('ca.pem', authority.cert),
          clientCertFile: bench.files.write('client.pem', client.cert),
          clientKeyFile: bench.files.write('client.key', client.key),
          auth: { method: 'cert', ...auth },
        }),
        silentDeps(),
      )
    const [any, named, wrong] = [open({}), open({ role: 'kms' }), open({ role: 'other' })]
    try {
      expect(await outcomeOf(any.currentKeyId(bench.options))).toBe('OK')
      expect(await outcomeOf(named.currentKeyId(bench.options))).toBe('OK')
      expect(await failureOf(wrong.currentKeyId(bench.options))).toMatch(/^ERR_LOGIN_REFUSED .*certificate/)
    } finally {
      for (const wrapper of [any, named, wrong]) await wrapper.close()
      await fake.close()
    }
  })
})
