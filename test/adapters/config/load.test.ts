import { describe, expect, test } from 'vitest'
import { createConfigSource } from '../../../src/adapters/config/config_source.js'
import { configOf, fakeBackends, fakeSchemas, fileWith, minimal, placesOf, problemsOf } from './fixtures.js'

async function textOf(content: string): Promise<string> {
  const problems = await problemsOf(content)
  expect(problems).toHaveLength(1)
  return problems[0]?.text ?? ''
}

describe('unknown keys', () => {
  test.each([
    ['sevrer:\n', '1 sevrer', 'server'],
    ['server:\n  sokcet: /x\n', '2 server.sokcet', 'socket'],
    ['server:\n  socket_mode: "0600"\n', '2 server.socket_mode', 'socketMode'],
    ['server:\n  SOCKET: /x\n', '2 server.SOCKET', 'socket'],
    ['envelope:\n  dekMaxAgeMs: 1\n', '2 envelope.dekMaxAgeMs', 'dekMaxAge'],
  ])('%j names the nearest known key, with path and line', async (text, place, near) => {
    expect(await placesOf(text + minimal)).toEqual([place])
    expect(await textOf(text + minimal)).toContain(`did you mean "${near}"?`)
  })

  test('a key that is near to none lists what is known there', async () => {
    expect(await textOf(`log:\n  colour: blue\n${minimal}`)).toBe(
      'unknown key "colour"; known here: level, allValues',
    )
  })

  test('settings of a key have hints from the schema of its backend, at any depth', async () => {
    const entry = `primary: a\nkeys:\n  a:\n    backend: token\n    pin: file:/p\n    tokenLabel: t\n`
    expect(await textOf(`${entry}    tokenLable: x\n`)).toBe(
      'unknown key "tokenLable"; did you mean "tokenLabel"?',
    )
    expect(await placesOf(`${entry}    tls:\n      ca: x\n      ac: y\n`)).toEqual(['9 keys.a.tls.ac'])
    expect(await textOf(`${entry}    tls: {ca: x, apikey: env:K}\n`)).toContain('did you mean "apiKey"?')
  })

  test.each(['__proto__', 'constructor', 'hasOwnProperty', '<<', ''])(
    '%j is an unknown key like any other',
    async (name) => {
      const key = JSON.stringify(name)
      const text = `${key}: {x: 1}\nserver:\n  ${key}: {x: 1}\n${minimal}    ${key}: {x: 1}\n`
      expect(await placesOf(text)).toEqual([`1 ${name}`, `3 server.${name}`, `9 keys.a.${name}`])
      expect(({} as Record<string, unknown>)['x']).toBeUndefined()
    },
  )

  test('a name with control characters is shown without them', async () => {
    const problems = await problemsOf(`"a\\e[31m\\n": 1\n${minimal}`)
    expect(problems).toHaveLength(1)
    expect(JSON.stringify(problems)).not.toMatch(/\\[^"]/)
  })
})

describe('single values', () => {
  test('every mistake is reported at once, in the order of the file', async () => {
    const text = [
      'server:',
      '  socket: kms.sock',
      '  socketMode: 0600',
      '  kmsV1: yes',
      '  drainTimeout: 5',
      '  extra: 1',
      'envelope: nothing',
      'retry: [1]',
      'health:',
      '  path: healthz',
      '  address:',
      'log:',
      '  level: {a: {b: c}}',
      'primary: b',
      'keys:',
      '  a:',
      '    backend: token',
      '    slot: -1',
      '  C:',
      '    backend: disk',
      '    path: /x',
    ].join('\n')
    expect(await placesOf(text)).toEqual([
      '2 server.socket',
      '3 server.socketMode',
      '4 server.kmsV1',
      '5 server.drainTimeout',
      '6 server.extra',
      '7 envelope',
      '8 retry',
      '10 health.path',
      '11 health.address',
      '13 log.level',
      '14 primary',
      '18 keys.a.slot',
      '19 keys.C',
      '- keys.a.tokenLabel',
      '- keys.a.pin',
    ])
  })

  test.each([
    ['server.restartDelay', '3601s'],
    ['server.restartDelay', '-1s'],
    ['envelope.dekMaxSeals', '0'],
    ['envelope.dekMaxSeals', '4294967297'],
    ['envelope.dekMaxBytes', '0'],
    ['envelope.dekCacheSize', '-1'],
    ['envelope.dekMaxAge', '0'],
    ['envelope.dekMaxAge', '169h'],
    ['envelope.dekCacheTimeout', '169h'],
    ['envelope.cipher', 'A128GCM'],
    ['envelope.dek', 'none'],
    ['retry.maxRetries', '11'],
    ['retry.callTimeout', '0'],
    ['retry.totalTimeout', '61s'],
    ['health.onBackendOutage', 'ignore'],
    ['health.metricsOf', 'gcp-cloudkms-plugin'],
    ['health.probeInterval', '0'],
    ['log.level', 'INFO'],
    ['log.allValues', '"false"'],
  ])('%s: %s is refused', async (setting, value) => {
    const [section = '', key = ''] = setting.split('.')
    expect(await placesOf(`${section}:\n  ${key}: ${value}\n${minimal}`)).toEqual([`2 ${setting}`])
  })

  test('an empty value is a mistake, an empty section means its defaults', async () => {
    expect(await placesOf(`log:\n  level:\n${minimal}`)).toEqual(['2 log.level'])
    expect(await configOf(`server:\nenvelope: {}\nlog:\n${minimal}`)).toEqual(await configOf(minimal))
  })

  test('neither the environment nor the command line changes a setting', async () => {
    process.env['LOG_LEVEL'] = 'trace'
    process.argv.push('--log.level=trace', '--level=trace')
    try {
      expect((await configOf(minimal)).log.level).toBe('info')
    } finally {
      delete process.env['LOG_LEVEL']
      process.argv.splice(-2)
    }
  })

  test('the defaults are those of the reference', async () => {
    expect(await configOf(minimal)).toEqual({
      server: {
        socket: '/run/kmsplugin/kms.sock',
        socketMode: 0o600,
        socketGroup: '',
        kmsV1: false,
        drainTimeoutMs: 5000,
        restartDelayMs: 0,
        stateDir: undefined,
      },
      envelope: {
        cipher: 'A256GCM',
        dek: 'reused',
        dekMaxAgeMs: 3_600_000,
        dekMaxSeals: 2 ** 21,
        dekMaxBytes: 2 ** 32,
        dekCacheTimeoutMs: 3_600_000,
        dekCacheSize: 1000,
      },
      retry: {
        maxRetries: 2,
        callTimeoutMs: 1000,
        totalTimeoutMs: 2500,
        initialDelayMs: 50,
        maxDelayMs: 1000,
      },
      health: {
        address: { host: '127.0.0.1', port: 20358 },
        path: '/healthz',
        livePath: '/livez',
        probeIntervalMs: 30_000,
        onBackendOutage: 'report',
        metricsOf: '',
      },
      log: { level: 'info', allValues: false },
      primary: 'a',
      keys: { a: { backend: 'disk', path: '/var/lib/k' } },
    })
  })
})

describe('rules between settings', () => {
  test.each([
    ['retry:\n  callTimeout: 3s\n', '2 retry.callTimeout'],
    ['retry:\n  totalTimeout: 500ms\n', '2 retry.totalTimeout'],
    ['retry:\n  initialDelay: 2s\n', '2 retry.initialDelay'],
    ['server:\n  socketGroup: kube\n', '2 server.socketGroup'],
  ])('%j breaks one, and it is reported at the setting that stands in the file', async (text, place) => {
    expect(await placesOf(text + minimal)).toEqual([place])
  })

  test('a rule about a value that is wrong anyway says nothing', async () => {
    expect(await placesOf(`retry:\n  callTimeout: 1d\n  totalTimeout: 500ms\n${minimal}`)).toEqual([
      '2 retry.callTimeout',
    ])
  })
})

describe('keys', () => {
  test.each([
    ['log:\n', ['- primary', '- keys']],
    ['keys:\n', ['1 keys', '- primary']],
    ['keys: {}\nprimary: a\n', ['1 keys']],
    ['keys: {}\nprimary: {toString: a}\n', ['1 keys', '2 primary']],
    ['keys: [a]\nprimary: a\n', ['1 keys']],
    ['keys:\n  a:\nprimary: a\n', ['2 keys.a']],
    ['keys:\n  a: []\nprimary: a\n', ['2 keys.a']],
    ['keys:\n  a:\n    path: /x\nprimary: a\n', ['- keys.a.backend']],
    ['keys:\n  a:\n    backend:\nprimary: a\n', ['3 keys.a.backend']],
    ['keys:\n  a:\n    backend: constructor\nprimary: a\n', ['3 keys.a.backend']],
    ['keys:\n  a: {backend: disk, path: /x}\n', ['- primary']],
    ['keys:\n  a: {backend: disk, path: /x}\nprimary:\n', ['3 primary']],
    ['keys:\n  a: {backend: disk, path: /x}\nprimary: [a]\n', ['3 primary']],
    ['keys:\n  a: {backend: disk, path: 5}\nprimary: constructor\n', ['2 keys.a.path', '3 primary']],
  ])('%j has its mistakes named', async (text, places) => {
    expect(await placesOf(text)).toEqual(places)
  })

  test.each(['A', '1a', '-a', 'a_b', 'a.b', 'ü', 'a'.repeat(33)])(
    'the key name %j is refused',
    async (name) => {
      const text = minimal.replace(/\ba\b/g, JSON.stringify(name))
      expect((await problemsOf(text)).map(({ line }) => line)).toEqual([3])
    },
  )

  test('an unknown backend lists the known ones and names the nearest', async () => {
    const text = await textOf(minimal.replace('disk', 'dsik'))
    expect(text).toBe('must be one of disk, token; did you mean "disk"?')
  })

  test('a primary that names no key lists the keys', async () => {
    expect(await textOf(minimal.replace('primary: a', 'primary: b'))).toMatch(
      /^must be the name of a key; there are a/,
    )
  })

  test('what a backend wants is said in its own words, with a hint to quote', async () => {
    expect(await textOf(minimal.replace('/var/lib/k', 'k'))).toBe('must be an absolute path')
    expect(await textOf(minimal.replace('/var/lib/k', '0123'))).toMatch(/expected string.*quotes/)
    expect(await textOf(minimal.replace('/var/lib/k', ''))).toMatch(/empty/)
  })

  test('defaults of the backend are filled in', async () => {
    const config = await configOf('primary: a\nkeys:\n  a: {backend: token, tokenLabel: t, pin: file:/p}\n')
    expect(config.keys['a']).toEqual({
      backend: 'token',
      tokenLabel: 't',
      pin: 'file:/p',
      mechanism: 'gcm',
      readOnly: true,
    })
  })

  test('only the backends that the file names are loaded', async () => {
    let loads = 0
    const lazy = createConfigSource({
      disk: fakeBackends.disk,
      token: async () => {
        loads++
        return fakeSchemas.token
      },
    })
    expect((await lazy.load(fileWith(minimal))).problems).toEqual([])
    expect(loads).toBe(0)
  })

  test('a backend that does not load is a problem, not a crash', async () => {
    const broken = createConfigSource({
      disk: async () => {
        throw new Error('no such module\nRequire stack: …')
      },
    })
    const { problems } = await broken.load(fileWith(minimal))
    expect(problems).toEqual([
      { path: 'keys.a.backend', line: 4, text: 'this backend cannot be loaded: no such module' },
    ])
  })
})
