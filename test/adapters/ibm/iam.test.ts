/** How an API key becomes a token, how long the token is used, and what is said when IAM gives none. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { asKmsError, type KmsError } from '../../../src/ports/errors.js'
import { DEK_BYTES, type KeyWrapper } from '../../../src/ports/key_wrapper.js'
import { ManualClock } from '../../doubles/manual_clock.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'
import { FakeServer } from '../../support/fakes/fake_server.js'
import { IbmSubject } from '../../support/ibm_subject.js'

const options = { deadlineMs: Infinity }
const HOUR_MS = 3_600_000

let subject: IbmSubject
let clock: ManualClock
let logger: RecordingLogger

beforeEach(async () => {
  subject = await IbmSubject.start()
  clock = new ManualClock()
  logger = new RecordingLogger()
})
afterEach(async () => subject.close())

const open = (change: Record<string, unknown> = {}): KeyWrapper => subject.open(change, { clock, logger })
const exchanges = (): number => subject.fake.iamRequests.length
const inIam = ({ url }: { readonly url: URL }) => url.pathname.startsWith('/identity/')
const inKms = ({ url }: { readonly url: URL }) => url.pathname.startsWith('/api/')

/** Both the plugin's time and that of the services. */
async function advance(ms: number): Promise<void> {
  subject.fake.nowMs += ms
  await clock.advance(ms)
}

async function failureOf(call: Promise<unknown>): Promise<KmsError> {
  return call.then(
    () => {
      throw new Error('it did not fail')
    },
    (error: unknown) => asKmsError(error),
  )
}

