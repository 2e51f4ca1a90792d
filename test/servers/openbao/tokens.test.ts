/** Tokens of OpenBao that end, are renewed, cannot be renewed, or are taken away, while the backend is at work. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { outcomeOf } from '../../doubles/outcome.js'
import { unlessMissing } from '../../support/modules/token_module.js'
import { until } from '../../support/plugin.js'
import { Bench, failureOf, options, roundTrip, type Opened, type Section } from './bench.js'
import { enableAppRole, type RoleWish } from './logins.js'
import type { Operator, TokenWish } from './operator.js'
import { policyFor } from './policy.js'
import { missing } from './server.js'

/** Leases are whole seconds: a shorter one would be half over before it is read. */
const SHORT = '4s'
const SHORT_MS = 4000
const LIFETIMES = 3

const LOGIN = 'auth/approle/login'

describe.skipIf(missing !== undefined)(unlessMissing('the tokens of OpenBao', missing), () => {
  let bench: Bench
  let operator: Operator
  let opened: Opened
  beforeAll(async () => {
    bench = await Bench.start()
    operator = bench.server.operator
    await operator.makeKey('kek')
  })
  afterAll(async () => {
    await bench.close()
  })
  beforeEach(async () => {
    await operator.writePolicy('kms', policyFor({ mount: 'transit', keyName: 'kek' }))
  })
  afterEach(async () => {
    await opened.core.close()
  })

  const openByAppRole = async (wish: Partial<RoleWish>): Promise<Opened> => {
    const { roleId, secretId } = await enableAppRole(bench.server.api, { policies: ['kms'], ...wish })
    const auth = { method: 'approle', roleId, secretId: bench.secret(secretId) }
    opened = bench.open({ auth })
    return opened
  }

  /** The file `token` holds it; written again, it holds another. */
  const putToken = async (wish: TokenWish): Promise<string> => {
    const token = await operator.makeToken({ policies: ['kms'], ...wish })
    bench.secret(token, 'token')
    return token
  }

  const openByFile = (): Opened => {
    const section: Section = { auth: { method: 'token', token: `file:${bench.server.files.folder}/token` } }
    opened = bench.open(section)
    return opened
  }

  /** Its end, on the server's clock, as far from its beginning as no renewal-less token of {@link SHORT} gets. */
  const hasOutlived = (found: Readonly<Record<string, unknown>>): boolean => {
    const [issued, ends] = [found['issue_time'], found['expire_time']].map((time) => Date.parse(String(time)))
    return ends! - issued! > LIFETIMES * SHORT_MS
  }

  /** Wraps and unwraps without a pause until it holds; any failure is thrown. */
  const workUntil = async ({ core }: Opened, holds: () => Promise<boolean>): Promise<void> => {
    await until(
      async () => {
        await roundTrip(core)
        return holds()
      },
      60_000,
      'it holds while we work',
    )
  }

  test('of a periodic role: renewed while nobody calls, and no second one is fetched', async () => {
    const { core } = await openByAppRole({ period: SHORT })
    await roundTrip(core)
    await until(async () => (await operator.tokensOf(LOGIN)).some(hasOutlived), 60_000)
    await roundTrip(core)
    expect(await operator.tokensOf(LOGIN)).toHaveLength(1)
  })

  test('periodic, in a file: renewed while nobody calls', async () => {
    const token = await putToken({ period: SHORT, no_parent: true })
    const { core } = openByFile()
    await roundTrip(core)
    await until(async () => hasOutlived(await operator.lookUp(token)), 60_000)
    await roundTrip(core)
  })

  test('of a role with a maximum: followed by a new login, and no call fails', async () => {
    const { core } = await openByAppRole({ ttl: SHORT, maxTtl: '7s' })
    await roundTrip(core)
    const first = (await operator.tokensOf(LOGIN)).map(({ accessor }) => accessor)
    expect(first).toHaveLength(1)
    await workUntil(opened, async () => {
      const now = (await operator.tokensOf(LOGIN)).map(({ accessor }) => accessor)
      return now.length > 0 && !now.includes(first[0])
    })
  })

  test('of a role with batch tokens: followed by a new login each time, and no call fails', async () => {
    await openByAppRole({ ttl: SHORT, type: 'batch' })
    const startMs = performance.now()
    await workUntil(opened, async () => performance.now() - startMs > LIFETIMES * SHORT_MS)
    expect(await operator.tokensOf(LOGIN)).toEqual([])
  })

  test.each<readonly [string, TokenWish]>([
    ['that cannot be renewed', { ttl: SHORT, renewable: false }],
    ['with a maximum', { ttl: SHORT, explicit_max_ttl: '6s' }],
    ['of the kind batch', { ttl: SHORT, type: 'batch' }],
  ])('in a file, %s: refused when it ends, and the next one in the file is used', async (_name, wish) => {
    await putToken(wish)
    const { core } = openByFile()
    await roundTrip(core)
    await until(async () => (await outcomeOf(core.currentKeyId(options()))) === 'ERR_LOGIN_REFUSED', 60_000)
    await putToken({ period: '1h', no_parent: true })
    await roundTrip(core)
  })

  test('in a file that is replaced: the new one is used before the old one ends', async () => {
    const old = await putToken({ period: '1h', no_parent: true })
    const { bare } = openByFile()
    await roundTrip(bare)
    await putToken({ period: '1h', no_parent: true })
    await roundTrip(bare)
    await operator.revoke(old)
    await roundTrip(bare)
  })

  test('in a file, a child: refused once its parent is gone; an orphan is not', async () => {
    const parent = await operator.makeToken({ policies: ['root'], ttl: '1h' })
    const child = await bench.server.api
      .as({ token: parent })
      .must('POST', 'auth/token/create', { policies: ['kms'], no_default_policy: true, ttl: '1h' })
    const { client_token: token } = child['auth'] as { client_token: string }
    bench.secret(token, 'token')
    const { core } = openByFile()
    await roundTrip(core)
    await operator.revoke(parent)
    expect((await failureOf(core.currentKeyId(options()))).code).toBe('ERR_LOGIN_REFUSED')
    await putToken({ period: '1h', no_parent: true })
    await roundTrip(core)
  })

  test('taken away in the middle of many calls: one new login, and no call fails', async () => {
    const { bare } = await openByAppRole({ ttl: '1h' })
    const wrapped = await roundTrip(bare)
    await operator.revokeAllOf('approle/login')
    expect(await operator.tokensOf(LOGIN)).toEqual([])
    const calls = Array.from({ length: 32 }, async () => outcomeOf(bare.unwrap(wrapped, options())))
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['OK']))
    expect(await operator.tokensOf(LOGIN)).toHaveLength(1)
  })

  test('whose policy is taken away: said so, not met with ever new logins; granted again, it works', async () => {
    const { core } = await openByAppRole({ ttl: '1h' })
    await roundTrip(core)
    const others = policyFor({ mount: 'transit', keyName: 'another' })
    await operator.writePolicy('kms', others)
    for (let i = 0; i < 20; i += 1) {
      expect((await failureOf(core.currentKeyId(options()))).code).toBe('ERR_ACCESS_DENIED')
    }
    expect((await operator.tokensOf(LOGIN)).length).toBeLessThanOrEqual(2)
    await operator.writePolicy('kms', policyFor({ mount: 'transit', keyName: 'kek' }))
    await roundTrip(core)
  })

  test('a secret id that was used up or withdrawn: refused, and the next one in the file is used', async () => {
    const { roleId, secretId } = await enableAppRole(bench.server.api, { policies: ['kms'], ttl: '1h' })
    const reference = bench.secret(secretId, 'secret-id')
    opened = bench.open({ auth: { method: 'approle', roleId, secretId: reference } })
    await roundTrip(opened.core)
    await bench.server.api.must('POST', 'auth/approle/role/kms/secret-id/destroy', { secret_id: secretId })
    await operator.revokeAllOf('approle/login')
    expect(await outcomeOf(opened.core.currentKeyId(options()))).toBe('ERR_LOGIN_REFUSED')
    const next = await enableAppRole(bench.server.api, { policies: ['kms'], ttl: '1h' })
    bench.secret(next.secretId, 'secret-id')
    await roundTrip(opened.core)
  })
})
