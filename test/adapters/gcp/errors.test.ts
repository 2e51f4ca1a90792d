import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { FakeAnswer } from '../../support/fakes/fake_server.js'
import { KEY_NAME } from '../../support/fakes/gcp.js'
import { googleError, reasonError } from '../../support/fakes/gcp_errors.js'
import { ACCOUNT } from '../../support/gcp.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { failureOf, patiently, useScene } from './opened.js'

const scene = useScene()
const dek = randomBytes(32)

describe('a version of the key that is not enabled stops wrap, unwrap and the look at the key, and says what to do', () => {
  test.each([
    ['DISABLED', 'ERR_KEY_DISABLED', 'versions enable'],
    ['DESTROY_SCHEDULED', 'ERR_KEY_PENDING_DELETION', 'versions restore'],
    ['DESTROYED', 'ERR_KEY_NOT_FOUND', 'destroyed for ever'],
    ['PENDING_EXTERNAL_DESTRUCTION', 'ERR_KEY_NOT_FOUND', 'external key manager'],
    ['EXTERNAL_DESTRUCTION_FAILED', 'ERR_KEY_NOT_FOUND', 'external key manager'],
    ['PENDING_GENERATION', 'ERR_BACKEND_UNAVAILABLE', 'in a moment'],
    ['PENDING_IMPORT', 'ERR_KEY_UNUSABLE', 'import'],
    ['IMPORT_FAILED', 'ERR_KEY_UNUSABLE', 'primary'],
    ['GENERATION_FAILED', 'ERR_KEY_UNUSABLE', 'primary'],
    ['A_NEW_STATE', 'ERR_KEY_UNUSABLE', 'console'],
  ])('%s', async (state, code, whatToDo) => {
    const wrapper = scene.open()
    const wrapped = await wrapper.wrap(dek, patiently())
    scene.fake.key.setState(1, state)
    const calls = [
      async () => wrapper.wrap(dek, patiently()),
      async () => wrapper.unwrap(wrapped, patiently()),
      async () => wrapper.currentKeyId(patiently()),
    ]
    for (const call of calls) {
      const error = await failureOf(call())
      expect(error.code).toBe(code)
      expect(error.message).toContain(whatToDo)
      expect(error.message).toContain('cryptoKeyVersions/1')
    }
  })

  test('an old version that was disabled does not stop what is new', async () => {
    const wrapper = scene.open()
    const old = await wrapper.wrap(dek, patiently())
    scene.fake.key.rotate()
    scene.fake.key.setState(1, 'DISABLED')
    expect(await outcomeOf(wrapper.wrap(dek, patiently()))).toBe('OK')
    expect(await outcomeOf(wrapper.unwrap(old, patiently()))).toBe('ERR_KEY_DISABLED')
  })
})

describe('the key', () => {
  test('that has no primary version is named as disabled', async () => {
    scene.fake.key.primary = 0
    const error = await failureOf(scene.open().currentKeyId(patiently()))
    expect(error.code).toBe('ERR_KEY_DISABLED')
    expect(error.message).toContain('set-primary-version')
  })

  test.each(['ASYMMETRIC_SIGN', 'RAW_ENCRYPT_DECRYPT', 'MAC'])(
    'with the purpose %s is unusable',
    async (purpose) => {
      scene.fake.key.purpose = purpose
      expect((await failureOf(scene.open().wrap(dek, patiently()))).code).toBe('ERR_KEY_UNUSABLE')
    },
  )

  test('that is not there is not found', async () => {
    const wrapper = scene.open()
    const wrapped = await wrapper.wrap(dek, patiently())
    scene.fake.key.isDeleted = true
    expect((await failureOf(wrapper.unwrap(wrapped, patiently()))).code).toBe('ERR_KEY_NOT_FOUND')
    expect((await failureOf(wrapper.currentKeyId(patiently()))).code).toBe('ERR_KEY_NOT_FOUND')
  })

  test.each(['cryptoKeys.get', 'cryptoKeyVersions.useToEncrypt', 'cryptoKeyVersions.useToDecrypt'])(
    'that denies cloudkms.%s names the right that is missing',
    async (permission) => {
      const wrapper = scene.open()
      const wrapped = await wrapper.wrap(dek, patiently())
      scene.fake.denied.add(`${ACCOUNT} cloudkms.${permission}`)
      const calls = [
        wrapper.currentKeyId(patiently()),
        wrapper.wrap(dek, patiently()),
        wrapper.unwrap(wrapped, patiently()),
      ]
      const failures = (await Promise.allSettled(calls)).filter(({ status }) => status === 'rejected')
      expect(failures).toHaveLength(1)
      const [failure] = failures as PromiseRejectedResult[]
      expect(failure?.reason).toMatchObject({ code: 'ERR_ACCESS_DENIED' })
      expect(String(failure?.reason)).toContain(`cloudkms.${permission} on ${KEY_NAME}`)
    },
  )
})

