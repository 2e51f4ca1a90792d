/** In which order the running plugin starts and stops, and what `check` proves about keys. */
import { afterEach, describe, expect, test } from 'vitest'
import { createPlugin } from '../../src/domain/plugin.js'
import { createPreflight, type Check } from '../../src/domain/preflight.js'
import { KmsError } from '../../src/ports/errors.js'
import type { Endpoint } from '../../src/ports/operations.js'
import { buildCore, type Core, type CoreParts } from '../doubles/core.js'
import { FaultyKeyWrapper } from '../doubles/faulty_key_wrapper.js'
import { ManualClock } from '../doubles/manual_clock.js'
import { outcomeOf } from '../doubles/outcome.js'

const running: Core[] = []
afterEach(() => running.splice(0).forEach(({ probe }) => probe.stop()))

interface Circumstances {
  /** Fails at every time. */
  readonly failing?: 'kms start' | 'health start'
  /** What the first starts of the socket fail with. */
  readonly failures?: KmsError[]
  readonly restartDelayMs?: number
}

/** A plugin over a core, and what happened to its parts, in order. */
function plugin({ failing, failures = [], restartDelayMs = 0 }: Circumstances = {}) {
  const core = buildCore()
  running.push(core)
  const events: string[] = []
  const endpoint = (name: 'kms' | 'health'): Endpoint => ({
    async start() {
      events.push(`${name} start`)
      if (failing === `${name} start`) throw new KmsError('ERR_CONFIG_INVALID', `${name}: in use`)
      const failure = name === 'kms' ? failures.shift() : undefined
      if (failure !== undefined) throw failure
    },
    async stop() {
      events.push(`${name} stop`)
    },
  })
  core.primary.close = async () => void events.push('keys close')
  const { probe, opening, foreign, keys, clock, logger } = core
  const caches = [opening, foreign]
  const endpoints = { kms: endpoint('kms'), health: endpoint('health') }
  const parts = { ...endpoints, probe, caches, keys, clock, logger, restartDelayMs }
  return { core, events, plugin: createPlugin(parts) }
}

describe('the running plugin', () => {
  test('listens before its keys are ready, and the first probe follows at once', async () => {
    const { core, events, plugin: it } = plugin()
    core.primary.hold('currentKeyId')
    await it.start()
    expect(events).toEqual(['kms start', 'health start'])
    expect(core.primary.calls.currentKeyId).toBe(1)
    expect(await outcomeOf(core.encrypt(Buffer.from('value')))).toBe('ERR_STARTING')
  })

  test('serves kube-apiserver though its health server cannot start, and says so', async () => {
    const { core, plugin: it } = plugin({ failing: 'health start' })
    await it.start()
    await core.clock.advance(0)
    expect(await outcomeOf(core.encrypt(Buffer.from('value')))).toBe('OK')
    expect(core.logger.texts('error')).toEqual(['no health server'])
  })

  test('does not start without its socket, and asks no key', async () => {
    const { core, plugin: it } = plugin({ failing: 'kms start' })
    expect(await outcomeOf(it.start())).toBe('ERR_CONFIG_INVALID')
    expect(core.primary.totalCalls).toBe(0)
  })

  test('stops once, the keys last, so that pending calls still have them', async () => {
    const { core, events, plugin: it } = plugin()
    await it.start()
    await core.clock.advance(0)
    events.length = 0
    await Promise.all([it.stop('SIGTERM'), it.stop('SIGINT')])
    expect(events).toEqual(['kms stop', 'health stop', 'keys close'])
    expect(core.clock.sleepers).toBe(0)
  })

  test('drops what has expired at each round, though nobody asks for it', async () => {
    const { core, plugin: it } = plugin()
    await it.start()
    await core.clock.advance(0)
    await core.encrypt(Buffer.from('value'))
    await core.clock.advance(core.settings.dekCacheTimeoutMs + core.settings.probeIntervalMs)
    expect(core.metrics.events.dekCacheSize.at(-1)).toEqual([0])
  })
})

