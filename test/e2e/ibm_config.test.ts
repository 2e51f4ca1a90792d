/** The built program with a config file in the layout of the IBM KMS plug-in: what its keys do while it runs. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { parseEnvelope } from '../../src/domain/envelope_format.js'
import { leaks, type Canary } from '../support/canaries.js'
import { HsmSandbox } from '../support/hsm.js'
import { freePort, until, type Process, type Sandbox, type Settings } from '../support/plugin.js'
import {
  converse,
  ofProcess,
  outputOf,
  pagesOf,
  plaintext,
  procOf,
  type Outputs,
} from '../support/provoked.js'
import { sandboxPerTest } from '../support/scene.js'
import { onSoftHsm, softHsmMissing } from '../support/softhsm.js'

const scene = sandboxPerTest()

const API_KEY = 'CANARY-API-KEY-of-the-IBM-file'

interface Changes {
  readonly server?: Settings
  readonly logger?: Settings
}

/** A file of IBM's layout that names the local key of the sandbox, without any port. */
async function ibmConfig(sandbox: Sandbox, { server, logger }: Changes = {}): Promise<Settings> {
  await sandbox.makeKeyFile()
  const { primary, keys } = sandbox.localConfig()
  return {
    SERVER_CONFIG: {
      REGION: 'IBMCloudPrivate',
      NUM_LEN_BYTES: 4,
      CACHE_TIMEOUT_IN_HOURS: 1,
      RESTART_DELAY_IN_SECONDS: 30,
      UNIX_SOCKET_PATH: sandbox.socket,
      API_KEY,
      HEALTHZ_PATH: '/healthz',
      HEALTHZ_PORT: `127.0.0.1:${await freePort()}`,
      NEW_DEK: false,
      MAX_RETRIES: 0,
      ...server,
    },
    LOGGER: { LOG_LEVEL: 'info', LOG_ALL_VALUES: false, ...logger },
    primary,
    keys,
  }
}

async function serve(changes?: Changes): Promise<Process> {
  return scene.sandbox.serve(await ibmConfig(scene.sandbox, changes))
}

/** The wrapped DEK of a new value, as text. */
async function wrappedDekOf(client: ReturnType<typeof scene.connect>): Promise<string> {
  const cipher = await client.v1Encrypt(plaintext)
  return Buffer.from(parseEnvelope(cipher).wrapped.bytes).toString('hex')
}

const answered = (plugin: Process) =>
  plugin.log().filter(({ level, msg }) => level === 'info' && msg === 'request answered').length

