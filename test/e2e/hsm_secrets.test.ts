/** The PIN stays in the HSM process, and no secret gets out of it: not by logs, files, memory, nor when it fails or dies. */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { formsOf, leaks, type Canary } from '../support/canaries.js'
import { withoutNotes } from '../support/core_file.js'
import { faultModuleMissing, makeFaultModule, type FaultModule } from '../support/fault_module.js'
import { childrenOf, HsmSandbox } from '../support/hsm.js'
import { KmsClient } from '../support/kms_client.js'
import { scanMemory } from '../support/memory_scan.js'
import { freePort, until, type Process, type Settings } from '../support/plugin.js'
import {
  converse,
  ofProcess,
  outputOf,
  pagesOf,
  plaintext,
  procOf,
  talk,
  talkative,
  type Outputs,
} from '../support/provoked.js'
import { onSoftHsm, softHsmMissing } from '../support/softhsm.js'

const PIN = 'CANARY-PIN-41c7'
const WRONG_PIN = 'CANARY-WRONG-PIN'
const CKF_USER_PIN_LOCKED = '0x40000'
/** For a machine that does much else. */
const BOUND_MS = 30_000

const pins: readonly Canary[] = [
  { name: 'PIN', bytes: Buffer.from(PIN) },
  { name: 'wrong PIN', bytes: Buffer.from(WRONG_PIN) },
]
const canaries: readonly Canary[] = [...pins, { name: 'plaintext', bytes: plaintext }]

/** Those in which memory would hold a secret. */
const formsInMemory = ['raw', 'hex', 'base64 at 0', 'base64url at 0', 'UTF-16LE']

/** Where the kernel puts core files (core(5)): to a program, to a folder, or beside the process. */
const corePattern = readFileSync('/proc/sys/kernel/core_pattern', 'utf8').trim()
const isCoreLeftHere = !corePattern.startsWith('|') && !corePattern.includes('/')

const missing = softHsmMissing ?? faultModuleMissing

