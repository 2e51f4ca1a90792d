/** The program with its code cache, with one that is of no use, and with none: the same program. */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { cacheOf } from '../../src/start/code_cache.js'
import { compiled } from '../support/compiled.js'
import { KmsClient } from '../support/kms_client.js'
import { program as built, Sandbox } from '../support/plugin.js'

/** Flags that V8 tells from none. */
const OTHER_FLAGS = ['--no-opt']

let tools: Sandbox
let codeCache: string
let sandbox: Sandbox
/** Of a copy of the build, away from every package. */
let program: string
let bundle: string
let cache: string

beforeAll(() => {
  tools = new Sandbox()
  codeCache = compiled('src/start/code_cache.ts', tools.folder)
})

afterAll(async () => tools.close())

beforeEach(async () => {
  sandbox = new Sandbox()
  const copy = sandbox.path('installed', 'dist')
  cpSync(dirname(built), copy, { recursive: true })
  cpSync(resolve(dirname(built), '../package.json'), sandbox.path('installed', 'package.json'))
  program = join(copy, 'main.js')
  bundle = join(copy, 'kmsplugin.js')
  cache = cacheOf(bundle)
  await sandbox.makeKeyFile()
})

afterEach(async () => sandbox.close())

/** Whether V8 takes it, in a process of its own. */
function isTaken(flags: readonly string[] = []): boolean {
  const script = `require(${JSON.stringify(codeCache)}).compile(${JSON.stringify(bundle)}).isFromCache`
  return execFileSync(process.execPath, [...flags, '--print', script], { encoding: 'utf8' }) === 'true\n'
}

function warmUp(flags: readonly string[] = [], env: Readonly<Record<string, string>> = {}) {
  return spawnSync(process.execPath, [...flags, join(dirname(program), 'warm_up.js')], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  })
}

/** What commands that work and commands that fail say, and how they end. */
async function habits(env: Readonly<Record<string, string>> = {}) {
  const config = sandbox.writeConfig(sandbox.localConfig())
  const commands = [
    ['--version'],
    ['chekc'],
    ['check', '--config', config],
    ['status', '--socket', sandbox.path('none')],
  ]
  return Promise.all(commands.map(async (words) => sandbox.run(words, { program, env })))
}

async function serves(): Promise<void> {
  const plugin = await sandbox.serve(sandbox.localConfig(), { program })
  const client = new KmsClient(sandbox.socket)
  try {
    const plaintext = Buffer.alloc(32, 7)
    expect(await client.v2Decrypt(await client.v2Encrypt(plaintext))).toEqual(plaintext)
  } finally {
    client.close()
  }
  expect(await plugin.stop()).toEqual({ code: 0, signal: null })
}

describe('a cache of no use', () => {
  test.each<[string, () => unknown]>([
    ['absent', () => rmSync(cache)],
    ['empty', () => truncateSync(cache, 0)],
    ['shorter than its checksums', () => truncateSync(cache, 10)],
    ['nothing but its checksums', () => truncateSync(cache, 12)],
    ['cut in the middle', () => truncateSync(cache, statSync(cache).size / 2)],
    ['garbage', () => writeFileSync(cache, Buffer.alloc(100_000, 'garbage'))],
    ['damaged in one bit', () => writeFileSync(cache, withOneBitFlipped(readFileSync(cache)))],
    [
      'of another build, of equal length',
      () => writeFileSync(bundle, edited(readFileSync(bundle, 'latin1'))),
    ],
    ['made with other flags of V8', () => expect(warmUp(OTHER_FLAGS).status).toBe(0)],
    ['a folder', () => [rmSync(cache), mkdirSync(cache)]],
  ])('%s: it is not taken, and nothing else changes', async (_, damage) => {
    const before = await habits()
    damage()
    expect(isTaken()).toBe(false)
    expect(await habits()).toEqual(before)
    await serves()
  })
})

test('the cache of the build is taken, by those flags that it was made with', () => {
  expect(isTaken()).toBe(true)
  expect(isTaken(OTHER_FLAGS)).toBe(false)
  expect(warmUp(OTHER_FLAGS).status).toBe(0)
  expect(isTaken(OTHER_FLAGS)).toBe(true)
})

test('whoever runs the program writes nothing beside it', async () => {
  const before = listing()
  await habits()
  await serves()
  expect(listing()).toEqual(before)
  rmSync(cache)
  const without = listing()
  await serves()
  expect(listing()).toEqual(without)
})

function listing(): string[] {
  const folder = dirname(program)
  return readdirSync(folder).map((name) => `${name} ${statSync(join(folder, name)).mtimeMs}`)
}

test('who may write the cache is who may write the bundle, whatever the umask', () => {
  const command = `umask 0; exec "$0" "$1"`
  const { status } = spawnSync('sh', ['-c', command, process.execPath, join(dirname(program), 'warm_up.js')])
  expect(status).toBe(0)
  expect(statSync(cache).mode).toBe(statSync(bundle).mode)
})

test('a warm-up that fails leaves no cache, and says why', () => {
  writeFileSync(bundle, 'this is no program')
  const { status, stderr } = warmUp()
  expect(status).toBe(1)
  expect(stderr).toContain('SyntaxError')
  expect(readdirSync(dirname(program))).not.toContain('kmsplugin.cache')
})

test('a warm-up on a full disk leaves nothing, and says why', () => {
  symlinkSync('/dev/full', `${cache}.new`)
  const { status, stderr } = warmUp()
  expect(status).toBe(1)
  expect(stderr).toContain('ENOSPC')
  expect(readdirSync(dirname(program)).filter((name) => name.includes('cache'))).toEqual([])
})

test('a warm-up that has no place to work says so in one line', () => {
  const { status, stderr } = warmUp([], { TMPDIR: sandbox.path('none') })
  expect(status).toBe(1)
  expect(stderr).toMatch(/^no code cache: ENOENT.*\n$/)
})

// Node.js 20 knows no such variable, and asks no proxy either.
test('a warm-up asks no proxy for our own pages', () => {
  const proxy = { NODE_USE_ENV_PROXY: '1', HTTP_PROXY: 'http://127.0.0.1:9' }
  expect(warmUp([], proxy)).toMatchObject({ status: 0 })
})

test.each([
  '--enable-source-maps',
  '--max-old-space-size=100',
  '--disallow-code-generation-from-strings',
  '--import=data:text/javascript,',
  '--interpreted-frames-native-stack',
  '--preserve-symlinks-main',
])('with NODE_OPTIONS=%s it is the same program', async (options) => {
  expect(await habits({ NODE_OPTIONS: options })).toEqual(await habits())
})

test('the HSM process holds nothing of the plugin', () => {
  const folder = join(dirname(built), 'child')
  const maps = readdirSync(folder).filter((name) => name.endsWith('.map'))
  expect(maps).toHaveLength(2)
  for (const name of maps) {
    const { sources } = JSON.parse(readFileSync(join(folder, name), 'utf8')) as { sources: string[] }
    for (const source of sources)
      expect(source).toMatch(/\/src\/(adapters\/backends\/pkcs11\/(child|shared)|ports)\//)
  }
})

function withOneBitFlipped(bytes: Buffer): Buffer {
  const middle = bytes.length >> 1
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle)
  return bytes
}

/** Another program to our eyes, the same to those of V8, which compares lengths. */
function edited(source: string): string {
  const text = 'the primary key has not proved itself yet'
  expect(source).toContain(text)
  return source.replace(text, text.toUpperCase())
}