describe('a token of IAM', () => {
  test('is asked for as IBM documents it, and the API key is sent nowhere else', async () => {
    await open().currentKeyId(options)
    const [request] = subject.fake.iamRequests
    expect(request?.method).toBe('POST')
    expect(request?.headers['content-type']).toBe('application/x-www-form-urlencoded')
    const form = new URLSearchParams(request?.body.toString())
    expect(Object.fromEntries(form)).toEqual({
      grant_type: 'urn:ibm:params:oauth:grant-type:apikey',
      apikey: subject.apiKey,
    })
    for (const { headers, body, url } of subject.fake.kmsRequests) {
      expect(JSON.stringify([headers, body.toString(), url.href])).not.toContain(subject.apiKey)
    }
    expect(JSON.stringify(request?.headers)).not.toContain('Bearer')
  })

  test('is one for all who wait, and for all calls after them', async () => {
    const wrapper = open()
    await Promise.all(Array.from({ length: 20 }, async () => wrapper.currentKeyId(options)))
    await wrapper.wrap(Buffer.alloc(DEK_BYTES), options)
    expect(exchanges()).toBe(1)
  })

  test('is replaced in the background before it ends', async () => {
    const wrapper = open()
    await wrapper.currentKeyId(options)
    await advance(0.7 * HOUR_MS)
    expect(exchanges()).toBe(1)
    await advance(0.1 * HOUR_MS)
    await vi.waitFor(() => expect(exchanges()).toBe(2))
    await advance(0.5 * HOUR_MS)
    await wrapper.currentKeyId(options)
    expect(exchanges()).toBe(2)
  })

  test('is used to its end while IAM is out, and the outage is told', async () => {
    const wrapper = open()
    await wrapper.currentKeyId(options)
    subject.fake.server.failNext({ status: 503, body: '' }, Infinity, inIam)
    await advance(0.8 * HOUR_MS)
    await vi.waitFor(() =>
      expect(logger.texts('warn')).toEqual(['the token of IBM Cloud IAM could not be renewed']),
    )
    await wrapper.currentKeyId(options)
  })

  test('that has ended, as after a night in which the machine slept, is not used', async () => {
    const wrapper = open()
    await wrapper.currentKeyId(options)
    subject.fake.nowMs += HOUR_MS
    clock.suspend(HOUR_MS)
    await wrapper.currentKeyId(options)
    expect(exchanges()).toBe(2)
    expect(subject.fake.kmsRequests.length).toBe(2)
  })

  test.each([-86_400, 86_400, 31_536_000])(
    'holds as long as IAM says from now on, whatever time of day it is there: %i s',
    async (wallClockErrorS) => {
      subject.fake.iam.wallClockErrorS = wallClockErrorS
      const wrapper = open()
      await wrapper.currentKeyId(options)
      await advance(0.7 * HOUR_MS)
      await wrapper.currentKeyId(options)
      expect(exchanges()).toBe(1)
    },
  )

  test('that the KMS takes no more is replaced, and the call repeated once', async () => {
    const wrapper = open()
    await wrapper.currentKeyId(options)
    subject.fake.iam.endTokens()
    await wrapper.currentKeyId(options)
    expect(exchanges()).toBe(2)
    expect(subject.fake.kmsRequests.length).toBe(3)
  })

  test('that the KMS takes no more is replaced once for all calls under way', async () => {
    const wrapper = open()
    await wrapper.currentKeyId(options)
    subject.fake.iam.endTokens()
    await Promise.all(Array.from({ length: 30 }, async () => wrapper.currentKeyId(options)))
    expect(exchanges()).toBe(2)
  })

  test('is not fetched over and over for an API key that has no rights', async () => {
    subject.fake.iam.setRole(subject.apiKey, 'none')
    const wrapper = open()
    for (let i = 0; i < 5; i += 1) {
      const error = await failureOf(wrapper.currentKeyId(options))
      expect(error.code).toBe('ERR_ACCESS_DENIED')
      expect(error.message).toContain('role Reader')
    }
    expect(exchanges()).toBe(1)
    await advance(10_000)
    await failureOf(wrapper.currentKeyId(options))
    expect(exchanges()).toBe(2)
  })

  test('rights that were granted afterwards are seen at once', async () => {
    subject.fake.iam.setRole(subject.apiKey, 'none')
    const wrapper = open()
    await failureOf(wrapper.currentKeyId(options))
    subject.fake.iam.setRole(subject.apiKey, 'Reader')
    await wrapper.currentKeyId(options)
  })

  test('which even a fresh one is refused says what to look at', async () => {
    const wrapper = open()
    await wrapper.currentKeyId(options)
    subject.fake.server.failNext({ status: 401, body: '' }, Infinity, inKms)
    const error = await failureOf(wrapper.currentKeyId(options))
    expect(error.code).toBe('ERR_LOGIN_REFUSED')
    expect(error.message).toMatch(/tokenUrl.*url/)
    expect(subject.fake.kmsRequests.length).toBe(3)
  })

  test('is not kept after the end', async () => {
    const wrapper = open()
    await wrapper.currentKeyId(options)
    await wrapper.close()
    expect(clock.sleepers).toBe(0)
    expect((await failureOf(wrapper.currentKeyId(options))).code).toBe('ERR_SHUTTING_DOWN')
  })
})

describe('an API key that IAM does not know', () => {
  test('is not sent again and again, and at once when it was replaced', async () => {
    subject.fake.iam.deleteApiKey(subject.apiKey)
    const wrapper = open()
    for (let i = 0; i < 5; i += 1) {
      const error = await failureOf(wrapper.currentKeyId(options))
      expect(error.code).toBe('ERR_LOGIN_REFUSED')
      expect(error.message).toContain('BXNIM0415E')
      expect(error.message).toMatch(/request bnRkYzk-[0-9a-f]+/)
      expect(error.message).not.toContain(subject.apiKey)
    }
    expect(exchanges()).toBe(1)
    subject.files.write('api-key', subject.fake.iam.makeApiKey())
    await wrapper.currentKeyId(options)
    expect(exchanges()).toBe(2)
  })

  test('is tried again later: somebody may have unlocked it', async () => {
    subject.fake.iam.deleteApiKey(subject.apiKey)
    const wrapper = open()
    await failureOf(wrapper.currentKeyId(options))
    await advance(5000)
    await failureOf(wrapper.currentKeyId(options))
    expect(exchanges()).toBe(2)
  })

  test('in the file of IBM’s plug-in is found there', async () => {
    const path = subject.files.write('ibm.yaml', `SERVER_CONFIG:\n  API_KEY: "${subject.apiKey}"\n`)
    await open({ apiKey: `ibm-config:${path}` }).currentKeyId(options)
  })
})