describe('an answer of Cloud KMS', () => {
  const rows: readonly (readonly [string, FakeAnswer, string, RegExp])[] = [
    [
      'no API',
      reasonError(403, 'PERMISSION_DENIED', 'SERVICE_DISABLED'),
      'ERR_ACCESS_DENIED',
      /services enable/,
    ],
    ['no billing', reasonError(403, 'PERMISSION_DENIED', 'BILLING_DISABLED'), 'ERR_ACCESS_DENIED', /billing/],
    ['no project', reasonError(403, 'PERMISSION_DENIED', 'CONSUMER_INVALID'), 'ERR_ACCESS_DENIED', /project/],
    [
      'no scope',
      reasonError(403, 'PERMISSION_DENIED', 'ACCESS_TOKEN_SCOPE_INSUFFICIENT'),
      'ERR_ACCESS_DENIED',
      /scope/,
    ],
    [
      'a perimeter',
      reasonError(403, 'PERMISSION_DENIED', 'SECURITY_POLICY_VIOLATED'),
      'ERR_ACCESS_DENIED',
      /VPC/,
    ],
    [
      'no quota project',
      reasonError(403, 'PERMISSION_DENIED', 'USER_PROJECT_DENIED'),
      'ERR_ACCESS_DENIED',
      /quota/,
    ],
    [
      'a reason of Object',
      reasonError(403, 'PERMISSION_DENIED', 'constructor'),
      'ERR_ACCESS_DENIED',
      /denies cloudkms/,
    ],
    ['out', googleError(503, 'UNAVAILABLE', 'x'), 'ERR_BACKEND_UNAVAILABLE', /cannot serve/],
    ['broken', googleError(500, 'INTERNAL', 'x'), 'ERR_BACKEND_UNAVAILABLE', /error of its own/],
    ['slow', googleError(504, 'DEADLINE_EXCEEDED', 'x'), 'ERR_BACKEND_UNAVAILABLE', /slow/],
    ['a conflict', googleError(409, 'ABORTED', 'x'), 'ERR_BACKEND_UNAVAILABLE', /broke/],
    ['a quota', googleError(429, 'RESOURCE_EXHAUSTED', 'x'), 'ERR_BACKEND_THROTTLED', /quota/],
    ['a gateway’s quota', { status: 429, body: 'slow down' }, 'ERR_BACKEND_THROTTLED', /rate/],
    ['a page of a proxy', { status: 403, body: '<html>no</html>' }, 'ERR_BACKEND_RESPONSE', /proxy/],
    ['a wrong address', { status: 404, body: '<html>no</html>' }, 'ERR_BACKEND_RESPONSE', /404/],
    ['a status of Object', googleError(400, 'constructor', 'x'), 'ERR_BACKEND_RESPONSE', /400/],
    ['an unheard-of status', googleError(400, 'OUT_OF_RANGE', 'x'), 'ERR_BACKEND_RESPONSE', /400/],
    ['another precondition', googleError(400, 'FAILED_PRECONDITION', 'x'), 'ERR_KEY_UNUSABLE', /check/],
    ['no such argument', googleError(400, 'INVALID_ARGUMENT', 'x'), 'ERR_KEY_UNUSABLE', /purpose/],
  ]

  test.each(rows)('that says %s', async (_name, answer, code, text) => {
    const wrapper = scene.open()
    await wrapper.currentKeyId(patiently())
    scene.fake.server.failNext(answer)
    const error = await failureOf(wrapper.wrap(dek, patiently()))
    expect(error.code).toBe(code)
    expect(error.message).toMatch(text)
  })

  test('never has its own text quoted: it may hold what was sent', async () => {
    const wrapper = scene.open()
    await wrapper.currentKeyId(patiently())
    scene.fake.server.failNext(googleError(400, 'INVALID_ARGUMENT', `bad value ${dek.toString('base64')}`))
    const error = await failureOf(wrapper.wrap(dek, patiently()))
    expect(error.message).not.toContain('bad value')
    expect(error.cause).toBeUndefined()
  })

  test('that says in its details how long it wants to be left alone is left alone so long', async () => {
    const wrapper = scene.open()
    await wrapper.currentKeyId(patiently())
    const info = { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '1.5s' }
    scene.fake.server.failNext(googleError(429, 'RESOURCE_EXHAUSTED', 'x', [info]))
    expect((await failureOf(wrapper.wrap(dek, patiently()))).retryAfterMs).toBe(1500)
  })

  test('about a state is read from the violation where the text says nothing', async () => {
    const wrapper = scene.open()
    await wrapper.currentKeyId(patiently())
    const violations = [{ type: 'KEY_DESTROY_SCHEDULED', subject: `${KEY_NAME}/cryptoKeyVersions/7` }]
    const failure = { '@type': 'type.googleapis.com/google.rpc.PreconditionFailure', violations }
    scene.fake.server.failNext(googleError(400, 'FAILED_PRECONDITION', 'no.', [failure]))
    const error = await failureOf(wrapper.wrap(dek, patiently()))
    expect(error.code).toBe('ERR_KEY_PENDING_DELETION')
    expect(error.message).toContain('cryptoKeyVersions/7')
  })

  test('to an unwrap that is about its arguments is bad data, in whichever words', async () => {
    const wrapper = scene.open()
    const wrapped = await wrapper.wrap(dek, patiently())
    const words = 'Decryption failed: verify that the ciphertext is correct.'
    scene.fake.server.failNext(googleError(400, 'INVALID_ARGUMENT', words))
    expect(await outcomeOf(wrapper.unwrap(wrapped, patiently()))).toBe('ERR_DECRYPTION_FAILED')
  })
})
