/** Files in the layout of the IBM Cloud Private KMS plug-in: what each key does, and what is refused. */
import fc from 'fast-check'
import { relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { Config } from '../../../src/ports/config.js'
import { ibmKeys } from '../../../src/adapters/config/ibm/keys.js'
import { fileWith, minimal, problemsOf } from './fixtures.js'
import {
  API_KEY,
  ibmFile,
  ibmProblems,
  ibmSource,
  lineOf,
  loadIbm,
  ownKey,
  published,
  type Loaded,
} from './ibm_fixtures.js'

/** `line path` of each problem. */
async function placesOf(content: string): Promise<readonly string[]> {
  return (await ibmProblems(content)).map(({ path, line }) => `${line ?? '-'} ${path}`)
}

async function onlyText(content: string): Promise<string> {
  const problems = await ibmProblems(content)
  expect(problems).toHaveLength(1)
  return problems[0]?.text ?? ''
}

const configWith = async (changes: Readonly<Record<string, unknown>>) =>
  (await loadIbm(ibmFile(changes))).config

/** The options by which a root key opens values of the IBM plug-in; it must be allowed to, and open no others. */
function decoderOf({ config }: Loaded, key: string): Readonly<Record<string, unknown>> {
  const { decode, allowUnauthenticated } = config.keys[key] ?? {}
  expect(allowUnauthenticated).toBe(true)
  expect(decode).toHaveLength(1)
  const { format, ...options } = decode?.[0] ?? {}
  expect(format).toBe('ibm-kmsplugin')
  return options
}

/** The config of the published file, with the API key at the place of this one. */
async function sameAsPublished({ file }: Loaded): Promise<Config> {
  const { config } = await loadIbm(ibmFile())
  return { ...config, keys: { ibm: { ...config.keys['ibm'], backend: 'ibm', apiKey: `ibm-config:${file}` } } }
}

/** What is said about one key. */
async function noticesOn(path: string, content: string): Promise<readonly string[]> {
  const { notices } = await loadIbm(content)
  return notices.filter((notice) => notice.path === path).map(({ text }) => text)
}

describe('a mistake is reported at the key of the file, with its line', () => {
  test.each([
    ['SERVER_CONFIG.REGION', 5],
    ['SERVER_CONFIG.NUM_LEN_BYTES', 0],
    ['SERVER_CONFIG.NUM_LEN_BYTES', 9],
    ['SERVER_CONFIG.NUM_LEN_BYTES', '4'],
    ['SERVER_CONFIG.CACHE_TIMEOUT_IN_HOURS', -1],
    ['SERVER_CONFIG.CACHE_TIMEOUT_IN_HOURS', 0.5],
    ['SERVER_CONFIG.CACHE_TIMEOUT_IN_HOURS', '1h'],
    ['SERVER_CONFIG.CACHE_TIMEOUT_IN_HOURS', '1'],
    ['SERVER_CONFIG.RESTART_DELAY_IN_SECONDS', -1],
    ['SERVER_CONFIG.RESTART_DELAY_IN_SECONDS', '30s'],
    ['SERVER_CONFIG.UNIX_SOCKET_PATH', 'kms.sock'],
    ['SERVER_CONFIG.UNIX_SOCKET_PATH', '@kms'],
    ['SERVER_CONFIG.UNIX_SOCKET_PATH', undefined],
    ['SERVER_CONFIG.TOKEN_URL', 'iam'],
    ['SERVER_CONFIG.TOKEN_URL', ''],
    ['SERVER_CONFIG.TOKEN_URL_CA_FILE', 'ca.pem'],
    ['SERVER_CONFIG.API_KEY', ''],
    ['SERVER_CONFIG.API_KEY', ' '],
    ['SERVER_CONFIG.API_KEY', 12345],
    ['SERVER_CONFIG.API_KEY', undefined],
    ['SERVER_CONFIG.HEALTHZ_PATH', 'healthz'],
    ['SERVER_CONFIG.HEALTHZ_PATH', '/livez'],
    ['SERVER_CONFIG.HEALTHZ_PORT', 20358],
    ['SERVER_CONFIG.HEALTHZ_PORT', '20358'],
    ['SERVER_CONFIG.HEALTHZ_PORT', ':0'],
    ['SERVER_CONFIG.HEALTHZ_PORT', ':65536'],
    ['SERVER_CONFIG.HEALTHZ_PORT', ''],
    ['SERVER_CONFIG.NEW_DEK', 'true'],
    ['SERVER_CONFIG.NEW_DEK', 1],
    ['SERVER_CONFIG.MAX_RETRIES', '0'],
    ['SERVER_CONFIG.MAX_RETRIES', -1],
    ['KP_CONFIG.VERSION', 0],
    ['KP_CONFIG.VERSION', '1'],
    ['KP_CONFIG.CRK_ID', 7],
    ['KP_CONFIG.CRK_ID', undefined],
    ['KP_CONFIG.URL', 'kms'],
    ['KP_CONFIG.URL', undefined],
    ['KP_CONFIG.KP_CA_FILE', 'ca.pem'],
    ['KP_CONFIG.INSTANCE_ID', true],
    ['KP_CONFIG.INSTANCE_ID', undefined],
    ['LOGGER.LOG_LEVEL', 'INFO'],
    ['LOGGER.LOG_LEVEL', 'trace'],
    ['LOGGER.LOG_ALL_VALUES', 'false'],
  ])('%s: %j', async (path, value) => {
    const content = ibmFile({ [path]: value })
    const line = lineOf(content, `${path.split('.')[1] ?? ''}:`)
    expect(await placesOf(content)).toEqual([`${line === 0 ? '-' : line} ${path}`])
  })

  test.each(ibmKeys.map(({ section, name }) => `${section}.${name}`))(
    '%s: the placeholder of an example, nothing, or a list',
    async (path) => {
      const key = path.split('.')[1] ?? ''
      for (const [value, text] of [
        ['<your value>', /placeholder of an example/],
        [null, /is empty/],
        [['x'], /must be one value/],
      ] as const) {
        const content = ibmFile({ [path]: value })
        expect(await ibmProblems(content)).toEqual([
          { path, line: lineOf(content, `${key}:`), text: expect.stringMatching(text) as string },
        ])
      }
    },
  )

  test('all at once, in the order of the file, each once', async () => {
    const content = ibmFile({
      'SERVER_CONFIG.UNIX_SOCKET_PATH': 'kms.sock',
      'SERVER_CONFIG.TOKEN_URL': 'iam',
      'SERVER_CONFIG.API_KEY': '<api key>',
      'SERVER_CONFIG.HEALTHZ_PORT': 20358,
      'SERVER_CONFIG.NEW_KEK': true,
      'KP_CONFIG.URL': 'kms',
      'KP_CONFIG.CRK_ID': undefined,
      'LOGGER.LOG_LEVEL': 'loud',
    })
    expect((await ibmProblems(content)).map(({ path }) => path)).toEqual([
      'SERVER_CONFIG.UNIX_SOCKET_PATH',
      'SERVER_CONFIG.TOKEN_URL',
      'SERVER_CONFIG.API_KEY',
      'SERVER_CONFIG.HEALTHZ_PORT',
      'SERVER_CONFIG.NEW_KEK',
      'KP_CONFIG.URL',
      'LOGGER.LOG_LEVEL',
      'KP_CONFIG.CRK_ID',
    ])
  })

  test('never with the value, which may be a secret in the wrong place', async () => {
    for (const { section, name } of ibmKeys) {
      for (const value of [API_KEY, [API_KEY], { [API_KEY]: API_KEY }, `<${API_KEY}>`]) {
        const result = await ibmSource.load(
          fileWith(ibmFile({ [`${section}.${name}`]: value, 'LOGGER.X': API_KEY })),
        )
        expect(JSON.stringify(result.problems)).not.toContain(API_KEY)
        expect(result.problems.length).toBeGreaterThan(0)
      }
    }
  })
})

describe('what has no place in the file', () => {
  test.each([
    [{ 'SERVER_CONFIG.NEW_DEKS': true }, 'SERVER_CONFIG.NEW_DEKS', 'did you mean "NEW_DEK"?'],
    [{ 'SERVER_CONFIG.healthz_port': ':1' }, 'SERVER_CONFIG.healthz_port', 'did you mean "HEALTHZ_PORT"?'],
    [{ 'KP_CONFIG.KEY_ID': 'x' }, 'KP_CONFIG.KEY_ID', 'did you mean "CRK_ID"?'],
    [{ 'LOGGER.COLOUR': 'x' }, 'LOGGER.COLOUR', 'known here: LOG_LEVEL, LOG_ALL_VALUES'],
    [{ 'KP_CONFIG.API_KEY': 'x' }, 'KP_CONFIG.API_KEY', 'belongs in SERVER_CONFIG'],
    [{ 'SERVER_CONFIG.LOG_LEVEL': 'info' }, 'SERVER_CONFIG.LOG_LEVEL', 'belongs in LOGGER'],
  ])('%j is named, with what was meant', async (changes, path, hint) => {
    const [problem, ...others] = await ibmProblems(ibmFile(changes))
    expect(others).toEqual([])
    expect(problem).toMatchObject({ path, text: expect.stringContaining(hint) as string })
  })

  test.each([
    ['LOGER:\n', '23 LOGER', 'did you mean "LOGGER"?'],
    ['API_KEY: x\n', '23 API_KEY', 'belongs in SERVER_CONFIG'],
    ['server:\n  socket: /x\n', '24 server.socket', 'must be SERVER_CONFIG.UNIX_SOCKET_PATH'],
    ['health:\n  path: /x\n', '24 health.path', 'must be SERVER_CONFIG.HEALTHZ_PATH'],
    ['log:\n  level: info\n', '24 log.level', 'must be LOGGER.LOG_LEVEL'],
    ['envelope:\n  cipher: A256GCM\n', '24 envelope.cipher', 'write the whole file in our own'],
    ['retry:\n', '23 retry', 'write the whole file in our own'],
  ])('%j at the top is named, with what to do', async (beside, place, hint) => {
    const content = ibmFile({}, beside)
    expect(await placesOf(content)).toEqual([place])
    expect(await onlyText(content)).toContain(hint)
  })

  test.each([
    ['SERVER_CONFIG', 'x'],
    ['SERVER_CONFIG', []],
    ['KP_CONFIG', 'x'],
    ['KP_CONFIG', 5],
    ['LOGGER', [1]],
  ])('%s that is %j is one mistake', async (section, value) => {
    const content = ibmFile({ [section]: undefined }, `${section}: ${JSON.stringify(value)}\n`)
    expect(await placesOf(content)).toEqual([`${lineOf(content, section)} ${section}`])
  })

  test('a file of which only the log section is written wants its socket and a key', async () => {
    expect(await placesOf('LOGGER:\n')).toEqual(['- SERVER_CONFIG.UNIX_SOCKET_PATH', '- KP_CONFIG'])
    expect(await placesOf('SERVER_CONFIG:\n  UNIX_SOCKET_PATH: /run/k\nKP_CONFIG:\n')).toEqual([
      '3 KP_CONFIG',
    ])
  })

  test('a file in our own layout knows nothing of IBM', async () => {
    expect((await problemsOf(`API_KEY: x\n${minimal}`)).map(({ path }) => path)).toEqual(['API_KEY'])
  })
})

test('whatever stands in the file, it is a config or has problems, each of one line', async () => {
  const names = [...ibmKeys.map(({ name }) => name), 'X', '__proto__']
  const section = fc.oneof(
    fc.dictionary(fc.constantFrom(...names), fc.jsonValue({ maxDepth: 2 })),
    fc.jsonValue(),
  )
  const own = fc.option(fc.jsonValue({ maxDepth: 3 }), { nil: undefined })
  const sections = {
    SERVER_CONFIG: section,
    KP_CONFIG: fc.oneof(section, fc.array(section)),
    LOGGER: section,
  }
  const roots = fc.record({ ...sections, primary: own, keys: own, server: own }, { requiredKeys: ['LOGGER'] })
  await fc.assert(
    fc.asyncProperty(roots, async (root) => {
      const result = await ibmSource.load(fileWith(JSON.stringify(root)))
      if ('config' in result) return
      expect(result.problems.length).toBeGreaterThan(0)
      for (const { text } of result.problems) expect(text).toMatch(/^.+$/)
    }),
    { numRuns: 300 },
  )
})

describe('what IBM publishes', () => {
  test('has all 19 keys, in its order', () => {
    const names = Object.values(published).flatMap((values) => Object.keys(values))
    expect(names).toEqual(ibmKeys.map(({ name }) => name))
    expect(names).toHaveLength(19)
  })

  test('loads, and says the same in our layout', async () => {
    const { config, file } = await loadIbm(ibmFile())
    expect(config).toMatchObject({
      server: {
        socket: '/etc/origin/master/keyprotectprovider.sock',
        kmsV1: true,
        restartDelayMs: 30_000,
      },
      envelope: { dek: 'reused', dekCacheTimeoutMs: 3_600_000 },
      retry: { maxRetries: 0 },
      health: { address: { host: '0.0.0.0', port: 20358 }, path: '/healthz' },
      log: { level: 'info', allValues: false },
      primary: 'ibm',
    })
    expect(config.keys).toEqual({
      ibm: {
        backend: 'ibm',
        url: 'https://kms-api.kube-system:28674',
        instanceId: '7f2c9e4b-33d1-4be0-8a55-5f1b6f0ad002',
        keyId: 'b2f1d6a0-5c1e-4f0b-9a3d-0a8d9be1c001',
        apiKey: `ibm-config:${file}`,
        tokenUrl: 'https://iam-token-service.kube-system:10443/oidc/token',
        caFile: '/etc/origin/master/kmsplugin/kms-ca.pem',
        tokenCaFile: '/etc/origin/master/kmsplugin/iam-ca.pem',
        decode: [{ format: 'ibm-kmsplugin', version: 1, lengthBytes: 4 }],
        allowUnauthenticated: true,
      },
    })
  })

  test('has a notice for each key that does something else, with its line, and no other', async () => {
    const content = ibmFile()
    const { notices } = await loadIbm(content)
    expect(notices.map(({ path, line }) => [path, line])).toEqual(
      ['REGION', 'API_KEY', 'HEALTHZ_PORT'].map((name) => [
        `SERVER_CONFIG.${name}`,
        lineOf(content, `${name}:`),
      ]),
    )
    for (const { text } of notices) expect(text).not.toMatch(/\n/)
  })

  test('is printed in our layout without its API key, and that loads to the same config', async () => {
    const { config } = await loadIbm(ibmFile())
    const printed = ibmSource.print(config)
    expect(printed).not.toContain(API_KEY)
    expect(Object.keys(parse(printed) as object)).not.toContain('SERVER_CONFIG')
    expect(await loadIbm(printed)).toMatchObject({ config, notices: [] })
  })

  test('may be found by a relative path: the reference to its API key is absolute', async () => {
    const file = fileWith(ibmFile())
    const result = await ibmSource.load(relative(process.cwd(), file))
    expect(result).toMatchObject({ config: { keys: { ibm: { apiKey: `ibm-config:${file}` } } } })
  })
})

describe('each key', () => {
  test.each(['IBMCloudPakForMCM', '', 'us-south'])('REGION %j has no effect and says so', async (region) => {
    const content = ibmFile({ 'SERVER_CONFIG.REGION': region })
    const loaded = await loadIbm(content)
    expect(loaded.config).toEqual(await sameAsPublished(loaded))
    expect(await noticesOn('SERVER_CONFIG.REGION', content)).toEqual([
      expect.stringContaining('has no effect'),
    ])
  })

  test.each([1, 8])(
    'NUM_LEN_BYTES %j is the width of a length in the values of the IBM plug-in',
    async (bytes) => {
      const content = ibmFile({ 'SERVER_CONFIG.NUM_LEN_BYTES': bytes })
      expect(decoderOf(await loadIbm(content), 'ibm')).toEqual({ version: 1, lengthBytes: bytes })
      expect(await noticesOn('SERVER_CONFIG.NUM_LEN_BYTES', content)).toEqual([])
    },
  )

  test.each([
    [0, 0],
    [4, 4 * 3_600_000],
    [168, 604_800_000],
  ])('CACHE_TIMEOUT_IN_HOURS %j keeps opened DEKs so long', async (hours, ms) => {
    const content = ibmFile({ 'SERVER_CONFIG.CACHE_TIMEOUT_IN_HOURS': hours })
    expect((await loadIbm(content)).config.envelope.dekCacheTimeoutMs).toBe(ms)
    expect(await noticesOn('SERVER_CONFIG.CACHE_TIMEOUT_IN_HOURS', content)).toEqual([])
  })

  test.each([
    [0, 0],
    [1, 1000],
    [3600, 3_600_000],
  ])('RESTART_DELAY_IN_SECONDS %j waits so long after a start that failed', async (seconds, ms) => {
    const content = ibmFile({ 'SERVER_CONFIG.RESTART_DELAY_IN_SECONDS': seconds })
    expect((await loadIbm(content)).config.server.restartDelayMs).toBe(ms)
    expect(await noticesOn('SERVER_CONFIG.RESTART_DELAY_IN_SECONDS', content)).toEqual([])
  })

  test.each([
    ['SERVER_CONFIG.CACHE_TIMEOUT_IN_HOURS', 169, 168, { envelope: { dekCacheTimeoutMs: 604_800_000 } }],
    ['SERVER_CONFIG.RESTART_DELAY_IN_SECONDS', 3601, 3600, { server: { restartDelayMs: 3_600_000 } }],
    ['SERVER_CONFIG.MAX_RETRIES', 11, 10, { retry: { maxRetries: 10 } }],
  ])('%s beyond what we have is cut to our most, and said', async (path, value, most, effect) => {
    const content = ibmFile({ [path]: value })
    expect((await loadIbm(content)).config).toMatchObject(effect)
    expect(await noticesOn(path, content)).toEqual([expect.stringContaining(`more than ${most}`)])
  })

  test('UNIX_SOCKET_PATH is the socket', async () => {
    const path = '/var/run/icp/keyprotectprovider.sock'
    expect((await configWith({ 'SERVER_CONFIG.UNIX_SOCKET_PATH': path })).server.socket).toBe(path)
  })

  test('TOKEN_URL and TOKEN_URL_CA_FILE are where the token comes from, and whom to trust there', async () => {
    const config = await configWith({
      'SERVER_CONFIG.TOKEN_URL': 'https://iam.example.com/token',
      'SERVER_CONFIG.TOKEN_URL_CA_FILE': '/ca',
    })
    expect(config.keys['ibm']).toMatchObject({
      tokenUrl: 'https://iam.example.com/token',
      tokenCaFile: '/ca',
    })
  })

  test('API_KEY may be a reference, which is taken as it is and needs no notice', async () => {
    const content = ibmFile({ 'SERVER_CONFIG.API_KEY': 'file:/etc/kmsplugin/api-key' })
    expect((await loadIbm(content)).config.keys['ibm']).toMatchObject({
      apiKey: 'file:/etc/kmsplugin/api-key',
    })
    expect(await noticesOn('SERVER_CONFIG.API_KEY', content)).toEqual([])
  })

  test('API_KEY as a literal is a reference to the file, and the notice says how to keep it', async () => {
    expect(await noticesOn('SERVER_CONFIG.API_KEY', ibmFile())).toEqual([expect.stringMatching(/0600/)])
  })

  test('HEALTHZ_PATH is the health path', async () => {
    expect((await configWith({ 'SERVER_CONFIG.HEALTHZ_PATH': '/h' })).health.path).toBe('/h')
  })

  test.each([':20358', undefined])(
    'HEALTHZ_PORT %j is a port of all interfaces, and the notice says how to change that',
    async (port) => {
      const content = ibmFile({ 'SERVER_CONFIG.HEALTHZ_PORT': port })
      expect((await loadIbm(content)).config.health.address).toEqual({ host: '0.0.0.0', port: 20358 })
      const [text] = await noticesOn('SERVER_CONFIG.HEALTHZ_PORT', content)
      expect(text).toContain('"127.0.0.1:20358"')
      expect(text).toContain('host: 127.0.0.1')
    },
  )

  test.each([
    ['127.0.0.1:8080', { host: '127.0.0.1', port: 8080 }],
    ['[::]:20358', { host: '::', port: 20358 }],
  ])('HEALTHZ_PORT %j is taken as it is', async (given, address) => {
    const content = ibmFile({ 'SERVER_CONFIG.HEALTHZ_PORT': given })
    expect((await loadIbm(content)).config.health.address).toEqual(address)
    expect(await noticesOn('SERVER_CONFIG.HEALTHZ_PORT', content)).toEqual([])
  })

  test.each([
    [true, 'fresh'],
    [false, 'reused'],
  ])('NEW_DEK %j makes DEKs %s', async (newDek, dek) => {
    expect((await configWith({ 'SERVER_CONFIG.NEW_DEK': newDek })).envelope.dek).toBe(dek)
  })

  test.each([0, 3, 10])('MAX_RETRIES %j is how often a call is tried again', async (retries) => {
    const content = ibmFile({ 'SERVER_CONFIG.MAX_RETRIES': retries })
    expect((await loadIbm(content)).config.retry.maxRetries).toBe(retries)
    expect(await noticesOn('SERVER_CONFIG.MAX_RETRIES', content)).toEqual([])
  })

  test('VERSION says which values of the IBM plug-in the root key opens', async () => {
    const content = ibmFile({ 'KP_CONFIG.VERSION': 7 })
    expect(decoderOf(await loadIbm(content), 'ibm')).toEqual({ version: 7, lengthBytes: 4 })
    expect(await noticesOn('KP_CONFIG.VERSION', content)).toEqual([])
  })

  test('CRK_ID, INSTANCE_ID, URL and KP_CA_FILE name the root key and its service', async () => {
    const config = await configWith({
      'KP_CONFIG.CRK_ID': 'c',
      'KP_CONFIG.INSTANCE_ID': 'i',
      'KP_CONFIG.URL': 'https://kms.example.com',
      'KP_CONFIG.KP_CA_FILE': '/ca',
    })
    expect(config.keys['ibm']).toMatchObject({
      keyId: 'c',
      instanceId: 'i',
      url: 'https://kms.example.com',
      caFile: '/ca',
    })
  })

  test.each(['info', 'debug', 'warn', 'error'])('LOG_LEVEL %s is the log level', async (level) => {
    expect((await configWith({ 'LOGGER.LOG_LEVEL': level })).log.level).toBe(level)
  })

  test('LOG_ALL_VALUES logs every request, and the notice says what it never logs', async () => {
    const content = ibmFile({ 'LOGGER.LOG_ALL_VALUES': true })
    expect((await loadIbm(content)).config.log.allValues).toBe(true)
    expect(await noticesOn('LOGGER.LOG_ALL_VALUES', content)).toEqual([
      expect.stringMatching(/never hold a key, a PIN or plaintext/),
    ])
  })

  test('that is missing has our own default', async () => {
    const content = ibmFile({
      ...Object.fromEntries(
        Object.keys(published.SERVER_CONFIG).map((name) => [`SERVER_CONFIG.${name}`, undefined]),
      ),
      'SERVER_CONFIG.UNIX_SOCKET_PATH': '/run/k',
      'SERVER_CONFIG.API_KEY': 'env:API_KEY',
      'KP_CONFIG.VERSION': undefined,
      'KP_CONFIG.KP_CA_FILE': undefined,
      LOGGER: undefined,
    })
    const { config, notices } = await loadIbm(content)
    expect(config).toMatchObject({
      server: { socket: '/run/k', restartDelayMs: 0 },
      envelope: { dek: 'reused', dekCacheTimeoutMs: 3_600_000 },
      retry: { maxRetries: 2 },
      health: { path: '/healthz' },
      log: { level: 'info', allValues: false },
    })
    expect(notices.map(({ path }) => path)).toEqual(['SERVER_CONFIG.HEALTHZ_PORT'])
  })
})

describe('a key of ours beside IBM’s sections', () => {
  test('stands for the root key where there is no KP_CONFIG', async () => {
    const { config } = await loadIbm(ibmFile({ KP_CONFIG: undefined }, ownKey))
    expect(config).toMatchObject({ primary: 'hsm', keys: { hsm: { backend: 'disk', path: '/var/lib/k' } } })
    expect(Object.keys(config.keys)).toEqual(['hsm'])
  })

  test('leaves what SERVER_CONFIG says of the service without effect, and that is said', async () => {
    const { notices } = await loadIbm(ibmFile({ KP_CONFIG: undefined }, ownKey))
    const unused = notices.filter(({ text }) => text.includes('without KP_CONFIG')).map(({ path }) => path)
    expect(unused).toEqual([
      'SERVER_CONFIG.NUM_LEN_BYTES',
      'SERVER_CONFIG.TOKEN_URL',
      'SERVER_CONFIG.TOKEN_URL_CA_FILE',
      'SERVER_CONFIG.API_KEY',
    ])
    expect(notices.filter(({ path }) => path === 'SERVER_CONFIG.API_KEY')).toHaveLength(1)
  })

  test('seals while KP_CONFIG only opens, values of the IBM plug-in too', async () => {
    const loaded = await loadIbm(ibmFile({}, ownKey))
    const { config } = loaded
    expect(decoderOf(loaded, 'ibm')).toEqual({ version: 1, lengthBytes: 4 })
    expect(config.keys['hsm']).not.toHaveProperty('decode')
    expect(config.primary).toBe('hsm')
    expect(Object.keys(config.keys)).toEqual(['ibm', 'hsm'])
  })

  test.each(['', 'primary: ibm\n'])('only opens with %j', async (primary) => {
    const { config } = await loadIbm(ibmFile({}, `${primary}${ownKey.replace('primary: hsm\n', '')}`))
    expect(config.primary).toBe('ibm')
    expect(Object.keys(config.keys)).toEqual(['ibm', 'hsm'])
  })

  test.each([
    [
      'keys:\n  ibm:\n    backend: disk\n    path: /k\n',
      '24 keys.ibm',
      'the name of a root key of KP_CONFIG',
    ],
    ['primary: hsn\nkeys:\n  hsm:\n    backend: disk\n    path: /k\n', '23 primary', 'did you mean "hsm"?'],
    ['primary: hsm\n', '23 primary', 'must be the name of a key'],
    ['keys:\n  hsm:\n    backend: disk\n    path: k\n', '26 keys.hsm.path', 'must be an absolute path'],
    ['keys:\n', '23 keys', 'must hold at least one key'],
    ['keys: x\n', '23 keys', 'must hold at least one key'],
  ])('that is wrong (%j) is reported at its own place', async (beside, place, text) => {
    expect(await placesOf(ibmFile({}, beside))).toEqual([place])
    expect(await onlyText(ibmFile({}, beside))).toContain(text)
  })

  test('without KP_CONFIG needs a primary', async () => {
    const beside = ownKey.replace('primary: hsm\n', '')
    expect(await placesOf(ibmFile({ KP_CONFIG: undefined }, beside))).toEqual(['- primary'])
  })
})

describe('several root keys in a list', () => {
  const item = (version: unknown, crkId: string) => ({
    ...published.KP_CONFIG,
    VERSION: version,
    CRK_ID: crkId,
  })
  const listed = (...items: unknown[]) =>
    ibmFile(
      { KP_CONFIG: undefined },
      `KP_CONFIG:\n${items.map((one) => `  - ${JSON.stringify(one)}\n`).join('')}`,
    )

  test('are named by VERSION, and the highest seals, which is said', async () => {
    const { config, notices } = await loadIbm(listed(item(2, 'two'), item(10, 'ten'), item(1, 'one')))
    expect(Object.entries(config.keys).map(([name, { keyId }]) => [name, keyId])).toEqual([
      ['ibm-2', 'two'],
      ['ibm-10', 'ten'],
      ['ibm-1', 'one'],
    ])
    expect(config.primary).toBe('ibm-10')
    expect(notices.filter(({ path }) => path.startsWith('KP_CONFIG'))).toEqual([
      { path: 'KP_CONFIG', line: 17, text: expect.stringContaining('ibm-10') as string },
    ])
    expect(await loadIbm(ibmSource.print(config))).toMatchObject({ config })
  })

  test('each opens the values of the IBM plug-in that have its VERSION', async () => {
    const loaded = await loadIbm(listed(item(2, 'two'), item(10, 'ten')))
    expect(decoderOf(loaded, 'ibm-2')).toEqual({ version: 2, lengthBytes: 4 })
    expect(decoderOf(loaded, 'ibm-10')).toEqual({ version: 10, lengthBytes: 4 })
  })

  test('another one seals where primary says so', async () => {
    const { config, notices } = await loadIbm(`${listed(item(1, 'one'), item(2, 'two'))}primary: ibm-1\n`)
    expect(config.primary).toBe('ibm-1')
    expect(notices.filter(({ path }) => path.startsWith('KP_CONFIG'))).toEqual([])
  })

  test.each([
    [[], ['17 KP_CONFIG']],
    [[{ ...item(1, 'x'), VERSION: undefined }], ['- KP_CONFIG.0.VERSION']],
    [[item('1', 'x')], ['18 KP_CONFIG.0.VERSION']],
    [[item(1.5, 'x')], ['18 KP_CONFIG.0.VERSION']],
    [[item(0, 'x')], ['18 KP_CONFIG.0.VERSION']],
    [[item(1, 'x'), item(1, 'y')], ['19 KP_CONFIG.1.VERSION']],
    [[item(1, 'x'), 'y'], ['19 KP_CONFIG.1']],
    [
      [item(1, 'x'), { ...item(2, 'y'), CRK: 'z', URL: 'kms' }],
      ['19 KP_CONFIG.1.CRK', '19 KP_CONFIG.1.URL'],
    ],
  ])('%j has its mistakes at the place in the list', async (items, places) => {
    const content =
      items.length === 0 ? ibmFile({ KP_CONFIG: undefined }, 'KP_CONFIG: []\n') : listed(...items)
    expect(await placesOf(content)).toEqual(places)
  })

  test('that share a mistake of SERVER_CONFIG report it once', async () => {
    const content = listed(item(1, 'x'), item(2, 'y')).replace(/TOKEN_URL: .*/, 'TOKEN_URL: "iam"')
    expect(await placesOf(content)).toEqual(['7 SERVER_CONFIG.TOKEN_URL'])
  })
})
