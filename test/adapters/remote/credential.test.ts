import { beforeEach, describe, expect, test } from 'vitest'
import { Credential, type Lease } from '../../../src/adapters/backends/remote/credential.js'
import { LoginGuard } from '../../../src/adapters/backends/remote/login_guard.js'
import { KmsError } from '../../../src/ports/errors.js'
import { ManualClock, settled } from '../../doubles/manual_clock.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'

describe('a credential', () => {
  let clock: ManualClock
  let logger: RecordingLogger
  /** What was to be renewed, for each time that the service was asked. */
  let asked: (string | undefined)[]
  let answer: () => Promise<Lease<string>>
  let credential: Credential<string>

  beforeEach(() => {
    clock = new ManualClock()
    logger = new RecordingLogger()
    asked = []
    answer = async () => ({ value: `token-${asked.length}`, lifetimeMs: 60_000 })
    credential = new Credential({
      clock,
      logger,
      what: 'the token',
      timeoutMs: 5000,
      renewAfter: 0.5,
      obtain: async (held) => {
        asked.push(held)
        return answer()
      },
    })
  })

  test('is obtained when it is first needed, once for all who wait', async () => {
    expect(asked).toEqual([])
    const all = await Promise.all([credential.get(), credential.get(), credential.get()])
    expect(all).toEqual(['token-1', 'token-1', 'token-1'])
    expect(await credential.get()).toBe('token-1')
    expect(asked).toEqual([undefined])
  })

  test('that is refused again and again leaves no timer behind', async () => {
    for (let i = 0; i < 20; i += 1) credential.invalidate(await credential.get())
    await settled()
    expect(clock.sleepers).toBe(0)
    await credential.get()
    expect(clock.sleepers).toBe(1)
    credential.close()
    await settled()
    expect(clock.sleepers).toBe(0)
  })

  test('is renewed at half of its life, and again at half of the next', async () => {
    await credential.get()
    await clock.advance(29_999)
    expect(asked).toHaveLength(1)
    await clock.advance(1)
    expect(asked).toEqual([undefined, 'token-1'])
    expect(await credential.get()).toBe('token-2')
    await clock.advance(30_000)
    expect(asked).toEqual([undefined, 'token-1', 'token-2'])
  })

  test('stays in use while its renewal fails, which is tried again ever more rarely and told each time', async () => {
    await credential.get()
    answer = async () => Promise.reject(new KmsError('ERR_BACKEND_UNREACHABLE', 'no way'))
    await clock.advance(30_000)
    expect(await credential.get()).toBe('token-1')
    expect(logger.lines).toMatchObject([
      { level: 'warn', fields: { code: 'ERR_BACKEND_UNREACHABLE', reason: 'no way' } },
    ])
    await clock.advance(1000 + 2000 + 4000)
    expect(asked).toHaveLength(5)
    expect(logger.lines).toHaveLength(4)
    answer = async () => ({ value: 'next', lifetimeMs: 60_000 })
    await clock.advance(8000)
    expect(await credential.get()).toBe('next')
  })

  test('is not used when it has ended: who needs it waits for the next one, and nothing goes on in the background', async () => {
    await credential.get()
    answer = async () => Promise.reject(new KmsError('ERR_BACKEND_UNREACHABLE', 'no way'))
    await clock.advance(60_000)
    expect(await outcomeOf(credential.get())).toBe('ERR_BACKEND_UNREACHABLE')
    const before = asked.length
    await clock.advance(600_000)
    expect(asked).toHaveLength(before)
    answer = async () => ({ value: 'next', lifetimeMs: 60_000 })
    expect(await credential.get()).toBe('next')
  })

  test('counts its life from the question, not from the answer', async () => {
    answer = async () => {
      await clock.sleep(20_000)
      return { value: 'slow', lifetimeMs: 30_000 }
    }
    const first = credential.get()
    await clock.advance(20_000)
    expect(await first).toBe('slow')
    answer = async () => Promise.reject(new KmsError('ERR_BACKEND_UNREACHABLE', 'no way'))
    await clock.advance(10_000)
    expect(await outcomeOf(credential.get())).toBe('ERR_BACKEND_UNREACHABLE')
  })

  test('without an end is obtained once', async () => {
    answer = async () => ({ value: 'root', lifetimeMs: undefined })
    await credential.get()
    await clock.advance(1e9)
    expect(await credential.get()).toBe('root')
    expect(asked).toHaveLength(1)
    expect(clock.sleepers).toBe(0)
  })

  test('that lives for no time at all does not make the service be asked without a rest', async () => {
    answer = async () => ({ value: 'short', lifetimeMs: 0 })
    await credential.get()
    await clock.advance(1000)
    expect(asked.length).toBeLessThanOrEqual(6)
  })

  test('that was refused is obtained anew, as from the beginning', async () => {
    const first = await credential.get()
    credential.invalidate(first)
    expect(await credential.get()).toBe('token-2')
    expect(asked).toEqual([undefined, undefined])
  })

  test('a late refusal of the one before does not throw away the one that is held', async () => {
    const first = await credential.get()
    credential.invalidate(first)
    const second = await credential.get()
    credential.invalidate(first)
    expect(await credential.get()).toBe(second)
  })

  test('who leaves at his own deadline cancels nobody', async () => {
    answer = async () => {
      await clock.sleep(1000)
      return { value: 'late', lifetimeMs: 60_000 }
    }
    const leaver = new AbortController()
    const left = outcomeOf(credential.get({ signal: leaver.signal }))
    const stays = credential.get()
    leaver.abort()
    expect(await left).toBe('ERR_DEADLINE_EXCEEDED')
    await clock.advance(1000)
    expect(await stays).toBe('late')
    expect(asked).toHaveLength(1)
  })

  test('after close none is given, none is renewed and no timer is left', async () => {
    await credential.get()
    credential.close()
    await settled()
    expect(clock.sleepers).toBe(0)
    expect(await outcomeOf(credential.get())).toBe('ERR_SHUTTING_DOWN')
    await clock.advance(100_000)
    expect(asked).toHaveLength(1)
  })

  test('one that arrives after close is not kept', async () => {
    answer = async () => {
      await clock.sleep(1000)
      return { value: 'late', lifetimeMs: 60_000 }
    }
    const pending = outcomeOf(credential.get())
    await settled()
    credential.close()
    await clock.advance(1000)
    expect(await pending).toBe('ERR_SHUTTING_DOWN')
    expect(credential.current).toBeUndefined()
  })
})

