/** Every way to an access token, over TLS, with Google's own names: a proxy leads them all to the fake. */
import { chmodSync, readFileSync, unlinkSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { KeyWrapper } from '../../../src/ports/key_wrapper.js'
import { makeAuthority, PrivateFiles, type Authority } from '../../support/certificates.js'
import { FakeGcp, POOL } from '../../support/fakes/gcp.js'
import { googleError } from '../../support/fakes/gcp_errors.js'
import { ACCOUNT, newPrivateKey, openGcp, serviceAccountJson, type Opening } from '../../support/gcp.js'
import { TunnelProxy } from '../../support/tunnel_proxy.js'
import { failureOf, patiently } from './opened.js'

const manifest = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
const pinned = (JSON.parse(manifest) as { optionalDependencies: Record<string, string> })
  .optionalDependencies['google-auth-library']

const SERVICES = ['cloudkms', 'oauth2', 'sts', 'iamcredentials'].map((name) => `${name}.googleapis.com`)
const OTHER = 'other@acme-prod.iam.gserviceaccount.com'
const IMPERSONATION = `https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${OTHER}:generateAccessToken`

const privateKey = newPrivateKey()
const serviceAccount = JSON.parse(serviceAccountJson(privateKey, '', { token_uri: undefined })) as object
const user = {
  type: 'authorized_user',
  client_id: 'id',
  client_secret: 'hush-hush',
  refresh_token: '1//refresh',
}
const workload = {
  type: 'external_account',
  audience: POOL,
  subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  token_url: 'https://sts.googleapis.com/v1/token',
}

let authority: Authority
let fake: FakeGcp
let files: PrivateFiles
let proxy: TunnelProxy
const opened: KeyWrapper[] = []

const open = (opening: Opening): KeyWrapper => {
  const wrapper = openGcp({ caFile: files.write('ca.pem', authority.cert), ...opening })
  opened.push(wrapper)
  return wrapper
}

const openWith = (json: object, change: Opening = {}): KeyWrapper =>
  open({ credentials: files.write('gcp.json', JSON.stringify(json)), ...change })

/** Who asked for the key, as Cloud KMS saw it. */
const identityOf = async (wrapper: KeyWrapper): Promise<string | undefined> => {
  await wrapper.currentKeyId(patiently())
  const request = fake.server.requests.filter(({ url }) => url.pathname.includes('/cryptoKeys/')).at(-1)
  return fake.tokens.get(String(request?.headers['authorization']).replace('Bearer ', ''))?.identity
}

const countOf = (path: string): number =>
  fake.server.requests.filter(({ url }) => url.pathname === path).length

beforeEach(async () => {
  authority = await makeAuthority()
  files = new PrivateFiles()
  fake = await FakeGcp.start(await authority.issue({ names: ['127.0.0.1', ...SERVICES] }))
  fake.addAccount(ACCOUNT, privateKey)
  fake.users.set('1//refresh', 'dev@acme.example')
  fake.subjects.set('eyJ.subject.token', 'principal://workload')
  proxy = await TunnelProxy.start(() => fake.server.port)
  vi.stubEnv('HTTPS_PROXY', proxy.url)
})

afterEach(async () => {
  vi.unstubAllEnvs()
  for (const wrapper of opened.splice(0)) await wrapper.close()
  await fake.close()
  await proxy.close()
  files.remove()
})

describe('credentials', () => {
  test('of a service account let in, by one token for many calls, for Cloud KMS alone', async () => {
    const wrapper = openWith(serviceAccount)
    expect(await identityOf(wrapper)).toBe(ACCOUNT)
    await Promise.all([1, 2, 3].map(async () => wrapper.currentKeyId(patiently())))
    expect(countOf('/token')).toBe(1)
    expect([...fake.tokens.values()][0]?.scopes).toEqual(['https://www.googleapis.com/auth/cloudkms'])
    expect(new Set(proxy.asked)).toEqual(
      new Set(['oauth2.googleapis.com:443', 'cloudkms.googleapis.com:443']),
    )
  })

  test('of a user, as gcloud leaves them, let in', async () => {
    expect(await identityOf(openWith(user))).toBe('dev@acme.example')
  })

  test('of a workload let in by a token in a file, read anew each time', async () => {
    const file = files.write('subject', 'eyJ.subject.token\n', 0o644)
    const wrapper = openWith({ ...workload, credential_source: { file } })
    expect(await identityOf(wrapper)).toBe('principal://workload')
    fake.subjects.clear()
    fake.subjects.set('eyJ.next.token', 'principal://next')
    files.write('subject', 'eyJ.next.token')
    fake.revokeTokens()
    expect(await identityOf(wrapper)).toBe('principal://next')
    expect(proxy.asked).toContain('sts.googleapis.com:443')
  })

  test('of a workload let in by a token in a JSON file', async () => {
    const file = files.write('subject.json', JSON.stringify({ id_token: 'eyJ.subject.token' }))
    const format = { type: 'json', subject_token_field_name: 'id_token' }
    expect(await identityOf(openWith({ ...workload, credential_source: { file, format } }))).toBe(
      'principal://workload',
    )
  })

  test('of a workload let in by a token that another service gives', async () => {
    const url = `${fake.server.url}/subject`
    expect(await identityOf(openWith({ ...workload, credential_source: { url } }))).toBe(
      'principal://workload',
    )
  })

  test('of a machine of AWS let in by a request that it signs', async () => {
    vi.stubEnv('AWS_REGION', 'eu-west-1')
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIAEXAMPLE')
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret')
    const credential_source = {
      environment_id: 'aws1',
      regional_cred_verification_url:
        'https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15',
    }
    const subject_token_type = 'urn:ietf:params:aws:token-type:aws4_request'
    expect(await identityOf(openWith({ ...workload, subject_token_type, credential_source }))).toBe(
      'AKIAEXAMPLE',
    )
  })

  test('of a workload that acts as a service account let in as that one', async () => {
    const file = files.write('subject', 'eyJ.subject.token')
    const json = {
      ...workload,
      credential_source: { file },
      service_account_impersonation_url: IMPERSONATION,
    }
    expect(await identityOf(openWith(json))).toBe(OTHER)
    expect([...fake.tokens.values()].at(-1)?.scopes).toEqual(['https://www.googleapis.com/auth/cloudkms'])
  })

  test.each([
    ['service account', serviceAccount],
    ['user', user],
  ])('of an impersonation by a %s let in as the account that is impersonated', async (_name, source) => {
    const json = {
      type: 'impersonated_service_account',
      service_account_impersonation_url: IMPERSONATION,
      source_credentials: source,
    }
    expect(await identityOf(openWith(json))).toBe(OTHER)
  })

  test('that name a quota project have it sent along', async () => {
    await identityOf(openWith({ ...user, quota_project_id: 'acme-billing' }))
    expect(fake.server.requests.at(-1)?.headers['x-goog-user-project']).toBe('acme-billing')
  })
})

describe('without the setting', () => {
  test('the file that GOOGLE_APPLICATION_CREDENTIALS names is used, before that of gcloud', async () => {
    const path = files.write('a.json', JSON.stringify(serviceAccount))
    files.write('application_default_credentials.json', JSON.stringify(user))
    const env = { GOOGLE_APPLICATION_CREDENTIALS: path, CLOUDSDK_CONFIG: files.folder }
    expect(await identityOf(open({ env }))).toBe(ACCOUNT)
  })

  test('the file that gcloud left is used', async () => {
    files.write('application_default_credentials.json', JSON.stringify(user))
    expect(await identityOf(open({ env: { CLOUDSDK_CONFIG: files.folder } }))).toBe('dev@acme.example')
  })

  test('a relative path in GOOGLE_APPLICATION_CREDENTIALS is refused', async () => {
    const error = await failureOf(identityOf(open({ env: { GOOGLE_APPLICATION_CREDENTIALS: 'a.json' } })))
    expect(error.code).toBe('ERR_CONFIG_INVALID')
    expect(error.message).toContain('GOOGLE_APPLICATION_CREDENTIALS')
  })

  describe('the metadata server', () => {
    let metadata: FakeGcp

    beforeEach(async () => {
      metadata = await FakeGcp.start()
    })

    afterEach(async () => metadata.close())

    const onMachine = (): KeyWrapper =>
      open({
        env: { GCE_METADATA_HOST: `127.0.0.1:${metadata.server.port}`, HOME: files.folder },
        // It is asked without the library.
        load: async () => Promise.reject(new Error('not installed')),
      })

    test('gives the token of the machine, without any library', async () => {
      metadata.issue = (identity, scopes) => fake.issue(identity, scopes)
      expect(await identityOf(onMachine())).toBe('node@acme-prod.iam.gserviceaccount.com')
      expect(metadata.server.requests).toHaveLength(1)
      expect(metadata.server.requests[0]?.headers['metadata-flavor']).toBe('Google')
    })

    test('of another cloud is told from Google’s', async () => {
      metadata.hasMetadataFlavor = false
      const error = await failureOf(identityOf(onMachine()))
      expect(error.code).toBe('ERR_CONFIG_INVALID')
      expect(error.message).toContain('set credentials')
    })

    test('of a machine without service account says so', async () => {
      metadata.machine = undefined
      const error = await failureOf(identityOf(onMachine()))
      expect(error.code).toBe('ERR_CONFIG_INVALID')
      expect(error.message).toContain('no service account')
    })

    test('that is out for a moment may be back', async () => {
      metadata.server.failNext({ status: 503, headers: { 'metadata-flavor': 'Google' }, body: '' })
      const error = await failureOf(identityOf(onMachine()))
      expect([error.code, error.retryable]).toEqual(['ERR_BACKEND_UNAVAILABLE', true])
      expect(metadata.server.requests).toHaveLength(1)
    })

    test.each([429, 500, 502, 503])(
      'that is out says so, also where it leaves its header out (status %i)',
      async (status) => {
        metadata.server.failNext({ status, body: 'no answer from upstream' })
        const error = await failureOf(identityOf(onMachine()))
        expect([error.fault, error.retryable]).toEqual(['backend', true])
      },
    )

    test('that nobody answers for is named, with what to set', async () => {
      await metadata.close()
      const env = { GCE_METADATA_HOST: '127.0.0.1:1' }
      const error = await failureOf(identityOf(open({ env })))
      expect(error.code).toBe('ERR_BACKEND_UNREACHABLE')
      expect(error.message).toContain('no file of credentials is named')
      metadata = await FakeGcp.start()
    })
  })
})

describe('a file of credentials is refused, and not quoted:', () => {
  const refused: readonly (readonly [string, object | string, RegExp])[] = [
    ['no JSON', '{"type":"service_account","private_key":"hush-hush"', /cannot be used/],
    ['a list', '[]', /cannot be used/],
    ['of no type', { client_email: 'x' }, /known types: service_account, /],
    [
      'of a type that is not known',
      { type: 'gdch_service_account', private_key: 'hush-hush' },
      /known types/,
    ],
    ['without its key', { ...serviceAccount, private_key: undefined }, /private_key/],
    [
      'with a key that is none',
      { ...serviceAccount, private_key: 'hush-hush' },
      /private_key is no private key in PEM/,
    ],
    ['without its account', { ...serviceAccount, client_email: '' }, /client_email/],
    ['of another cloud', { ...serviceAccount, universe_domain: 'example.com' }, /universe_domain/],
    [
      'that runs a program',
      { ...workload, credential_source: { executable: { command: 'hush-hush' } } },
      /program/,
    ],
    [
      'with a client certificate',
      { ...workload, credential_source: { certificate: {} } },
      /client certificate/,
    ],
    [
      'of an impersonation of nobody',
      {
        type: 'impersonated_service_account',
        service_account_impersonation_url: 'https://x.example',
        source_credentials: user,
      },
      /generateAccessToken/,
    ],
  ]

  test.each(refused)('%s', async (_name, content, text) => {
    const credentials = files.write(
      'gcp.json',
      typeof content === 'string' ? content : JSON.stringify(content),
    )
    const error = await failureOf(identityOf(open({ credentials })))
    expect(error.code).toBe('ERR_CONFIG_INVALID')
    expect(error.message).toMatch(text)
    expect(error.message).toContain(credentials)
    expect(error.message).not.toContain('hush')
    expect(fake.server.requests).toEqual([])
  })

  test('one with a secret that others may read, and none without', async () => {
    const file = files.write('subject', 'eyJ.subject.token')
    const open644 = (json: object): KeyWrapper => {
      const wrapper = openWith(json)
      chmodSync(`${files.folder}/gcp.json`, 0o644)
      return wrapper
    }
    expect((await failureOf(identityOf(open644(serviceAccount)))).message).toContain('chmod 600')
    expect(await identityOf(open644({ ...workload, credential_source: { file } }))).toBe(
      'principal://workload',
    )
  })

  test('one whose token of the workload others may write', async () => {
    const file = files.write('subject', 'eyJ.subject.token')
    chmodSync(file, 0o666)
    const error = await failureOf(identityOf(openWith({ ...workload, credential_source: { file } })))
    expect(error.code).toBe('ERR_CONFIG_INVALID')
    expect(error.message).toContain(file)
  })

  test('one that would send a token in the clear', async () => {
    const file = files.write('subject', 'eyJ.subject.token')
    const json = { ...workload, token_url: 'http://sts.example.com/v1/token', credential_source: { file } }
    const error = await failureOf(identityOf(openWith(json)))
    expect(error.code).toBe('ERR_CONFIG_INVALID')
    expect(error.message).toContain('https://')
  })

  test('any, where the library is not installed; the message names the package', async () => {
    const missing = Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
    const error = await failureOf(
      identityOf(openWith(serviceAccount, { load: async () => Promise.reject(missing) })),
    )
    expect(error.code).toBe('ERR_CONFIG_INVALID')
    expect(error.message).toContain(`npm install google-auth-library@${pinned} `)
  })
})

describe('when the services for tokens refuse', () => {
  test('an account that is gone is a refused login, and is not asked again at once', async () => {
    fake.accounts.clear()
    const wrapper = openWith(serviceAccount)
    for (let i = 0; i < 3; i += 1) {
      expect((await failureOf(wrapper.currentKeyId(patiently()))).code).toBe('ERR_LOGIN_REFUSED')
    }
    expect(countOf('/token')).toBe(1)
  })

  test('a rate or an outage is passed on with its pause, and never tried again here', async () => {
    const wrapper = openWith(serviceAccount)
    fake.server.failNext({ ...googleError(429, 'RESOURCE_EXHAUSTED', 'x'), headers: { 'retry-after': '3' } })
    const error = await failureOf(wrapper.currentKeyId(patiently()))
    expect([error.code, error.retryAfterMs]).toEqual(['ERR_BACKEND_THROTTLED', 3000])
    expect(fake.server.requests).toHaveLength(1)
    fake.server.failNext({ status: 503, body: 'x' })
    expect((await failureOf(wrapper.currentKeyId(patiently()))).code).toBe('ERR_BACKEND_UNAVAILABLE')
    expect(fake.server.requests).toHaveLength(2)
    expect(await identityOf(wrapper)).toBe(ACCOUNT)
  })

  test('a pool that is not known, a stale token and a forbidden impersonation are told apart', async () => {
    const file = files.write('subject', 'eyJ.subject.token')
    const credential_source = { file }
    const lost = openWith({ ...workload, audience: '//iam.googleapis.com/elsewhere', credential_source })
    expect((await failureOf(identityOf(lost))).message).toContain('identity pool')
    const denied = { ...workload, credential_source, service_account_impersonation_url: IMPERSONATION }
    fake.denied.add('* iam.serviceAccounts.getAccessToken')
    const error = await failureOf(identityOf(openWith(denied)))
    expect(error.code).toBe('ERR_ACCESS_DENIED')
    expect(error.message).toContain('workloadIdentityUser')
    fake.subjects.clear()
    expect((await failureOf(identityOf(openWith({ ...workload, credential_source })))).code).toBe(
      'ERR_LOGIN_REFUSED',
    )
  })

  test.each([{}, { access_token: '' }, 'no token', { access_token: 'two\nlines', expires_in: 3600 }])(
    'an answer without token is refused, and not held: %j',
    async (body) => {
      const wrapper = openWith(serviceAccount)
      fake.server.failNext({ status: 200, body })
      expect((await failureOf(wrapper.currentKeyId(patiently()))).code).toBe('ERR_BACKEND_RESPONSE')
      expect(await identityOf(wrapper)).toBe(ACCOUNT)
    },
  )
})

describe('a token', () => {
  test('that Cloud KMS refuses is replaced once, and the call goes on', async () => {
    const wrapper = openWith(serviceAccount)
    await identityOf(wrapper)
    fake.revokeTokens()
    expect(await identityOf(wrapper)).toBe(ACCOUNT)
    expect(countOf('/token')).toBe(2)
  })

  test('that is refused when it is new as well is a refused login', async () => {
    const wrapper = openWith(serviceAccount)
    fake.server.failNext(googleError(401, 'UNAUTHENTICATED', 'x'), Infinity, ({ url }) =>
      url.pathname.includes('/cryptoKeys/'),
    )
    expect((await failureOf(wrapper.currentKeyId(patiently()))).code).toBe('ERR_LOGIN_REFUSED')
    expect(countOf('/token')).toBe(2)
  })

  test('of credentials that were replaced on the disk is not used any more', async () => {
    const second = newPrivateKey()
    fake.addAccount(OTHER, second)
    const wrapper = openWith(serviceAccount)
    expect(await identityOf(wrapper)).toBe(ACCOUNT)
    files.write('gcp.json', JSON.stringify({ ...serviceAccount, client_email: OTHER, private_key: second }))
    expect(await identityOf(wrapper)).toBe(OTHER)
  })

  test('stays while the file that gcloud left is gone, and the machine is not asked in its place', async () => {
    const path = files.write('application_default_credentials.json', JSON.stringify(user))
    const wrapper = open({ env: { CLOUDSDK_CONFIG: files.folder, GCE_METADATA_HOST: '127.0.0.1:1' } })
    expect(await identityOf(wrapper)).toBe('dev@acme.example')
    unlinkSync(path)
    expect(await identityOf(wrapper)).toBe('dev@acme.example')
    expect(countOf('/token')).toBe(1)
  })

  test('stays while what was written over its credentials cannot be used', async () => {
    const wrapper = openWith(serviceAccount)
    await identityOf(wrapper)
    files.write('gcp.json', '{"half')
    expect(await identityOf(wrapper)).toBe(ACCOUNT)
    expect(countOf('/token')).toBe(1)
  })
})
