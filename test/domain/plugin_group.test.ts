/** Several plugins in one process: all or none, and one that fails is seen. */
import { describe, expect, test } from 'vitest'
import { createPluginGroup, jointHealth } from '../../src/domain/plugin_group.js'
import { sharedMetrics } from '../../src/domain/shared_metrics.js'
import { KmsError } from '../../src/ports/errors.js'
import type { HealthReport } from '../../src/ports/health.js'
import type { Metrics } from '../../src/ports/metrics.js'
import type { Endpoint, Plugin } from '../../src/ports/operations.js'
import { RecordingLogger } from '../doubles/recording_logger.js'
import { RecordingMetrics } from '../doubles/recording_metrics.js'

type Failing = Readonly<Partial<Record<string, KmsError>>>

/** A group of plugins `a` and `b`, and what happened to its parts, in order. */
function group(failing: Failing = {}) {
  const events: string[] = []
  const happens = async (event: string): Promise<void> => {
    events.push(event)
    const failure = failing[event]
    if (failure !== undefined) throw failure
  }
  const part = (name: string): Plugin & Endpoint => ({
    start: async () => happens(`${name} start`),
    stop: async () => happens(`${name} stop`),
  })
  const logger = new RecordingLogger()
  return { events, logger, group: createPluginGroup([part('a'), part('b')], part('health'), logger) }
}

const inUse = new KmsError('ERR_BACKEND_UNAVAILABLE', 'the socket is in use')

describe('a group of plugins', () => {
  test('starts every one, then the health server', async () => {
    const { events, group: it } = group()
    await it.start()
    expect(events).toEqual(['a start', 'b start', 'health start'])
  })

  test.each(['a start', 'b start'])(
    'fails to start when %s fails, and stops all when asked',
    async (event) => {
      const { events, group: it } = group({ [event]: inUse })
      await expect(it.start()).rejects.toBe(inUse)
      expect(events).not.toContain('health start')
      await it.stop('it did not start')
      expect(events.slice(2)).toEqual(['a stop', 'b stop', 'health stop'])
    },
  )

  test('serves though its health server cannot start, and says so', async () => {
    const { logger, group: it } = group({ 'health start': inUse })
    await it.start()
    expect(logger.lines.map(({ text }) => text)).toEqual(['no health server'])
  })

  test('a stop that fails hides no other stop, and is told', async () => {
    const { events, group: it } = group({ 'a stop': inUse })
    await expect(it.stop('SIGTERM')).rejects.toBe(inUse)
    expect(events).toEqual(['a stop', 'b stop', 'health stop'])
  })
})

describe('peer bug 1: one health for all keys hides a dead one', () => {
  const dead: HealthReport = {
    ready: false,
    keys: [{ key: 'aws-2', primary: true, outcome: 'ERR_KEY_NOT_FOUND' }],
  }
  const well: HealthReport = { ready: true, keys: [{ key: 'aws-1', primary: true, outcome: 'OK' }] }

  test.each([
    ['first', [dead, well]],
    ['last', [well, dead]],
  ])('a dead key that stands %s makes the process not ready, and is named', (_, reports) => {
    const { ready, keys } = jointHealth(reports.map((report) => ({ report: () => report }))).report()
    expect(ready).toBe(false)
    expect(keys.map(({ key, outcome }) => `${key} ${outcome}`).toSorted()).toEqual([
      'aws-1 OK',
      'aws-2 ERR_KEY_NOT_FOUND',
    ])
  })

  test('it is ready when every one is', () => {
    expect(jointHealth([{ report: () => well }, { report: () => well }]).report().ready).toBe(true)
  })
})

describe('numbers of several plugins in one registry', () => {
  /** A plain object, as the one of Prometheus is. */
  function plain(metrics: RecordingMetrics): Metrics {
    const events = Object.keys(metrics.events) as (keyof Metrics)[]
    const note =
      (event: keyof Metrics) =>
      (...words: unknown[]) =>
        void (metrics.events[event] as unknown[][]).push(words)
    return Object.fromEntries(events.map((event) => [event, note(event)])) as unknown as Metrics
  }

  test('cached DEKs are added, and of the seals the most are shown', () => {
    const metrics = new RecordingMetrics()
    const viewOf = sharedMetrics()
    const [a, b] = [viewOf(plain(metrics)), viewOf(plain(metrics))]
    a.dekCacheSize(3)
    b.dekCacheSize(4)
    a.dekCacheSize(1)
    expect(metrics.events.dekCacheSize).toEqual([[3], [7], [5]])
    a.dekSeals(10)
    b.dekSeals(2)
    a.dekSeals(0)
    expect(metrics.events.dekSeals).toEqual([[10], [10], [2]])
  })

  test('every other event passes as it is', () => {
    const metrics = new RecordingMetrics()
    const view = sharedMetrics()(plain(metrics))
    view.probeFinished('aws-1', 'OK')
    view.keyIdPublished('aws:a.b', 'aws:a.a')
    expect(metrics.events.probeFinished).toEqual([['aws-1', 'OK']])
    expect(metrics.events.keyIdPublished).toEqual([['aws:a.b', 'aws:a.a']])
    expect(Object.keys(view).toSorted()).toEqual(Object.keys(metrics.events).toSorted())
  })
})
