/** What is told of tokens and requests, for metrics? */
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { CredentialEvent, HttpRequestEvent } from '../../../src/ports/metrics.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { Bench } from './opened.js'

/** The fake counts the seconds that have gone by since. */
const AN_HOUR: unknown = expect.closeTo(3_600_000, -4)

let bench: Bench
let credentials: [CredentialEvent, number | undefined][]
let requests: HttpRequestEvent[]
beforeEach(async () => {
  bench = await Bench.start({ ttl: 3600 })
  credentials = []
  requests = []
})
afterEach(async () => bench.close())

function open(auth?: Record<string, unknown>) {
  const deps = {
    onCredential: (how: CredentialEvent, lifetimeMs: number | undefined) => {
      credentials.push([how, lifetimeMs])
    },
    onHttpRequest: (request: HttpRequestEvent) => {
      requests.push(request)
    },
  }
  return bench.open(auth === undefined ? { deps } : { auth, deps })
}

test('a login, each renewal, and the login when a renewal is refused, each with how long the token holds', async () => {
  await open().currentKeyId(bench.options)
  expect(credentials).toEqual([['login', AN_HOUR]])
  await bench.passUntilAsked(1_800_000, 'POST auth/token/renew-self')
  expect(credentials.slice(1)).toEqual([['renewal', AN_HOUR]])
  bench.fake.tokens.revokeAll()
  bench.takeAsked()
  await bench.passUntilAsked(1_800_000, 'POST auth/approle/login')
  expect(credentials.slice(2)).toEqual([['login', AN_HOUR]])
})

test('a token without end', async () => {
  const root = bench.token({ policies: ['root'], ttl: 0 })
  await open({ method: 'token', token: bench.file('token', root.id) }).currentKeyId(bench.options)
  expect(credentials).toEqual([['login', undefined]])
})

test('a login that is refused tells nothing of a token', async () => {
  const auth = { method: 'approle', roleId: 'role-id', secretId: bench.file('wrong', 'wrong') }
  expect(await outcomeOf(open(auth).currentKeyId(bench.options))).toBe('ERR_LOGIN_REFUSED')
  expect(credentials).toEqual([])
})

test('every request, answered or not, by a path that the config fixes', async () => {
  const wrapper = open()
  const wrapped = await wrapper.wrap(Buffer.alloc(32, 7), bench.options)
  await wrapper.unwrap(wrapped, bench.options)
  const seen = requests.map(({ method, path, status }) => `${method} ${path} ${String(status)}`)
  expect(seen).toEqual([
    'POST /v1/auth/approle/login 200',
    'GET /v1/transit/keys/kek 200',
    'POST /v1/transit/encrypt/kek 200',
    'GET /v1/transit/keys/kek 200',
    'POST /v1/transit/decrypt/kek 200',
  ])
  requests.length = 0
  await bench.fake.close()
  expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('ERR_BACKEND_UNREACHABLE')
  expect(requests.map(({ path, status }) => [path, status])).toEqual([['/v1/transit/keys/kek', undefined]])
  expect(requests[0]?.seconds).toBeGreaterThanOrEqual(0)
})
