/** The policy of the documentation is enough for all that the backend does, and no line of it is too many. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DEK_BYTES } from '../../../src/ports/key_wrapper.js'
import { unlessMissing } from '../../support/modules/token_module.js'
import { until } from '../../support/plugin.js'
import { at, type Json } from './api.js'
import { Bench, options } from './bench.js'
import { enableAppRole } from './logins.js'
import type { Operator } from './operator.js'
import { linesOf, policyFor } from './policy.js'
import { missing } from './server.js'

const FULL = policyFor({ mount: 'transit', keyName: 'kek' })

/** What a plugin does with its token; each by itself, so that one without its right hides no other. */
const DEEDS = ['read the key', 'wrap', 'unwrap', 'given a token', 'renew', 'end the token', 'check'] as const
type Deed = (typeof DEEDS)[number]

describe.skipIf(missing !== undefined)(
  unlessMissing('the policy of docs/vault.md on OpenBao', missing),
  () => {
    let bench: Bench
    let operator: Operator
    beforeAll(async () => {
      bench = await Bench.start()
      operator = bench.server.operator
      await operator.makeKey('kek')
    })
    afterAll(async () => {
      await bench.close()
    })

    /** What does not work under this policy. */
    const failing = async (policy: string): Promise<readonly Deed[]> => {
      const name = `policy-${randomBytes(4).toString('hex')}`
      await operator.writePolicy(name, policy)
      const loginBy = async (mount: string, period: string) => {
        const { roleId, secretId } = await enableAppRole(
          bench.server.api,
          { policies: [name], period },
          mount,
        )
        return { method: 'approle', mount, roleId, secretId: bench.secret(secretId) }
      }
      const auth = await loginBy(name, '1h')
      const dek = randomBytes(DEK_BYTES)
      const good = bench.open({ auth: await bench.token() }).core
      const wrapped = await good.wrap(dek, options())
      // It has read the key while it was allowed to, so that nothing but its own right decides about each deed.
      const { core } = bench.open({ auth })
      const deeds: Readonly<Record<Deed, () => Promise<boolean>>> = {
        'read the key': async () => succeeds(core.currentKeyId(options())),
        wrap: async () => succeeds(core.wrap(dek, options())),
        unwrap: async () => succeeds(core.unwrap(wrapped, options())),
        'given a token': async () => {
          const given = bench.open({ auth: await bench.token([name]) }).core
          return succeeds(given.currentKeyId(options()))
        },
        renew: async () => {
          const short = `${name}-short`
          await succeeds(bench.open({ auth: await loginBy(short, '4s') }).core.currentKeyId(options()))
          return isRenewed(`auth/${short}/login`)
        },
        'end the token': async () => {
          await core.close()
          return (await operator.tokensOf(`auth/${name}/login`)).length === 0
        },
        check: async () => (await bench.check({ auth })).every((line) => line.startsWith('ok')),
      }
      const failed: Deed[] = []
      for (const deed of DEEDS) if (!(await deeds[deed]())) failed.push(deed)
      return failed
    }

    /** The same token lives longer than it was given; where it cannot, it ends and another takes its place. */
    const isRenewed = async (login: string): Promise<boolean> => {
      const [token] = await operator.tokensOf(login)
      if (token === undefined) return false
      const look = async (): Promise<Json | undefined> => {
        const { accessor } = token
        const { status, body } = await bench.server.api.ask('POST', 'auth/token/lookup-accessor', {
          accessor,
        })
        return status === 200 ? at(body, 'data') : undefined
      }
      const isSettled = async (): Promise<boolean> => (await look())?.['expire_time'] !== token['expire_time']
      await until(isSettled, 60_000)
      return (await look()) !== undefined
    }

    test('nothing fails under it, and something does without any line of it', async () => {
      const lines = linesOf(FULL)
      expect(lines.length).toBeGreaterThan(3)
      const without = lines.map((line) => ({ line, rest: lines.filter((one) => one !== line).join('\n') }))
      const [full, ...results] = await Promise.all([
        failing(FULL),
        ...without.map(async ({ rest }) => failing(rest)),
      ])
      expect(full).toEqual([])
      const needless = without.filter((_one, i) => results[i]?.length === 0).map(({ line }) => line)
      expect(needless).toEqual([])
    })

    test('it grants one thing on each path, and nothing that makes, changes or exports a key', () => {
      for (const line of linesOf(FULL)) {
        expect(line).toMatch(/capabilities\s*=\s*\["(read|update)"\]/)
        expect(line).not.toMatch(/path "[^"]*[*+]/)
      }
    })
  },
)

async function succeeds(call: Promise<unknown>): Promise<boolean> {
  return call.then(
    () => true,
    () => false,
  )
}
