/** OpenBao sealed, throttled, killed and started anew under the backend, which is never restarted. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DEK_BYTES, type WrappedDek } from '../../../src/ports/key_wrapper.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { unlessMissing } from '../../support/modules/token_module.js'
import { Bench, failureOf, options, roundTrip, type Opened } from './bench.js'
import { enableAppRole } from './logins.js'
import { missing } from './server.js'

describe.skipIf(missing !== undefined)(unlessMissing('OpenBao on a bad day', missing), () => {
  let bench: Bench
  /** One that was given a token and one that logs in. */
  let opened: readonly [Opened, Opened]
  let wrapped: WrappedDek
  beforeAll(async () => {
    bench = await Bench.start('disk')
    await bench.server.operator.makeKey('kek')
    const { roleId, secretId } = await enableAppRole(bench.server.api, { policies: ['kms'] })
    const appRole = { method: 'approle', roleId, secretId: bench.secret(secretId) }
    opened = [bench.open({ auth: await bench.token() }), bench.open({ auth: appRole })]
    wrapped = await roundTrip(opened[0].core)
    await roundTrip(opened[1].core)
  })
  afterAll(async () => {
    await bench.close()
  })

  /** Each call of the port, by each of them and by one that begins now, ends with this. */
  const expectAll = async (code: string): Promise<void> => {
    const fresh = bench.open({ auth: await unusedToken() })
    for (const { core } of [...opened, fresh]) {
      const calls = [
        core.currentKeyId(options()),
        core.wrap(randomBytes(DEK_BYTES), options()),
        core.unwrap(wrapped, options()),
      ]
      expect(await Promise.all(calls.map(outcomeOf))).toEqual([code, code, code])
    }
    await fresh.core.close()
  }
  const unusedToken = async () => ({ method: 'token', token: bench.secret('s.neverUsed0000000000000') })

  const expectWorking = async (): Promise<void> => {
    for (const { core } of opened) {
      expect(await outcomeOf(core.unwrap(wrapped, options()))).toBe('OK')
      await roundTrip(core)
    }
  }

  test('sealed: unavailable, and it says so; unsealed: it works', async () => {
    await bench.server.seal()
    await expectAll('ERR_BACKEND_UNAVAILABLE')
    expect((await failureOf(opened[0].core.currentKeyId(options()))).message).toContain('sealed')
    await bench.server.unseal()
    await expectWorking()
  })

  test('sealed while calls are under way: each ends, with an answer or as unavailable', async () => {
    const work = async (): Promise<ReadonlySet<string>> => {
      const seen = new Set<string>()
      while (!seen.has('ERR_BACKEND_UNAVAILABLE')) {
        seen.add(await outcomeOf(opened[0].core.unwrap(wrapped, options())))
      }
      return seen
    }
    const all = Promise.all(Array.from({ length: 8 }, work))
    await bench.server.seal()
    for (const seen of await all) {
      expect([...seen].filter((code) => !['OK', 'ERR_BACKEND_UNAVAILABLE'].includes(code))).toEqual([])
    }
    await bench.server.unseal()
    await expectWorking()
  })

  test('killed: unreachable; started anew on the same storage: it works, with the same key id', async () => {
    const before = await opened[0].core.currentKeyId(options())
    await bench.server.kill()
    await expectAll('ERR_BACKEND_UNREACHABLE')
    await bench.server.startAgain()
    await expectWorking()
    expect(await opened[0].core.currentKeyId(options())).toBe(before)
  })

  test('started anew and still sealed: unavailable until it is unsealed', async () => {
    await bench.server.kill()
    await bench.server.startSealed()
    await expectAll('ERR_BACKEND_UNAVAILABLE')
    await bench.server.unseal()
    await expectWorking()
  })

  test('a quota on the rate: throttled, with the time that the server wants; lifted: it works', async () => {
    const lift = await bench.server.operator.limitRate('transit/', '300s')
    try {
      await outcomeOf(opened[0].bare.currentKeyId(options()))
      const error = await failureOf(opened[0].bare.unwrap(wrapped, options()))
      expect(error.code).toBe('ERR_BACKEND_THROTTLED')
      expect(error.retryAfterMs).toBeGreaterThan(100_000)
      expect(error.retryAfterMs).toBeLessThanOrEqual(300_000)
    } finally {
      await lift()
    }
    await expectWorking()
  })

  test('a quota that lets in one each second: calls are throttled, nothing else, and one each second is served', async () => {
    const lift = await bench.server.operator.limitRate('transit/', '1s')
    try {
      const seen: string[] = []
      while (seen.filter((code) => code === 'OK').length < 3) {
        seen.push(await outcomeOf(opened[0].core.unwrap(wrapped, options())))
      }
      expect([...new Set(seen)].sort()).toEqual(['ERR_BACKEND_THROTTLED', 'OK'])
    } finally {
      await lift()
    }
  })

  test('a quota on the login: throttled, not refused', async () => {
    const { roleId, secretId } = await enableAppRole(bench.server.api, { policies: ['kms'] })
    const lift = await bench.server.operator.limitRate('auth/approle/', '300s')
    try {
      const auth = { method: 'approle', roleId, secretId: bench.secret(secretId) }
      await outcomeOf(bench.open({ auth }).bare.currentKeyId(options()))
      const { core } = bench.open({ auth })
      expect(await outcomeOf(core.currentKeyId(options()))).toBe('ERR_BACKEND_THROTTLED')
    } finally {
      await lift()
    }
  })

  test('the mount is gone: the key is missing, and the mount is named; back again, another key', async () => {
    await bench.server.api.must('DELETE', 'sys/mounts/transit')
    const error = await failureOf(opened[0].core.unwrap(wrapped, options()))
    expect(error.code).toBe('ERR_KEY_NOT_FOUND')
    expect(error.message).toContain('transit/')
    await bench.server.operator.enableTransit()
    await bench.server.operator.makeKey('kek')
    expect(await outcomeOf(opened[0].core.unwrap(wrapped, options()))).toBe('ERR_KEY_UNKNOWN')
    await roundTrip(opened[0].core)
  })
})
