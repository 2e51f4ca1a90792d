/** How long does a token hold, who renews it, and what does a 403 mean? */
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { asKmsError } from '../../../src/ports/errors.js'
import { VaultToken } from '../../../src/adapters/backends/vault/token.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { Bench } from './opened.js'

const HOUR_MS = 3_600_000
const LOGIN = 'POST auth/approle/login'
const RENEW = 'POST auth/token/renew-self'
const LOOKUP = 'GET auth/token/lookup-self'
const REVOKE = 'POST auth/token/revoke-self'
const READ = 'GET transit/keys/kek'

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

describe('a token of our own login', () => {
  test('is renewed at half of its life, in the background', async () => {
    const wrapper = bench.open()
    await wrapper.currentKeyId(bench.options)
    bench.takeAsked()
    await bench.pass(HOUR_MS / 2 - 1000)
    expect(bench.takeAsked()).toEqual([])
    await bench.passUntilAsked(1000, RENEW)
    expect(bench.takeAsked()).toEqual([RENEW])
    await bench.passUntilAsked(HOUR_MS / 2, RENEW)
    await wrapper.currentKeyId(bench.options)
    expect(bench.takeAsked()).toEqual([RENEW, READ])
  })

  test('that has reached its maximum is replaced by a login before it ends, and nobody notices', async () => {
    bench.login('approle', 'role-id', ['the-secret-id'], { ttl: 3600, maxTtl: 3600 })
    const wrapper = bench.open()
    await wrapper.currentKeyId(bench.options)
    bench.takeAsked()
    await bench.passUntilAsked(HOUR_MS / 2, LOGIN)
    expect(bench.takeAsked()).toEqual([RENEW, LOGIN])
    await bench.pass(HOUR_MS / 2 - 1)
    expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('OK')
  })

  test.each([
    ['is not renewable', { isRenewable: false }],
    ['is a batch token', { type: 'batch' }],
  ] as const)('that %s is replaced by a login at half of its life', async (_name, token) => {
    bench.login('approle', 'role-id', ['the-secret-id'], token)
    await bench.open().currentKeyId(bench.options)
    bench.takeAsked()
    await bench.passUntilAsked(HOUR_MS / 2, LOGIN)
    expect(bench.takeAsked()).toEqual([LOGIN])
  })

  test('with a period is renewed for ever', async () => {
    bench.login('approle', 'role-id', ['the-secret-id'], { period: 600 })
    const wrapper = bench.open()
    await wrapper.currentKeyId(bench.options)
    for (let i = 0; i < 20; i += 1) {
      bench.takeAsked()
      await bench.passUntilAsked(300_000, RENEW)
      expect(bench.takeAsked()).toEqual([RENEW])
    }
    expect(bench.fake.tokens.ids).toHaveLength(1)
  })

  test('without end is never renewed', async () => {
    bench.login('approle', 'role-id', ['the-secret-id'], { ttl: 0 })
    await bench.open().currentKeyId(bench.options)
    expect(bench.clock.sleepers).toBe(0)
  })

  test('is not given up while the server is sealed at half of its life: it is tried again soon', async () => {
    const wrapper = bench.open()
    await wrapper.currentKeyId(bench.options)
    bench.fake.isSealed = true
    bench.takeAsked()
    await bench.passUntilAsked(HOUR_MS / 2, RENEW)
    bench.takeAsked()
    await bench.passUntilAsked(1000, RENEW)
    bench.fake.isSealed = false
    bench.takeAsked()
    await bench.passUntilAsked(2000, RENEW)
    expect(bench.takeAsked()).toEqual([RENEW])
    expect(bench.logger.texts('warn')).toEqual(Array(2).fill('the Vault token could not be renewed'))
  })

  test('whose renewal is refused is replaced at once', async () => {
    await bench.open().currentKeyId(bench.options)
    bench.fake.tokens.revokeAll()
    bench.takeAsked()
    await bench.passUntilAsked(HOUR_MS / 2, LOGIN)
    expect(bench.takeAsked()).toEqual([RENEW, LOGIN])
  })

  test('whose renewal fails with a 500, as after a change of its policies, is replaced at once', async () => {
    await bench.open().currentKeyId(bench.options)
    const answer = {
      status: 500,
      body: { errors: ['1 error occurred:\n\t* policies have changed, not renewing\n\n'] },
    }
    bench.fake.server.failNext(answer, 1, ({ url }) => url.pathname.endsWith('renew-self'))
    bench.takeAsked()
    await bench.passUntilAsked(HOUR_MS / 2, LOGIN)
    expect(bench.takeAsked()).toEqual([RENEW, LOGIN])
  })

  test('that was revoked costs one more login and nobody notices', async () => {
    const wrapper = bench.open()
    await wrapper.currentKeyId(bench.options)
    bench.fake.tokens.revokeAll()
    bench.takeAsked()
    expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('OK')
    expect(bench.takeAsked()).toEqual([READ, LOGIN, READ])
  })

  test('that was revoked while 64 calls are under way costs one login for all', async () => {
    const wrapper = bench.open()
    await wrapper.currentKeyId(bench.options)
    bench.fake.tokens.revokeAll()
    bench.takeAsked()
    await Promise.all(Array.from({ length: 64 }, async () => wrapper.currentKeyId(bench.options)))
    expect(bench.takeAsked().filter((path) => path === LOGIN)).toHaveLength(1)
  })

  test('that the policy forbids a path is told from one that is not valid, and logins are not repeated for it', async () => {
    bench.fake.policies.set('plugin', {})
    const wrapper = bench.open()
    expect(await failureOf(wrapper.currentKeyId(bench.options))).toMatch(
      /^ERR_ACCESS_DENIED .*transit\/keys\/kek/,
    )
    expect(bench.takeAsked()).toEqual([LOGIN, READ, LOGIN, READ, LOOKUP])
    for (let i = 0; i < 5; i += 1) {
      expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('ERR_ACCESS_DENIED')
      await bench.pass(1000)
    }
    expect(bench.takeAsked()).toEqual(Array(5).fill([READ, LOOKUP]).flat())
    // A role that was given other policies shows in new tokens only.
    await bench.pass(10_000)
    bench.fake.policies.set('better', { 'transit/keys/kek': ['read'] })
    bench.login('approle', 'role-id', ['the-secret-id'], { policies: ['default', 'better'] })
    expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('OK')
  })

  test('a server that forgets each token at once is asked again by the core, not by us', async () => {
    const wrapper = bench.open()
    bench.fake.server.fault = ({ url }) => {
      if (!url.pathname.endsWith('/login')) bench.fake.tokens.revokeAll()
      return undefined
    }
    const failure = await failureOf(wrapper.currentKeyId(bench.options))
    expect(failure).toMatch(/^ERR_CREDENTIALS_EXPIRED /)
    expect(bench.takeAsked()).toEqual([LOGIN, READ, LOGIN, READ, LOOKUP])
    await failureOf(wrapper.currentKeyId(bench.options))
    expect(bench.takeAsked()).toEqual([READ, LOOKUP])
    bench.fake.server.fault = undefined
    await bench.pass(10_000)
    expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('OK')
  })

  test('of a role without the policy default does not lead to a login with each call', async () => {
    bench.login('approle', 'role-id', ['the-secret-id'], { policies: [] })
    const wrapper = bench.open()
    for (let i = 0; i < 5; i += 1) {
      expect(await failureOf(wrapper.currentKeyId(bench.options))).toMatch(/lookup-self/)
    }
    expect(bench.takeAsked().filter((path) => path === LOGIN)).toHaveLength(2)
  })

  test('ends with the plugin: it is revoked, and no timer is left', async () => {
    const wrapper = bench.open()
    await wrapper.currentKeyId(bench.options)
    expect(bench.fake.tokens.alive).toHaveLength(1)
    bench.takeAsked()
    await Promise.all([wrapper.close(), wrapper.close()])
    expect(bench.takeAsked()).toEqual([REVOKE])
    expect(bench.fake.tokens.alive).toEqual([])
    expect(bench.clock.sleepers).toBe(0)
  })

  test.each(['stall', 'reset', { status: 503, body: '' }] as const)(
    'a server that does not hear of the end does not hold it up: %j',
    async (fault) => {
      const wrapper = bench.open()
      await wrapper.currentKeyId(bench.options)
      bench.fake.server.failNext(fault, Infinity)
      await wrapper.close()
      expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('ERR_SHUTTING_DOWN')
    },
  )

  test.each([LOGIN, READ])(
    'a call that waits for the answer to %s when the plugin stops ends at once',
    async (path) => {
      const wrapper = bench.open()
      bench.fake.server.failNext('stall', Infinity, ({ url }) =>
        path.endsWith(url.pathname.slice('/v1/'.length)),
      )
      const call = outcomeOf(wrapper.currentKeyId(bench.options))
      await bench.until(() => bench.fake.asked.includes(path))
      await wrapper.close()
      expect(await call).toBe('ERR_SHUTTING_DOWN')
      expect(bench.clock.sleepers).toBe(0)
    },
  )

  test('nothing is sent at the end where nobody logged in, and a batch token is left to itself', async () => {
    await bench.open().close()
    bench.login('approle', 'role-id', ['the-secret-id'], { type: 'batch' })
    const wrapper = bench.open()
    await wrapper.currentKeyId(bench.options)
    await wrapper.close()
    expect(bench.takeAsked()).toEqual([LOGIN, READ])
  })
})