describe('a start that fails', () => {
  const inUse = () => new KmsError('ERR_BACKEND_UNAVAILABLE', 'the socket is in use')

  test('is the end without a restart delay', async () => {
    const { core, events, plugin: it } = plugin({ failures: [inUse()] })
    expect(await outcomeOf(it.start())).toBe('ERR_BACKEND_UNAVAILABLE')
    expect(events).toEqual(['kms start'])
    expect(core.logger.lines).toEqual([])
  })

  test.each(['ERR_CONFIG_INVALID', 'ERR_INTERNAL'] as const)(
    'with %s is the end whatever the delay: time does not mend it',
    async (code) => {
      const failures = [new KmsError(code, 'broken')]
      const { core, events, plugin: it } = plugin({ failures, restartDelayMs: 30_000 })
      expect(await outcomeOf(it.start())).toBe(code)
      expect(events).toEqual(['kms start'])
      expect(core.clock.sleepers).toBe(0)
    },
  )

  test('is tried again after each restart delay, never before, until it succeeds', async () => {
    const failures = [inUse(), inUse()]
    const { core, events, plugin: it } = plugin({ failures, restartDelayMs: 30_000 })
    const start = it.start()
    await core.clock.advance(29_999)
    expect(events).toEqual(['kms start'])
    await core.clock.advance(30_001)
    await start
    expect(events).toEqual(['kms start', 'kms start', 'kms start', 'health start'])
    const tries = 'the start failed and is tried again'
    expect(core.logger.texts('error')).toEqual([tries, tries])
  })

  test('is not tried again after a stop: the wait ends at once', async () => {
    const { core, events, plugin: it } = plugin({ failures: [inUse()], restartDelayMs: 30_000 })
    const start = outcomeOf(it.start())
    await core.clock.advance(1000)
    await it.stop('SIGTERM')
    expect(await start).toBe('ERR_SHUTTING_DOWN')
    expect(events).toEqual(['kms start', 'kms stop', 'health stop', 'keys close'])
    expect(core.clock.sleepers).toBe(0)
  })
})

describe('check', () => {
  const preflight = (checks: readonly Check[] = [], parts: CoreParts = {}) => {
    const core = buildCore({ maxRetries: 0 }, parts)
    return { core, preflight: createPreflight(checks, core.keys, core.clock, 15_000) }
  }

  test('proves the primary by a round trip that leaves no raw DEK behind', async () => {
    const { core, preflight: it } = preflight()
    expect(await it.run()).toMatchObject([{ level: 'ok', subject: 'keys.main' }])
    expect(core.primary.calls).toMatchObject({ wrap: 1, unwrap: 1 })
    expect(core.primary.rawDeks.flatMap((raw) => [...raw]).some((byte) => byte !== 0)).toBe(false)
    expect(core.primary.closes).toBe(1)
  })

  test('never asks a key that only opens to wrap', async () => {
    const clock = new ManualClock()
    const old = new FaultyKeyWrapper('old', clock)
    const { preflight: it } = preflight([], { clock, decryptOnly: [old] })
    expect(await it.run()).toMatchObject([{ level: 'ok' }, { level: 'ok', subject: 'keys.old0' }])
    expect(old.calls).toEqual({ wrap: 0, unwrap: 0, currentKeyId: 1, decryptNative: 0 })
  })

  test('a primary that unwraps to other bytes is an error of the backend', async () => {
    const { core, preflight: it } = preflight()
    core.primary.corrupt('unwrap')
    const [finding] = await it.run()
    expect(finding).toMatchObject({ level: 'error', subject: 'keys.main' })
    expect(finding?.text).toContain('ERR_WRAP_UNVERIFIED')
  })

  test('a backend that hangs ends as a finding, and the keys are closed', async () => {
    const { core, preflight: it } = preflight()
    core.primary.hold('wrap')
    const run = it.run()
    await core.clock.advance(15_000)
    expect(await run).toMatchObject([{ level: 'error', subject: 'keys.main' }])
    expect(core.primary.closes).toBe(1)
  })

  test('a key that has already failed a check is not tried again: a wrong PIN would count twice', async () => {
    const failed: Check = {
      subject: 'keys.main.pin',
      run: async () => [{ level: 'error', subject: 'keys.main.pin', text: 'refused' }],
    }
    const { core, preflight: it } = preflight([failed])
    expect(await it.run()).toEqual([{ level: 'error', subject: 'keys.main.pin', text: 'refused' }])
    expect(core.primary.totalCalls).toBe(0)
  })

  test('a check that throws is a finding with its code', async () => {
    const throwing: Check = {
      subject: 'server.socket',
      run: async () => {
        throw new KmsError('ERR_CONFIG_INVALID', 'the folder is writable by others')
      },
    }
    const [finding] = await preflight([throwing]).preflight.run()
    expect(finding).toEqual({
      level: 'error',
      subject: 'server.socket',
      text: 'the folder is writable by others (ERR_CONFIG_INVALID)',
    })
  })
})
