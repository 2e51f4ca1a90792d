import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { Config } from '../../../src/ports/config.js'
import { configOf, fileWith, minimal, source } from './fixtures.js'

const WEEK_MS = 604_800_000

const socket = fc
  .array(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 3 })
  .map((names) => `/run/${names.join('/')}`)
  .filter((path) => Buffer.byteLength(path) <= 107 && !/\/@|\/\.|\/\/|\/$|\p{Cc}/u.test(path))

const server = fc
  .record({
    socket,
    socketMode: fc.constantFrom(0o600, 0o660, 0o640, 0o700),
    socketGroup: fc.constantFrom('', 'kube', '1000', '0', 'yes', 'null'),
    kmsV1: fc.boolean(),
    drainTimeoutMs: fc.integer({ min: 0, max: 300_000 }),
    restartDelayMs: fc.integer({ min: 0, max: 3_600_000 }),
    stateDir: fc.constantFrom(undefined, '/var/lib/kmsplugin', '/a b/#c'),
  })
  .map((value) => (value.socketGroup === '' ? value : { ...value, socketMode: 0o660 }))

const envelope = fc.record({
  cipher: fc.constantFrom('A256GCM', 'A256CBC-HS512'),
  dek: fc.constantFrom('reused', 'fresh'),
  dekMaxAgeMs: fc.integer({ min: 1, max: WEEK_MS }),
  dekMaxSeals: fc.integer({ min: 1, max: 2 ** 32 }),
  dekMaxBytes: fc.integer({ min: 1, max: 2 ** 48 }),
  dekCacheTimeoutMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: WEEK_MS })),
  dekCacheSize: fc.integer({ min: 0, max: 1_000_000 }),
})

const ordered = (min: number): fc.Arbitrary<readonly [number, number]> =>
  fc
    .tuple(fc.integer({ min, max: 60_000 }), fc.integer({ min, max: 60_000 }))
    .map(([a, b]) => [Math.min(a, b), Math.max(a, b)])

const retry = fc
  .record({ maxRetries: fc.integer({ min: 0, max: 10 }), timeouts: ordered(10), delays: ordered(1) })
  .map(({ maxRetries, timeouts, delays }) => ({
    maxRetries,
    callTimeoutMs: timeouts[0],
    totalTimeoutMs: timeouts[1],
    initialDelayMs: delays[0],
    maxDelayMs: delays[1],
  }))

const health = fc.record({
  address: fc.option(
    fc.record({
      host: fc.oneof(
        fc.ipV4(),
        fc.ipV6().filter((ip) => !ip.includes('%')),
        fc.constant('localhost'),
      ),
      port: fc.integer({ min: 1, max: 65_535 }),
    }),
    { nil: undefined },
  ),
  path: fc.constantFrom('/healthz', '/a/b', '/0x10'),
  livePath: fc.constantFrom('/livez', '/live', '/0x11'),
  probeIntervalMs: fc.integer({ min: 100, max: 600_000 }),
  onBackendOutage: fc.constantFrom('report', 'error'),
  metricsOf: fc.constantFrom('', 'aws-encryption-provider', 'vault-kubernetes-kms'),
})

const log = fc.record({
  level: fc.constantFrom('trace', 'debug', 'info', 'warn', 'error'),
  allValues: fc.boolean(),
})

const anyText = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1 }),
  fc
    .constantFrom(
      '0600',
      'yes',
      'null',
      '~',
      '1e3',
      '*a',
      '&a',
      '!x',
      '# x',
      'a: b',
      '- a',
      ' a ',
      'a\nb',
      '\u0085',
      '\u2028',
      '"',
      "'",
      '<<',
      '0x1',
      '.inf',
      '',
      ':',
      '?',
    )
    .filter((text) => text !== ''),
)
const key = fc.oneof(
  fc.record({ backend: fc.constant('disk'), path: anyText.map((text) => `/${text}`) }),
  fc.record(
    {
      backend: fc.constant('token'),
      tokenLabel: anyText,
      pin: anyText.map((text) => `file:/${text}`),
      mechanism: fc.constantFrom('gcm', 'oaep'),
      readOnly: fc.boolean(),
      slot: fc.integer({ min: 0, max: 99 }),
      tls: fc.record({ ca: anyText, apiKey: fc.constantFrom('env:KEY', 'file:/k') }),
    },
    { requiredKeys: ['backend', 'tokenLabel', 'pin', 'mechanism', 'readOnly'] },
  ),
)
const keyName = fc.oneof(
  fc.stringMatching(/^[a-z][a-z0-9-]{0,31}$/),
  fc.constantFrom('token', 'pin', 'constructor'),
)
const keys = fc.dictionary(keyName, key, { minKeys: 1, maxKeys: 4 })

const configs = fc
  .record({ server, envelope, retry, health, log, keys, at: fc.nat() })
  .map(({ at, ...rest }) => ({
    ...rest,
    primary: Object.keys(rest.keys)[at % Object.keys(rest.keys).length],
  })) as fc.Arbitrary<Config>

describe('printing', () => {
  test('a printed config loads to the same config', async () => {
    await fc.assert(
      fc.asyncProperty(configs, async (config) => {
        expect(await source.load(fileWith(source.print(config)))).toEqual({
          config,
          problems: [],
          notices: [],
        })
      }),
      { numRuns: 300 },
    )
  })

  test('every default is printed, durations with units and modes in quotes', async () => {
    const text = source.print(await configOf(minimal))
    expect(text).toContain('drainTimeout: 5s')
    expect(text).toContain('totalTimeout: 2500ms')
    expect(text).toContain('socketMode: "0600"')
    expect(text).toContain('address: 127.0.0.1:20358')
    expect(Object.keys(parse(text) as object)).toEqual([
      'server',
      'envelope',
      'retry',
      'health',
      'log',
      'primary',
      'keys',
    ])
  })

  test('references are printed, and a literal secret is masked and does not load again', async () => {
    const config = await configOf(minimal)
    const entry = { backend: 'token', tokenLabel: 't', mechanism: 'gcm', readOnly: true }
    expect(source.print({ ...config, keys: { a: { ...entry, pin: 'file:/etc/pin' } } })).toContain(
      'pin: file:/etc/pin',
    )
    const leaky = source.print({ ...config, keys: { a: { ...entry, pin: 'hunter2' } } })
    expect(leaky).not.toContain('hunter2')
    expect((await source.load(fileWith(leaky))).problems).toHaveLength(1)
  })

  test('entries that share an object are printed without aliases', async () => {
    const config = await configOf(minimal)
    const shared = { backend: 'disk', path: '/k' }
    const twice = { ...config, keys: { a: shared, b: shared } }
    expect(await configOf(source.print(twice))).toEqual(twice)
  })
})
