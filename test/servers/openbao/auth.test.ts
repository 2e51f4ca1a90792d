/** Every auth method lets the backend in, with the policy of the documentation and nothing else. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { outcomeOf } from '../../doubles/outcome.js'
import { unlessMissing } from '../../support/modules/token_module.js'
import { at, textOf, type Json } from './api.js'
import { Bench, failureOf, options, roundTrip, type Section } from './bench.js'
import {
  enableAppRole,
  enableCert,
  enableJwt,
  enableKubernetes,
  enableUserPass,
  ROLE,
  type RoleWish,
} from './logins.js'
import { missing } from './server.js'
import { TokenReviewer } from './token_review.js'

const wish: RoleWish = { policies: ['kms'], ttl: '1h' }

describe.skipIf(missing !== undefined)(unlessMissing('logging in to OpenBao', missing), () => {
  let bench: Bench
  let reviewer: TokenReviewer
  beforeAll(async () => {
    bench = await Bench.start()
    reviewer = await TokenReviewer.start()
    await bench.server.operator.makeKey('kek')
  })
  afterAll(async () => {
    await reviewer.close()
    await bench.close()
  })

  /** What lets in, and the same with credentials that do not. */
  interface Way {
    readonly good: Section
    readonly bad: Section
  }

  const ways: Readonly<Record<string, () => Promise<Way>>> = {
    token: async () => ({
      good: { auth: await bench.token() },
      bad: { auth: { method: 'token', token: bench.secret('s.notOurs000000000000000') } },
    }),
    approle: async () => {
      const { roleId, secretId } = await enableAppRole(bench.server.api, wish)
      const auth = { method: 'approle', roleId }
      return {
        good: { auth: { ...auth, secretId: bench.secret(secretId) } },
        bad: { auth: { ...auth, secretId: bench.secret('another') } },
      }
    },
    userpass: async () => {
      const { username, password } = await enableUserPass(bench.server.api, wish)
      const auth = { method: 'userpass', username }
      return {
        good: { auth: { ...auth, password: bench.secret(password) } },
        bad: { auth: { ...auth, password: bench.secret('another') } },
      }
    },
    jwt: async () => {
      const sign = await enableJwt(bench.server.api, wish)
      const auth = { method: 'jwt', role: ROLE }
      return {
        good: { auth: { ...auth, jwt: bench.secret(sign()) } },
        bad: { auth: { ...auth, jwt: bench.secret('a.b.c') } },
      }
    },
    kubernetes: async () => {
      const sign = await enableKubernetes(bench.server.api, wish, reviewer)
      const unknown = sign()
      reviewer.know(unknown, undefined)
      const auth = { method: 'kubernetes', role: ROLE }
      return {
        good: { auth: { ...auth, jwt: bench.secret(sign()) } },
        bad: { auth: { ...auth, jwt: bench.secret(unknown) } },
      }
    },
    cert: async () => {
      const { server } = bench
      await enableCert(server.api, wish, server.authority.cert, 'node-1')
      const files = async (commonName: string): Promise<Json> => {
        const { cert, key } = await server.authority.issue({ commonName })
        const [clientCertFile, clientKeyFile] = [`${commonName}.pem`, `${commonName}.key`]
        return {
          clientCertFile: server.files.write(clientCertFile, cert),
          clientKeyFile: server.files.write(clientKeyFile, key),
        }
      }
      const auth = { method: 'cert', role: ROLE }
      return { good: { ...(await files('node-1')), auth }, bad: { ...(await files('node-2')), auth } }
    },
  }

  test.each(Object.entries(ways))(
    '%s: wrong credentials are refused as such, and right ones wrap and unwrap',
    async (_name, make) => {
      const { good, bad } = await make()
      expect((await failureOf(bench.open(bad).core.currentKeyId(options()))).code).toBe('ERR_LOGIN_REFUSED')
      await roundTrip(bench.open(good).core)
    },
  )

  test.each(Object.entries(ways).filter(([name]) => name !== 'token'))(
    '%s: the token of a login is gone when the plugin stops',
    async (_name, make) => {
      const { good } = await make()
      const before = await tokenCount()
      const { core } = bench.open(good)
      await roundTrip(core)
      expect(await tokenCount()).toBe(before + 1)
      await core.close()
      expect(await tokenCount()).toBe(before)
    },
  )

  test('a token that somebody gave us is still there when the plugin stops', async () => {
    const before = await tokenCount()
    const { core } = bench.open({ auth: await bench.token() })
    await roundTrip(core)
    await core.close()
    expect(await tokenCount()).toBe(before + 1)
  })

  test.each(['approle', 'userpass', 'jwt'] as const)('%s may be mounted elsewhere', async (name) => {
    const path = `teams/one/${name}`
    const { api } = bench.server
    const sections = {
      approle: async () => {
        const { roleId, secretId } = await enableAppRole(api, wish, path)
        return { roleId, secretId: bench.secret(secretId) }
      },
      userpass: async () => {
        const { username, password } = await enableUserPass(api, wish, path)
        return { username, password: bench.secret(password) }
      },
      jwt: async () => ({ role: ROLE, jwt: bench.secret((await enableJwt(api, wish, path))()) }),
    }
    await roundTrip(bench.open({ auth: { method: name, mount: path, ...(await sections[name]()) } }).core)
  })

  test('an auth method that is not mounted there is refused, and the message says where it was looked for', async () => {
    const auth = { method: 'approle', mount: 'nowhere', roleId: 'a', secretId: bench.secret('b') }
    const error = await failureOf(bench.open({ auth }).core.currentKeyId(options()))
    expect(error.code).toMatch(/^ERR_(LOGIN_REFUSED|CONFIG_INVALID)$/)
    expect(error.message).toContain('auth/nowhere/login')
  })

  test('an account that is locked after wrong passwords is not tried often enough to stay locked', async () => {
    const { username } = await enableUserPass(bench.server.api, wish, 'locked')
    const auth = { method: 'userpass', mount: 'locked', username, password: bench.secret('wrong') }
    const { core } = bench.open({ auth })
    for (let i = 0; i < 20; i += 1) await outcomeOf(core.currentKeyId(options()))
    const lockedUsers = async (): Promise<string> =>
      JSON.stringify(await bench.server.api.must('GET', 'sys/locked-users'))
    expect(await lockedUsers()).not.toContain(username)
    for (let i = 0; i < 6; i += 1) {
      await bench.server.api.ask('POST', `auth/locked/login/${username}`, { password: 'wrong' })
    }
    expect(await lockedUsers()).toContain(username)
  })

  test('in a namespace: the auth method is that of the namespace', async () => {
    const team = await bench.server.operator.namespace('team')
    await team.enableTransit()
    await team.makeKey('kek')
    await team.writePolicy('kms', await policyText())
    const { roleId, secretId } = await enableAppRole(team.api, wish)
    const auth = { method: 'approle', roleId, secretId: bench.secret(secretId) }
    await roundTrip(bench.open({ namespace: 'team', auth }).core)
    expect((await failureOf(bench.open({ auth }).core.currentKeyId(options()))).code).toBe(
      'ERR_LOGIN_REFUSED',
    )
  })

  const policyText = async (): Promise<string> =>
    textOf(at(await bench.server.api.must('GET', 'sys/policies/acl/kms'), 'data'), 'policy')

  /** All tokens that the server knows. */
  const tokenCount = async (): Promise<number> => {
    const { keys } = at(await bench.server.api.must('LIST', 'auth/token/accessors'), 'data')
    return (keys as readonly string[]).length
  }
})
