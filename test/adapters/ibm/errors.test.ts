/** Every error of the service, as IBM documents it, and what it becomes. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { asKmsError, type KmsError } from '../../../src/ports/errors.js'
import { DEK_BYTES, type KeyWrapper, type WrappedDek } from '../../../src/ports/key_wrapper.js'
import { kmsError } from '../../support/fakes/ibm_kms.js'
import { IbmSubject } from '../../support/ibm_subject.js'

const options = { deadlineMs: Infinity }
const dek = Buffer.alloc(DEK_BYTES, 0x5a)

let subject: IbmSubject
let wrapper: KeyWrapper
let wrapped: WrappedDek

beforeEach(async () => {
  subject = await IbmSubject.start()
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

type Row = readonly [status: number, reason: string | undefined, wrap: string, unwrap: string, said: RegExp]

const table: readonly Row[] = [
  [400, 'BAD_BODY_ERR', 'ERR_BACKEND_RESPONSE', 'ERR_UNWRAP_AMBIGUOUS', /BAD_BODY_ERR/],
  [400, 'KEY_ROOT_REQ_ERR', 'ERR_KEY_UNUSABLE', 'ERR_KEY_UNUSABLE', /only root keys wrap/],
  [400, 'KEY_EXPIRED_ERR', 'ERR_KEY_UNUSABLE', 'ERR_KEY_UNUSABLE', /expired/],
  [400, 'BEARER_SUB_EXTRACTION_ERR', 'ERR_LOGIN_REFUSED', 'ERR_LOGIN_REFUSED', /tokenUrl/],
  [401, undefined, 'ERR_LOGIN_REFUSED', 'ERR_LOGIN_REFUSED', /tokenUrl/],
  [403, 'CONFIG_RULE_CONFLICT_ERR', 'ERR_ACCESS_DENIED', 'ERR_ACCESS_DENIED', /network policy/],
  [403, undefined, 'ERR_ACCESS_DENIED', 'ERR_ACCESS_DENIED', /Reader/],
  [404, 'KEY_NOT_FOUND_ERR', 'ERR_KEY_NOT_FOUND', 'ERR_KEY_NOT_FOUND', /keyRing/],
  [409, 'KEY_ACTION_INVALID_STATE_ERR', 'ERR_KEY_DISABLED', 'ERR_KEY_DISABLED', /key enable/],
  [409, ' KEY_ACTION_INVALID_STATE_ERR', 'ERR_KEY_DISABLED', 'ERR_KEY_DISABLED', /key enable/],
  [409, 'REQ_TOO_EARLY_ERR', 'ERR_BACKEND_UNAVAILABLE', 'ERR_BACKEND_UNAVAILABLE', /rest/],
  [410, 'KEY_DELETED_ERR', 'ERR_KEY_PENDING_DELETION', 'ERR_KEY_PENDING_DELETION', /30 days/],
  [422, 'UNPROCESSABLE_CIPHERTEXT_ERR', 'ERR_DECRYPTION_FAILED', 'ERR_DECRYPTION_FAILED', /altered/],
  [422, 'KEY_INVALID_STATE_ERR', 'ERR_KEY_UNUSABLE', 'ERR_KEY_UNUSABLE', /not active/],
  [422, 'INVALID_SIG_EXP_ERR', 'ERR_BACKEND_RESPONSE', 'ERR_UNWRAP_AMBIGUOUS', /INVALID_SIG_EXP_ERR/],
  [429, undefined, 'ERR_BACKEND_THROTTLED', 'ERR_BACKEND_THROTTLED', /rate/],
  [500, 'INCOMPLETE_METADATA_ERR', 'ERR_KEY_UNUSABLE', 'ERR_KEY_UNUSABLE', /support/],
  [500, undefined, 'ERR_BACKEND_UNAVAILABLE', 'ERR_BACKEND_UNAVAILABLE', /cannot serve/],
  [501, undefined, 'ERR_BACKEND_UNAVAILABLE', 'ERR_BACKEND_UNAVAILABLE', /cannot serve/],
  [503, undefined, 'ERR_BACKEND_UNAVAILABLE', 'ERR_BACKEND_UNAVAILABLE', /cannot serve/],
  [418, undefined, 'ERR_BACKEND_RESPONSE', 'ERR_BACKEND_RESPONSE', /418/],
]

test.each(table)('%i %s', async (status, reason, onWrap, onUnwrap, said) => {
  const isKms = ({ url }: { readonly url: URL }) => url.pathname.startsWith('/api/')
  subject.fake.server.failNext(kmsError(status, 'Error', reason), Infinity, isKms)
  for (const [error, code] of [
    [await wrap(), onWrap],
    [await unwrap(), onUnwrap],
  ] as const) {
    expect(error.code).toBe(code)
    expect(error.message).toMatch(said)
  }
})

describe('errors that need a closer look', () => {
  test('a ciphertext that the service does not even decode is bad data; bad additional data is not', async () => {
    const invalid = (field: string) => kmsError(400, 'Bad Request', 'INVALID_FIELD_ERR', 'must be', field)
    subject.fake.server.failNext(invalid('ciphertext'), Infinity)
    expect((await unwrap()).code).toBe('ERR_DECRYPTION_FAILED')
    expect((await wrap()).code).toBe('ERR_BACKEND_RESPONSE')
    subject.fake.server.failNext(invalid('aad'), Infinity)
    expect((await unwrap()).code).toBe('ERR_UNWRAP_AMBIGUOUS')
  })

  test('after a change of the key the service is left alone for half a minute, or as long as it says', async () => {
    const tooEarly = kmsError(409, 'Conflict', 'REQ_TOO_EARLY_ERR')
    subject.fake.server.failNext(tooEarly, 1)
    expect((await unwrap()).retryAfterMs).toBe(30_000)
    subject.fake.server.failNext({ ...tooEarly, headers: { 'retry-after': '3' } }, 1)
    expect((await unwrap()).retryAfterMs).toBe(3000)
  })

  test('an instance that the service does not take names the setting', async () => {
    const other = subject.open({ instanceId: 'not-a-uuid' })
    const error = await failureOf(other.currentKeyId(options))
    expect(error.code).toBe('ERR_CONFIG_INVALID')
    expect(error.message).toContain('instanceId')
  })

  test('an address that knows no keys at all is no missing key', async () => {
    for (const body of ['<html>404</html>', '', {}]) {
      subject.fake.server.failNext({ status: 404, body }, Infinity)
      expect((await unwrap()).code).toBe('ERR_BACKEND_RESPONSE')
    }
    subject.fake.server.fault = undefined
    const other = subject.open({ url: `${subject.fake.server.url}/wrong` })
    const error = await failureOf(other.currentKeyId(options))
    expect(error.code).toBe('ERR_BACKEND_RESPONSE')
    expect(error.message).toContain('without /api/v2')
  })

  test('the message has what IBM’s support asks for, and nothing that the service says freely', async () => {
    subject.fake.server.failNext(
      kmsError(500, 'hunter2 canary', 'hunter2 canary', 'hunter2 canary'),
      Infinity,
    )
    const error = await unwrap()
    const sent = subject.fake.kmsRequests.at(-1)?.headers['correlation-id']
    expect(sent).toMatch(/^[0-9a-f-]{36}$/)
    expect(error.message).toContain(`correlation id ${String(sent)}`)
    expect(error.message).toContain('unwrap: status 500')
    expect(`${error.stack ?? ''}${JSON.stringify(error)}`).not.toContain('hunter2')
    expect(error.cause).toBeUndefined()
  })
})