describe('a token that somebody gives us', () => {
  const given = (text: string) => ({ auth: { method: 'token', token: bench.file('token', `${text}\n`) } })

  test('is looked up once, used, never revoked, and works from the environment as well', async () => {
    const { id } = bench.token()
    const wrapper = bench.open(given(id))
    await wrapper.currentKeyId(bench.options)
    await wrapper.currentKeyId(bench.options)
    await wrapper.close()
    expect(bench.takeAsked()).toEqual([LOOKUP, READ, READ])
    const other = bench.open({ auth: { method: 'token', token: 'env:TOKEN' }, deps: { env: { TOKEN: id } } })
    expect(await outcomeOf(other.currentKeyId(bench.options))).toBe('OK')
  })

  test('that is periodic is renewed at half of what is left of it', async () => {
    const { id } = bench.token({ period: 600 })
    bench.fake.advance(200_000)
    const wrapper = bench.open(given(id))
    await wrapper.currentKeyId(bench.options)
    bench.takeAsked()
    await bench.passUntilAsked(200_000, RENEW)
    bench.takeAsked()
    await bench.passUntilAsked(300_000, RENEW)
    expect(bench.takeAsked()).toEqual([RENEW])
    expect(bench.logger.lines).toEqual([])
  })

  test('that cannot be renewed works to its end, and the log says when that is', async () => {
    const { id } = bench.token({ ttl: 600, isRenewable: false })
    const wrapper = bench.open(given(id))
    await wrapper.currentKeyId(bench.options)
    bench.takeAsked()
    await bench.passUntilAsked(300_000, LOOKUP)
    expect(bench.logger.lines).toEqual([
      {
        level: 'warn',
        text: 'the Vault token cannot be renewed any more; replace it before it ends',
        fields: { seconds: expect.any(Number) as number },
      },
    ])
    await bench.pass(140_000)
    expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('OK')
  })

  test('that has no end, as the root token, needs no timer', async () => {
    const { id } = bench.token({ policies: ['root'], ttl: 0 })
    await bench.open(given(id)).currentKeyId(bench.options)
    expect(bench.clock.sleepers).toBe(0)
  })

  test('that is replaced in its file is used from the next call on, before the old one ends', async () => {
    const wrapper = bench.open(given(bench.token().id))
    await wrapper.currentKeyId(bench.options)
    const next = bench.token()
    bench.file('token', next.id)
    await wrapper.currentKeyId(bench.options)
    expect(bench.fake.server.requests.at(-1)?.headers['x-vault-token']).toBe(next.id)
  })

  test('whose file is gone for a moment is used on', async () => {
    const { id } = bench.token()
    const wrapper = bench.open(given(id))
    await wrapper.currentKeyId(bench.options)
    bench.file('token', '')
    expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('OK')
  })

  test('that is wrong or revoked is refused until the file has another, which is then used at once', async () => {
    const wrapper = bench.open(given('s.wrong-token'))
    expect(await failureOf(wrapper.currentKeyId(bench.options))).toMatch(/^ERR_LOGIN_REFUSED .*\/token/)
    bench.file('token', bench.token().id)
    expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('OK')
    bench.fake.tokens.revokeAll()
    expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('ERR_LOGIN_REFUSED')
    bench.file('token', bench.token().id)
    expect(await outcomeOf(wrapper.currentKeyId(bench.options))).toBe('OK')
  })

  test('that is known, and whose policies forbid the path, is told from one that is not known', async () => {
    const wrapper = bench.open(given(bench.token({ policies: ['default'] }).id))
    expect(await failureOf(wrapper.currentKeyId(bench.options))).toMatch(/^ERR_ACCESS_DENIED .*policies/)
  })

  test.each(['two words', 'smörgås', ''])(
    'that cannot stand in a header is named by its file: %j',
    async (text) => {
      expect(await failureOf(bench.open(given(text)).currentKeyId(bench.options))).toMatch(
        /^ERR_CONFIG_INVALID .*\/token/,
      )
    },
  )

  test('whose file others may read is refused', async () => {
    const token = bench.file('loose', bench.token().id, 0o644)
    const wrapper = bench.open({ auth: { method: 'token', token } })
    expect(await failureOf(wrapper.currentKeyId(bench.options))).toMatch(/^ERR_CONFIG_INVALID .*chmod/)
  })
})

