/** Every status of the service and every category of its codes, and what they become. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { asKmsError, type KmsError } from '../../../src/ports/errors.js'
import { DEK_BYTES, type KeyWrapper, type WrappedDek } from '../../../src/ports/key_wrapper.js'
import { categories, okmsError } from '../../support/fakes/okms.js'
import type { FakeRequest } from '../../support/fakes/fake_server.js'
import { OkmsSubject } from '../../support/okms_subject.js'

const options = { deadlineMs: Infinity }
const dek = Buffer.alloc(DEK_BYTES, 0x5a)

let subject: OkmsSubject
let wrapper: KeyWrapper
let wrapped: WrappedDek

beforeEach(async () => {
  subject = await OkmsSubject.start()
  wrapper = subject.open()
  wrapped = await wrapper.wrap(dek, options)
})
afterEach(async () => subject.close())

async function failureOf(call: Promise<unknown>): Promise<KmsError> {
  return call.then(
    () => {
      throw new Error('it did not fail')
    },
    (error: unknown) => asKmsError(error),
  )
}

const wrap = async () => failureOf(wrapper.wrap(dek, options))
const unwrap = async () => failureOf(wrapper.unwrap(wrapped, options))
const look = async () => failureOf(wrapper.currentKeyId(options))
const isAct = ({ url }: FakeRequest) => /crypt$/.test(url.pathname)

type Category = keyof typeof categories
type Row = readonly [
  number,
  Category | undefined,
  onLook: string,
  onWrap: string,
  onUnwrap: string,
  said: RegExp,
]

const table: readonly Row[] = [
  [400, 'argument', 'CONFIG_INVALID', 'BACKEND_RESPONSE', 'DECRYPTION_FAILED', /./],
  [400, 'badArgument', 'CONFIG_INVALID', 'BACKEND_RESPONSE', 'DECRYPTION_FAILED', /./],
  [400, 'conflict', 'KEY_UNUSABLE', 'KEY_UNUSABLE', 'KEY_UNUSABLE', /state and operations/],
  [400, 'internal', 'BACKEND_UNAVAILABLE', 'BACKEND_UNAVAILABLE', 'BACKEND_UNAVAILABLE', /cannot serve/],
  [400, 'tooManyRequests', 'BACKEND_THROTTLED', 'BACKEND_THROTTLED', 'BACKEND_THROTTLED', /rate/],
  [400, undefined, 'BACKEND_RESPONSE', 'BACKEND_RESPONSE', 'UNWRAP_AMBIGUOUS', /status 400/],
  [401, 'authentication', 'LOGIN_REFUSED', 'LOGIN_REFUSED', 'LOGIN_REFUSED', /access certificate/],
  [401, 'authorization', 'ACCESS_DENIED', 'ACCESS_DENIED', 'ACCESS_DENIED', /serviceKey\/encrypt/],
  [401, undefined, 'LOGIN_REFUSED', 'LOGIN_REFUSED', 'LOGIN_REFUSED', /access certificate/],
  [403, undefined, 'ACCESS_DENIED', 'ACCESS_DENIED', 'ACCESS_DENIED', /serviceKey\/encrypt/],
  [404, 'notFound', 'KEY_NOT_FOUND', 'KEY_NOT_FOUND', 'KEY_NOT_FOUND', /okmsId/],
  [404, undefined, 'KEY_NOT_FOUND', 'KEY_NOT_FOUND', 'KEY_NOT_FOUND', /okmsId/],
  [409, 'conflict', 'KEY_UNUSABLE', 'KEY_UNUSABLE', 'KEY_UNUSABLE', /state and operations/],
  [429, 'tooManyRequests', 'BACKEND_THROTTLED', 'BACKEND_THROTTLED', 'BACKEND_THROTTLED', /rate/],
  [429, undefined, 'BACKEND_THROTTLED', 'BACKEND_THROTTLED', 'BACKEND_THROTTLED', /rate/],
  [500, 'internal', 'BACKEND_UNAVAILABLE', 'BACKEND_UNAVAILABLE', 'BACKEND_UNAVAILABLE', /cannot serve/],
  [500, 'database', 'BACKEND_UNAVAILABLE', 'BACKEND_UNAVAILABLE', 'BACKEND_UNAVAILABLE', /cannot serve/],
  [500, 'authorization', 'BACKEND_UNAVAILABLE', 'BACKEND_UNAVAILABLE', 'BACKEND_UNAVAILABLE', /cannot serve/],
  [501, undefined, 'BACKEND_UNAVAILABLE', 'BACKEND_UNAVAILABLE', 'BACKEND_UNAVAILABLE', /cannot serve/],
  [503, 'unavailable', 'BACKEND_UNAVAILABLE', 'BACKEND_UNAVAILABLE', 'BACKEND_UNAVAILABLE', /cannot serve/],
  [418, undefined, 'BACKEND_RESPONSE', 'BACKEND_RESPONSE', 'BACKEND_RESPONSE', /418/],
]

test.each(table)('%i, category %s', async (status, category, onLook, onWrap, onUnwrap, said) => {
  const { server } = subject.fake
  server.failNext(okmsError(status, category), Infinity, isAct)
  for (const [error, code] of [
    [await wrap(), onWrap],
    [await unwrap(), onUnwrap],
  ] as const) {
    expect(error.code).toBe(`ERR_${code}`)
    expect(error.message).toMatch(said)
  }
  server.failNext(okmsError(status, category), Infinity)
  expect((await look()).code).toBe(`ERR_${onLook}`)
})

describe('errors that need a closer look', () => {
  test('a code that arrives as a negative number is the same code', async () => {
    const code = 0x83030000 | (categories.authorization << 12) | 7 | 0
    expect(code).toBeLessThan(0)
    subject.fake.server.failNext({ status: 401, body: { error_code: code } }, Infinity)
    const error = await unwrap()
    expect(error.code).toBe('ERR_ACCESS_DENIED')
    expect(error.message).toContain(`error ${code + 2 ** 32} (authorization)`)
  })

  test.each([{ error_code: 1.5 }, { error_code: '50561025' }, { error_code: 0x0303f001 }, []])(
    'a code that nobody knows counts for nothing: %j',
    async (body) => {
      subject.fake.server.failNext({ status: 400, body }, Infinity, isAct)
      expect((await unwrap()).code).toBe('ERR_UNWRAP_AMBIGUOUS')
    },
  )

  test('an address that knows no keys at all is no missing key', async () => {
    for (const body of ['<html>404</html>', '', {}]) {
      subject.fake.server.failNext({ status: 404, body }, Infinity)
      expect((await unwrap()).code).toBe('ERR_BACKEND_RESPONSE')
    }
    subject.fake.server.fault = undefined
    const error = await failureOf(
      subject.open({ url: `${subject.fake.server.url}/api` }).currentKeyId(options),
    )
    expect(error.code).toBe('ERR_BACKEND_RESPONSE')
    expect(error.message).toContain('without /api')
  })

  test('an unknown domain, and a key of another domain, are not found', async () => {
    const okmsId = '00000000-0000-4000-8000-000000000000'
    expect((await failureOf(subject.open({ okmsId }).currentKeyId(options))).code).toBe('ERR_KEY_NOT_FOUND')
  })

  test('a client without a certificate of the domain is told so', async () => {
    subject.fake.clients.clear()
    expect((await unwrap()).code).toBe('ERR_LOGIN_REFUSED')
  })

  test.each(['get', 'encrypt', 'decrypt'])('%s that IAM does not allow is told apart', async (missing) => {
    const allowed = ['get', 'encrypt', 'decrypt'].filter((action) => action !== missing)
    subject.fake.clients.set('kmsplugin', allowed)
    const call = { get: look, encrypt: wrap, decrypt: unwrap }[missing]!
    const error = await call()
    expect(error.code).toBe('ERR_ACCESS_DENIED')
    expect(error.message).toContain(`serviceKey/encrypt, /decrypt and /get`)
  })

  test('the message has the request id for OVHcloud’s support, and nothing that the service says freely', async () => {
    const body = { error_id: 'hunter2', error_code: 0x03032001, errors: ['hunter2'], request_id: 'req-42' }
    subject.fake.server.failNext({ status: 500, body }, Infinity)
    const error = await unwrap()
    expect(error.message).toContain('request id req-42')
    expect(error.message).toContain('decrypt: status 500')
    subject.fake.server.failNext({ status: 500, body: { ...body, request_id: 'hunter2 canary' } }, Infinity)
    const second = await unwrap()
    for (const one of [error, second]) {
      expect(`${one.stack ?? ''}${JSON.stringify(one)}`).not.toContain('hunter2')
      expect(one.cause).toBeUndefined()
    }
  })
})