describe.skipIf(missing !== undefined)(onSoftHsm('a PIN and a plaintext that are easy to recognise'), () => {
  let sandbox: HsmSandbox
  let token: FaultModule
  let port: number
  let startedMs: number
  let outputs: Outputs

  beforeEach(async () => {
    startedMs = Date.now() - 1000
    outputs = {}
    sandbox = await HsmSandbox.make()
    sandbox.makeFolder('tmp')
    token = makeFaultModule(sandbox.hsm)
    sandbox.hsm.change({ do: 'setPin', pin: PIN })
    writeFileSync(sandbox.hsm.pinFile, `${PIN}\n`)
    port = await freePort()
  })
  afterEach(async () => sandbox.close())

  const stateDir = () => sandbox.path('state')

  function config(keys: Settings = {}): Settings {
    return sandbox.hsmConfig({
      ...talk,
      server: { ...talk.server, stateDir: stateDir() },
      envelope: { dek: 'fresh', dekCacheTimeout: 0 },
      health: { address: `127.0.0.1:${port}`, probeInterval: '100ms' },
      keys: { hsm: sandbox.key({ module: token.path }), ...keys },
    })
  }

  const env = () => ({ ...sandbox.hsm.env, ...talkative, TMPDIR: sandbox.path('tmp') })

  /** Core files are wanted: what they hold is asked below. */
  function begin(more: Readonly<Record<string, string>> = {}): Process {
    return sandbox.begin(config(), {
      env: { ...env(), ...more },
      shellPrefix: 'ulimit -c unlimited 2>/dev/null || ulimit -c $(ulimit -H -c);',
    })
  }

  async function hsmProcess(plugin: Process): Promise<number> {
    let child: number | undefined
    await until(() => (child = childrenOf(plugin.pid)[0]) !== undefined, BOUND_MS)
    return child!
  }

  async function command(...words: string[]): Promise<void> {
    const file = sandbox.writeConfig(config())
    const [name = '', ...others] = words
    const result = await sandbox.run([name, ...others, '--config', file], { env: env() })
    Object.assign(outputs, outputOf(words.join(' '), result))
  }

  /** Everything that is left on the disk, but for the files that hold a canary by our own hand. */
  function filesLeft(): Outputs {
    const ours = readdirSync(sandbox.folder, { recursive: true, encoding: 'utf8' }).map((name) =>
      sandbox.path(name),
    )
    const shared = readdirSync(tmpdir()).map((name) => join(tmpdir(), name))
    const isNew = (path: string): boolean => {
      const stats = statSync(path, { throwIfNoEntry: false })
      return stats?.isFile() === true && stats.mtimeMs >= startedMs && stats.size < 2 ** 28
    }
    const left = [...ours, ...shared].filter(isNew).filter((path) => !path.endsWith('.heapsnapshot'))
    const cores = coreFiles()
    // Registers are in every core file that is written, and one may hold the PIN: SECURITY.md says so.
    const contentOf = (path: string): Buffer =>
      cores.includes(path) ? withoutNotes(readFileSync(path)) : readFileSync(path)
    return Object.fromEntries(left.map((path) => [path, contentOf(path)]))
  }

  /** No form of a PIN; and the scan is one that finds what is there. */
  function expectNoPinIn(pid: number, place: string): void {
    const needles = pins.flatMap((canary) =>
      [...formsOf(canary)]
        .filter(([form]) => formsInMemory.includes(form))
        .map(([form, bytes]) => ({ name: `${canary.name} as ${form} in ${place}`, bytes })),
    )
    const control = Buffer.from(sandbox.hsm.pinFile)
    const { hits, scannedBytes } = scanMemory(pid, [control, ...needles.map(({ bytes }) => bytes)])
    expect(hits[0]).toBeGreaterThan(0)
    expect(scannedBytes).toBeGreaterThan(2 ** 24)
    expect(needles.filter((_, index) => hits[index + 1] !== 0).map(({ name }) => name)).toEqual([])
  }

  async function endOf(plugin: Process): Promise<void> {
    Object.assign(outputs, await pagesOf(port).catch(() => ({})))
    await plugin.stop()
    Object.assign(outputs, outputOf('plugin', ofProcess(plugin)), filesLeft())
    expect(plugin.log().length).toBeGreaterThan(5)
    expect(leaks(canaries, outputs)).toEqual([])
  }

  test('show in no output of a plugin and its commands that work, nor is the PIN in the memory of the plugin', async () => {
    const plugin = begin({ NODE_OPTIONS: '--heapsnapshot-signal=SIGUSR2' })
    await plugin.says('primary key proved')
    const child = await hsmProcess(plugin)
    const { errors } = await converse(sandbox.socket)
    Object.assign(outputs, { errors }, procOf('plugin', plugin.pid), procOf('HSM process', child))
    expect(readFileSync(`/proc/${child}/environ`, 'latin1')).not.toContain('NODE_OPTIONS')

    expectNoPinIn(plugin.pid, 'the memory of the plugin')
    plugin.signal('SIGUSR2')
    const snapshot = await heapSnapshot()
    expect(snapshot).toContain(sandbox.hsm.pinFile)
    expect(leaks(pins, { snapshot })).toEqual([])

    await command('check')
    await command('check', '--json')
    await command('config', 'print')
    await command('keygen', '--key', 'hsm')
    await command('inspect', sandbox.writeFile('value', 'k8s:enc:kms:v2:x:'))
    await endOf(plugin)
  })

  test('show nowhere when the PIN is wrong', async () => {
    writeFileSync(sandbox.hsm.pinFile, WRONG_PIN)
    const plugin = begin()
    await plugin.says('a key fails its probe')
    Object.assign(outputs, procOf('plugin', plugin.pid))
    expectNoPinIn(plugin.pid, 'the memory of the plugin')
    await command('check')
    await command('check', '--json')
    await command('keygen', '--key', 'hsm')
    // The remembered refusal is one of the files that are looked at.
    expect(readdirSync(stateDir())).not.toEqual([])
    await endOf(plugin)
  })

  test('show nowhere when the token is locked', async () => {
    token.set([`tokenflags=${CKF_USER_PIN_LOCKED}`])
    const plugin = begin()
    await plugin.says('a key fails its probe')
    await command('check')
    await endOf(plugin)
  })

  test('show nowhere when the HSM hangs', async () => {
    const plugin = begin()
    await plugin.says('primary key proved')
    const client = new KmsClient(sandbox.socket)
    try {
      const sealed = await client.v2Encrypt(plaintext)
      token.set(['* hang'])
      outputs['error while it hangs'] = String(
        await client.v2Decrypt(sealed).catch((error: unknown) => error),
      )
      await until(() => plugin.log().some(({ msg }) => msg === 'HSM process ended'), BOUND_MS)
    } finally {
      client.close()
    }
    Object.assign(outputs, procOf('plugin', plugin.pid))
    await endOf(plugin)
  })

  test(`show nowhere when the module crashes inside C_Login${isCoreLeftHere ? ', nor in the memory that a core file holds' : ''}`, async () => {
    token.set(['C_Login abort'])
    const plugin = begin()
    await until(() => plugin.log().some(({ msg }) => msg === 'HSM process ended'), BOUND_MS)
    const end = plugin.log().find(({ msg }) => msg === 'HSM process ended')
    expect(end?.['reason']).toMatch(/SIGABRT|channel was closed/)
    expectNoPinIn(plugin.pid, 'the memory of the plugin')
    if (isCoreLeftHere) await until(() => coreFiles().length > 0, BOUND_MS)
    await endOf(plugin)
    expect(Object.keys(outputs).filter((name) => coreFiles().includes(name))).toHaveLength(coreFiles().length)
  })

  test('would show in no core file of the HSM process, whose memory is left out', async () => {
    const plugin = begin()
    await plugin.says('primary key proved')
    const child = await hsmProcess(plugin)
    expect(Number.parseInt(readFileSync(`/proc/${child}/coredump_filter`, 'utf8'), 16)).toBe(0)
    const dek = new KmsClient(sandbox.socket)
    await dek.v2Encrypt(plaintext)
    dek.close()
    process.kill(child, 'SIGABRT')
    await until(() => !existsSync(`/proc/${child}`), BOUND_MS)
    if (isCoreLeftHere) expect(coreFiles()).not.toEqual([])
    await endOf(plugin)
  })

  /** That the kernel left in the working folder. */
  function coreFiles(): string[] {
    return readdirSync(sandbox.folder)
      .filter((name) => name.startsWith('core'))
      .map((name) => sandbox.path(name))
  }

  async function heapSnapshot(): Promise<string> {
    let text = ''
    await until(() => {
      const name = readdirSync(sandbox.folder).find((each) => each.endsWith('.heapsnapshot'))
      text = name === undefined ? '' : readFileSync(sandbox.path(name), 'latin1')
      return text.trimEnd().endsWith('}')
    }, BOUND_MS)
    return text
  }
})
