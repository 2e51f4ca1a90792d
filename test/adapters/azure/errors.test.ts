/** What the answers of a vault mean, from the answer on the wire to the error of the port. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { AzureKeyWrapper } from '../../../src/adapters/backends/azure/wrapper.js'
import { asKmsError, type KmsError } from '../../../src/ports/errors.js'
import type { KeyWrapper, WrappedDek } from '../../../src/ports/key_wrapper.js'
import { FakeAzure } from '../../support/fakes/azure.js'
import type { FakeRequest } from '../../support/fakes/fake_server.js'
import { deps, section, within } from './opened.js'

const dek = randomBytes(32)
let fake: FakeAzure
let wrapper: KeyWrapper
let wrapped: WrappedDek

beforeAll(async () => {
  fake = await FakeAzure.start()
  fake.addVersion('kek')
  wrapper = new AzureKeyWrapper(section(fake.server.url), deps({ env: { SECRET: fake.entra.secret } }))
  wrapped = await wrapper.wrap(dek, within())
})

afterAll(async () => {
  await wrapper.close()
  await fake.server.close()
})

beforeEach(() => {
  fake.server.fault = undefined
})

const isVault = ({ url }: FakeRequest): boolean => url.pathname.startsWith('/keys/')

async function failureOf(call: Promise<unknown>): Promise<KmsError> {
  return call.then(() => expect.fail('it did not fail'), asKmsError)
}

function body(code: string, inner?: object, message = 'oid=SECRET-OID'): object {
  return { error: { code, message, ...inner } }
}

const innererror = (code: string) => ({ innererror: { code } })

describe('an answer that is no success', () => {
  test.each([
    [
      403,
      body('Forbidden', innererror('ForbiddenByRbac')),
      'ERR_ACCESS_DENIED',
      /no role allows us unwrapKey.*docs\/azure/,
    ],
    [
      403,
      body('Forbidden', innererror('ForbiddenByPolicy')),
      'ERR_ACCESS_DENIED',
      /access policies.*get, wrapKey/,
    ],
    [403, body('Forbidden', innererror('ForbiddenByFirewall')), 'ERR_ACCESS_DENIED', /firewall/],
    [403, body('Forbidden', innererror('ForbiddenByConnection')), 'ERR_ACCESS_DENIED', /private endpoint/],
    [403, body('Forbidden'), 'ERR_ACCESS_DENIED', /no role/],
    [403, '<html>blocked</html>', 'ERR_BACKEND_RESPONSE', /proxy or firewall/],
    [403, body('Forbidden', innererror('KeyDisabled')), 'ERR_KEY_DISABLED', /disabled; enable it/],
    [
      403,
      body('Forbidden', { innerError: { code: 'KeyDisabled' } }),
      'ERR_KEY_DISABLED',
      /disabled; enable it/,
    ],
    [
      403,
      body('Forbidden', {}, 'Operation unwrapKey is not allowed on a disabled key.'),
      'ERR_KEY_DISABLED',
      /enable/,
    ],
    [403, body('Forbidden', innererror('KeyExpired')), 'ERR_KEY_DISABLED', /expired/],
    [
      403,
      body('Forbidden', {}, 'Operation wrapKey is not allowed on an expired key.'),
      'ERR_KEY_DISABLED',
      /expired/,
    ],
    [403, body('Forbidden', innererror('KeyNotYetValid')), 'ERR_BACKEND_UNAVAILABLE', /not valid yet/],
    [
      403,
      body('Forbidden', innererror('KeyOperationForbidden')),
      'ERR_KEY_UNUSABLE',
      /keep what it is for already.*--ops wrapKey unwrapKey/,
    ],
    [
      409,
      body('Conflict', innererror('ObjectIsDeletedButRecoverable')),
      'ERR_KEY_PENDING_DELETION',
      /recover/,
    ],
    [409, body('Conflict', innererror('ObjectIsBeingDeleted')), 'ERR_KEY_PENDING_DELETION', /recover/],
    [409, body('Conflict'), 'ERR_BACKEND_UNAVAILABLE', /busy/],
    [404, '<html>not here</html>', 'ERR_BACKEND_RESPONSE', /404/],
    [408, '', 'ERR_BACKEND_UNAVAILABLE', /gave the request up/],
    [429, body('Throttled'), 'ERR_BACKEND_THROTTLED', /limits our rate/],
    [500, body('InternalServerError'), 'ERR_BACKEND_UNAVAILABLE', /500/],
    [502, '', 'ERR_BACKEND_UNAVAILABLE', /502/],
    [503, body('ServiceUnavailable'), 'ERR_BACKEND_UNAVAILABLE', /503/],
    [418, body('Teapot'), 'ERR_BACKEND_RESPONSE', /418/],
  ] as const)('%s %j is %s and says what to do', async (status, answer, code, text) => {
    fake.server.failNext({ status, body: answer }, 1, isVault)
    const error = await failureOf(wrapper.unwrap(wrapped, within()))
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(text)])
    expect(error.message).not.toMatch(/SECRET|html|\n/)
    expect(error.cause).toBeUndefined()
  })

  test('keeps how long the vault wants to be left alone', async () => {
    const answer = { status: 429, headers: { 'retry-after': '3' }, body: body('Throttled') }
    fake.server.failNext(answer, 1, isVault)
    expect((await failureOf(wrapper.wrap(dek, within()))).retryAfterMs).toBe(3000)
  })
})

describe('a 400', () => {
  const bad = {
    status: 400,
    body: body('BadParameter', {}, 'Unable to decrypt specified value with this key.'),
  }

  test('to an unwrap says that the data is bad, and its words are not shown', async () => {
    fake.server.failNext(bad, 1, isVault)
    const error = await failureOf(wrapper.unwrap(wrapped, within()))
    expect([error.code, error.fault]).toEqual(['ERR_DECRYPTION_FAILED', 'data'])
    expect(error.message).not.toContain('Unable')
  })

  test('to a wrap or a look at the key is never about data', async () => {
    fake.server.failNext(bad, 1, isVault)
    expect((await failureOf(wrapper.currentKeyId(within()))).fault).toBe('operator')
    fake.server.failNext(bad, 2, isVault)
    expect((await failureOf(wrapper.wrap(dek, within()))).fault).toBe('operator')
  })

  test('in other words is not taken for bad data by itself', async () => {
    for (const answer of [body('UnsupportedApiVersion'), '<html>bad request</html>', '']) {
      fake.server.failNext({ status: 400, body: answer }, 1, isVault)
      expect((await failureOf(wrapper.unwrap(wrapped, within()))).code).toBe('ERR_UNWRAP_AMBIGUOUS')
    }
  })
})

test('what our role does not allow is named', async () => {
  for (const operation of ['wrapKey', 'unwrapKey', 'get'] as const) {
    fake.rights.delete(operation)
    const call = {
      get: async () => wrapper.currentKeyId(within()),
      wrapKey: async () => wrapper.wrap(dek, within()),
      unwrapKey: async () => wrapper.unwrap(wrapped, within()),
    }[operation]
    const error = await failureOf(call())
    fake.rights.add(operation)
    expect([error.code, error.message]).toEqual([
      'ERR_ACCESS_DENIED',
      expect.stringContaining(`us ${operation} on`),
    ])
  }
})

test.each([
  {},
  { key: {}, attributes: {} },
  { key: { kid: 'https://v/keys/kek', kty: 'RSA' }, attributes: { enabled: true } },
  { key: { kid: `https://v/keys/other/${'0'.repeat(32)}`, kty: 'RSA' }, attributes: { enabled: true } },
  { key: { kid: `https://v/keys/kek/${'0'.repeat(32)}` }, attributes: { enabled: true } },
  { key: { kid: `https://v/keys/kek/${'0'.repeat(32)}`, kty: 'RSA' }, attributes: { enabled: 'yes' } },
])('a key that is not as the API has it is refused: %j', async (answer) => {
  fake.server.failNext({ status: 200, body: answer }, 1, isVault)
  expect((await failureOf(wrapper.currentKeyId(within()))).code).toBe('ERR_BACKEND_RESPONSE')
})