describe('an IAM that gives no token is named, not the KMS', () => {
  test.each([
    [400, 'ERR_LOGIN_REFUSED', /API key/],
    [401, 'ERR_LOGIN_REFUSED', /API key/],
    [403, 'ERR_LOGIN_REFUSED', /API key/],
    [404, 'ERR_CONFIG_INVALID', /tokenUrl/],
    [429, 'ERR_BACKEND_THROTTLED', /rate/],
    [500, 'ERR_BACKEND_UNAVAILABLE', /cannot give tokens/],
    [503, 'ERR_BACKEND_UNAVAILABLE', /cannot give tokens/],
    [418, 'ERR_BACKEND_RESPONSE', /otherwise/],
  ])('%i', async (status, code, said) => {
    const iam = await FakeServer.start(() => ({
      status,
      headers: { 'retry-after': '4' },
      body: { errorCode: 'hunter2 canary', errorMessage: 'hunter2' },
    }))
    try {
      const error = await failureOf(open({ tokenUrl: `${iam.url}/identity/token` }).currentKeyId(options))
      expect(error.code).toBe(code)
      expect(error.message).toMatch(said)
      expect(error.message).toContain(`IBM Cloud IAM at ${iam.url}`)
      expect(error.message).not.toContain('hunter2')
      expect(error.retryAfterMs).toBe(4000)
      expect(subject.fake.kmsRequests).toEqual([])
    } finally {
      await iam.close()
    }
  })

  test.each([400, 401, 403])(
    'a proxy that says %i in its place holds nothing against the API key',
    async (status) => {
      const wrapper = open()
      subject.fake.server.failNext({ status, body: '<html>no upstream</html>' }, 2, inIam)
      for (let i = 0; i < 2; i += 1) {
        const error = await failureOf(wrapper.currentKeyId(options))
        expect([error.code, error.fault]).toEqual(['ERR_BACKEND_RESPONSE', 'backend'])
      }
      await wrapper.currentKeyId(options)
      expect(exchanges()).toBe(3)
    },
  )

  test.each([
    ['no token', { expires_in: 3600 }],
    ['a token that is none', { access_token: 'a\r\nb', expires_in: 3600 }],
    ['no lifetime', { access_token: 'a.b.c' }],
    ['a lifetime that is over', { access_token: 'a.b.c', expires_in: 0 }],
    ['a lifetime in words', { access_token: 'a.b.c', expires_in: '3600' }],
  ])('with %s', async (_name, body) => {
    subject.fake.server.failNext({ status: 200, body }, Infinity, inIam)
    expect((await failureOf(open().currentKeyId(options))).code).toBe('ERR_BACKEND_RESPONSE')
    expect(subject.fake.kmsRequests).toEqual([])
  })

  test('and never gets a DEK or a token of ours, nor the KMS the API key, when they are two hosts', async () => {
    const iam = await FakeServer.start((request) => subject.fake.iam.answer(request))
    try {
      const wrapper = open({ tokenUrl: `${iam.url}/identity/token` })
      await wrapper.wrap(Buffer.alloc(DEK_BYTES, 0x41), options)
      expect(iam.requests.map(({ url }) => url.pathname)).toEqual(['/identity/token'])
      expect(iam.requests[0]?.headers['authorization']).toBeUndefined()
      const said = JSON.stringify(
        subject.fake.server.requests.map(({ headers, body, url }) => [headers, body.toString(), url.href]),
      )
      expect(said).not.toContain(subject.apiKey)
    } finally {
      await iam.close()
    }
  })
})