describe('a file of the IBM layout', () => {
  test('serves v1, which the IBM plug-in speaks, and v2 on UNIX_SOCKET_PATH', async () => {
    await serve()
    const client = scene.connect()
    await client.v1Version()
    expect(await client.v1Decrypt(await client.v1Encrypt(plaintext))).toEqual(plaintext)
    expect(await client.v2Decrypt(await client.v2Encrypt(plaintext))).toEqual(plaintext)
  })

  test.each([
    [true, 3],
    [false, 1],
  ])('NEW_DEK %j: three values are sealed under %i DEKs', async (newDek, count) => {
    await serve({ server: { NEW_DEK: newDek } })
    const client = scene.connect()
    const deks = [await wrappedDekOf(client), await wrappedDekOf(client), await wrappedDekOf(client)]
    expect(new Set(deks).size).toBe(count)
  })

  test.each([
    [0, 'miss'],
    [1, 'hit'],
  ])('CACHE_TIMEOUT_IN_HOURS %i: a value that is opened again is a %s', async (hours, result) => {
    const port = await freePort()
    await serve({ server: { CACHE_TIMEOUT_IN_HOURS: hours, HEALTHZ_PORT: `127.0.0.1:${port}` } })
    const client = scene.connect()
    const cipher = await client.v1Encrypt(plaintext)
    await client.v1Decrypt(cipher)
    const before = await lookups(port, result)
    await client.v1Decrypt(cipher)
    expect(await lookups(port, result)).toBe(before + 1)
  })

  test('health answers at HEALTHZ_PORT and HEALTHZ_PATH, as IBM’s probes ask', async () => {
    const port = await freePort()
    await serve({ server: { HEALTHZ_PORT: `127.0.0.1:${port}`, HEALTHZ_PATH: '/health/ibm' } })
    for (const path of ['/health/ibm', '/health/ibm/liveness', '/health/ibm/readiness', '/livez'])
      expect((await fetch(`http://127.0.0.1:${port}${path}`)).status, path).toBe(200)
    expect((await fetch(`http://127.0.0.1:${port}/healthz/liveness`)).status).toBe(404)
  })

  test.each([
    [false, 0],
    [true, 3],
  ])('LOG_ALL_VALUES %j: of three requests %i are logged at level info', async (all, count) => {
    const plugin = await serve({ logger: { LOG_ALL_VALUES: all } })
    const client = scene.connect()
    await client.v1Version()
    await client.v1Decrypt(await client.v1Encrypt(plaintext))
    await plugin.stop()
    expect(answered(plugin)).toBe(count)
  })

  test('RESTART_DELAY_IN_SECONDS: a socket in use is waited for, and SIGTERM ends the wait at once', async () => {
    scene.sandbox.makeFolder('run')
    const other = createServer((socket) => socket.end()).listen(scene.sandbox.socket)
    await once(other, 'listening')
    try {
      const config = await ibmConfig(scene.sandbox, { server: { RESTART_DELAY_IN_SECONDS: 3600 } })
      const plugin = scene.sandbox.begin(config)
      expect(await plugin.says('the start failed and is tried again')).toMatchObject({ afterMs: 3_600_000 })
      expect(await plugin.stop()).toEqual({ code: 0, signal: null })
    } finally {
      other.close()
    }
  })

  test('what it does otherwise is logged once each at start, and said by validate and check', async () => {
    const { sandbox } = scene
    const config = await ibmConfig(sandbox)
    const file = sandbox.writeConfig(config)
    const lineOf = (key: string) => readFileSync(file, 'utf8').split(`"${key}"`)[0]?.split('\n').length
    const warned = ['REGION', 'NUM_LEN_BYTES', 'API_KEY']

    const validated = await sandbox.run(['config', 'validate', '--config', file])
    expect(validated).toMatchObject({ code: 0, stdout: `${file}: valid\n` })
    expect(validated.stderr.match(/^.*: warning: \S+/gm)).toEqual(
      warned.map((key) => `${file}:${lineOf(key)}: warning: SERVER_CONFIG.${key}:`),
    )
    const checked = await sandbox.run(['check', '--config', file, '--json'])
    const { findings } = JSON.parse(checked.stdout) as { findings: { level: string; text: string }[] }
    expect(checked.code).toBe(0)
    for (const [index, key] of warned.entries()) {
      expect(findings[index]).toMatchObject({ level: 'warning', subject: 'config' })
      expect(findings[index]?.text).toContain(`SERVER_CONFIG.${key}, line ${lineOf(key)}: `)
    }
    const plugin = await sandbox.serve(config)
    expect(
      plugin
        .log()
        .filter(({ level, setting }) => level === 'warn' && setting !== undefined)
        .map(({ setting, line }) => [setting, line]),
    ).toEqual(warned.map((key) => [`SERVER_CONFIG.${key}`, lineOf(key)]))
  })

  test('a mistake ends it with 78, at the name and line of the file', async () => {
    const { sandbox } = scene
    const file = sandbox.writeConfig(await ibmConfig(sandbox, { server: { HEALTHZ_PORT: 20358 } }))
    const line = readFileSync(file, 'utf8').split('"HEALTHZ_PORT"')[0]?.split('\n').length
    const { code, stderr } = await sandbox.run(['serve', '--config', file])
    expect(code).toBe(78)
    expect(stderr).toMatch(`${file}:${line}: SERVER_CONFIG.HEALTHZ_PORT: must be a text`)
  })

  test('what config print prints of it serves as well, and opens what the file sealed', async () => {
    const { sandbox } = scene
    const config = await ibmConfig(sandbox)
    const plugin = await sandbox.serve(config)
    const sealed = await scene.connect().v1Encrypt(plaintext)
    await plugin.stop()
    const { stdout } = await sandbox.run(['config', 'print', '--config', sandbox.writeConfig(config)])
    const printed = parse(stdout) as Settings
    expect(Object.keys(printed)).toEqual(['server', 'envelope', 'retry', 'health', 'log', 'primary', 'keys'])
    await sandbox.serve(printed)
    expect(await scene.connect().v1Decrypt(sealed)).toEqual(plaintext)
  })

  test('shows neither plaintext nor its API key, though LOG_ALL_VALUES is on', async () => {
    const { sandbox } = scene
    const port = await freePort()
    const config = await ibmConfig(sandbox, {
      server: { HEALTHZ_PORT: `127.0.0.1:${port}`, NEW_DEK: true },
      logger: { LOG_LEVEL: 'debug', LOG_ALL_VALUES: true },
    })
    const plugin = await sandbox.serve(config)
    const { errors } = await converse(sandbox.socket)
    const outputs: Outputs = { errors, ...(await pagesOf(port)), ...procOf('plugin', plugin.pid) }
    const file = sandbox.writeConfig(config)
    const broken = sandbox.writeConfig({
      ...config,
      LOGGER: { [API_KEY.slice(0, 10)]: API_KEY, LOG_LEVEL: API_KEY },
    })
    for (const words of [['check'], ['config', 'print'], ['config', 'validate'], ['status']]) {
      for (const path of [file, broken])
        Object.assign(
          outputs,
          outputOf(words.join(' ') + path, await sandbox.run([...words, '--config', path])),
        )
    }
    await plugin.stop()
    const canaries: Canary[] = [
      { name: 'plaintext', bytes: plaintext },
      { name: 'API key', bytes: Buffer.from(API_KEY) },
    ]
    expect(leaks(canaries, { ...outputs, ...outputOf('plugin', ofProcess(plugin)) })).toEqual([])
    expect(answered(plugin)).toBeGreaterThan(4)
  })
})

/** How many lookups in the cache of opened DEKs ended so. */
async function lookups(port: number, result: string): Promise<number> {
  const page = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const line = page
    .split('\n')
    .find((text) => text.startsWith(`kmsplugin_dek_cache_lookups_total{result="${result}"}`))
  return Number(line?.split(' ')[1] ?? 0)
}

describe.skipIf(softHsmMissing !== undefined)(onSoftHsm('a file of the IBM layout beside an HSM'), () => {
  test('seals and opens with the key on the token, and after a restart too', async () => {
    const sandbox = await HsmSandbox.make()
    try {
      const { SERVER_CONFIG, LOGGER } = await ibmConfig(sandbox)
      const config = { SERVER_CONFIG, LOGGER, primary: 'hsm', keys: { hsm: sandbox.key() } } as Settings
      const options = { env: sandbox.hsm.env }
      const first = await sandbox.serve(config, options)
      const sealed = await scene.connect(undefined, sandbox.socket).v2Encrypt(plaintext)
      expect(sealed.keyId).toMatch(/^pkcs11:/)
      await first.stop()
      await sandbox.serve(config, options)
      const client = scene.connect(undefined, sandbox.socket)
      await until(async () => (await client.v2Status()).healthz === 'ok')
      expect(await client.v2Decrypt(sealed)).toEqual(plaintext)
    } finally {
      await sandbox.close()
    }
  })
})