describe('a login', () => {
  const refused = new KmsError('ERR_LOGIN_REFUSED', 'wrong')
  let clock: ManualClock
  let guard: LoginGuard
  let tries: number

  const attempt = async (password: string, error?: KmsError) =>
    outcomeOf(
      guard.attempt(['me', password], async () => {
        tries += 1
        if (error !== undefined) throw error
      }),
    )

  beforeEach(() => {
    clock = new ManualClock()
    guard = new LoginGuard(clock)
    tries = 0
  })

  test('with a wrong password is not sent again at once, and fails as it did', async () => {
    expect(await attempt('wrong', refused)).toBe('ERR_LOGIN_REFUSED')
    for (let i = 0; i < 4; i += 1) {
      await clock.advance(1000)
      expect(await attempt('wrong', refused)).toBe('ERR_LOGIN_REFUSED')
    }
    expect(tries).toBe(1)
  })

  test('is sent ever more rarely: less than twenty times in an hour', async () => {
    for (let second = 0; second < 3600; second += 1) {
      await attempt('wrong', refused)
      await clock.advance(1000)
    }
    expect(tries).toBeGreaterThan(5)
    expect(tries).toBeLessThan(20)
  })

  test('with another password is sent at once', async () => {
    await attempt('wrong', refused)
    expect(await attempt('right')).toBe('OK')
    expect(tries).toBe(2)
  })

  test('that failed for another reason is sent again at once', async () => {
    const out = new KmsError('ERR_BACKEND_UNAVAILABLE', 'out')
    expect(await attempt('right', out)).toBe('ERR_BACKEND_UNAVAILABLE')
    expect(await attempt('right')).toBe('OK')
  })

  test('that works again is believed: the next refusal begins with the shortest pause', async () => {
    await attempt('once wrong', refused)
    await clock.advance(5000)
    expect(await attempt('once wrong')).toBe('OK')
    expect(await attempt('once wrong', refused)).toBe('ERR_LOGIN_REFUSED')
    await clock.advance(5000)
    expect(await attempt('once wrong')).toBe('OK')
  })
})