describe('a secret', () => {
  test('is in no printed token', () => {
    const facts = { isRenewable: true, lifetimeMs: 1, isOursToRevoke: true, askedMs: 0 }
    const token = new VaultToken('s.canary', facts)
    expect([inspect(token, { depth: 9, showHidden: true }), JSON.stringify(token)].join()).not.toContain(
      'canary',
    )
  })

  test('is in no error, even where the server, or a proxy, sends back what it was sent', async () => {
    const { id } = bench.token()
    bench.fake.server.fault = ({ body, headers, url }) =>
      url.pathname.endsWith('lookup-self')
        ? undefined
        : {
            status: 418,
            body: {
              errors: [`failed: invalid secret_id ${body.toString()} ${String(headers['x-vault-token'])}`],
            },
          }
    const said = [
      await failureOf(bench.open().currentKeyId(bench.options)),
      await failureOf(
        bench.open({ auth: { method: 'token', token: bench.file('t', id) } }).currentKeyId(bench.options),
      ),
    ]
    expect(said[1]).toContain('failed: invalid secret_id …')
    expect(said.join()).not.toMatch(new RegExp(`the-secret-id|${id}`))
  })

  test('is not in a refused login, though OpenBao quotes a secret id that it does not like', async () => {
    bench.fake.server.failNext(
      { status: 400, body: { errors: ['invalid secret_id "the-secret-id"'] } },
      Infinity,
    )
    const failure = await failureOf(bench.open().currentKeyId(bench.options))
    expect(failure).toMatch(/^ERR_LOGIN_REFUSED .*secret id/)
    expect(failure).not.toContain('the-secret-id')
  })
})
