/**
 * A token of openCryptoki's software slot. It knows neither AES-GCM nor AES key wrapping (3.8), but OAEP and CBC.
 *
 * Its daemon, its files and its shared memory are one of a kind on a machine, and no setting moves them. So a test
 * takes the machine's software token only where nobody has made one, and deletes whatever appeared meanwhile.
 */
import type { ChildProcess } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { changeToken } from '../token_objects.js'
import { endDaemon, startDaemon, until } from './daemon.js'
import { findLibrary, findMissing, keyMaker, runTool, type TokenModule } from './token_module.js'

const MODULE = 'pkcs11/libopencryptoki.so'
const LABEL = 'k8s'
/** Four to eight digits. */
const PIN = '24681357'
const SO_PIN = '76543210'
/** Of the software token in Debian's configuration. */
const SLOT = '3'
const TOKEN_DIR = '/var/lib/opencryptoki/swtok'
/** Holds the pid of the test that has the token, so that a test that was killed does not lock out the next one. */
const MARKER = join(TOKEN_DIR, 'kmsplugin-test')
const PID_FILE = '/var/run/pkcsslotd.pid'
const SOCKET = '/var/run/pkcsslotd.socket'
const folders = ['/var/lib/opencryptoki', '/var/lock/opencryptoki']

/** Why no test on openCryptoki can run here; `undefined` when they can. */
export const opencryptokiMissing: string | undefined =
  findMissing({ libraries: [MODULE], commands: ['pkcsslotd', 'pkcsconf', 'setpriv'] }) ?? whyNotOurs()

/** Takes the software token of this machine, which has one only. */
export async function makeOpencryptoki(): Promise<TokenModule> {
  const reason = whyNotOurs()
  if (reason !== undefined) throw new Error(reason)
  const dir = await mkdtemp(join(tmpdir(), 'kmsplugin-opencryptoki-'))
  const pinFile = join(dir, 'pin')
  await writeFile(pinFile, `${PIN}\n`, { mode: 0o600 })
  clearLeftovers()
  const before = new Set(files())
  writeFileSync(MARKER, String(process.pid))
  const daemon = startDaemon('pkcsslotd', ['-f'])
  let removed = false
  const remove = async (): Promise<void> => {
    // A second time it would delete what the next test has made.
    if (removed) return
    removed = true
    await endDaemon(daemon)
    for (const path of files()) if (!before.has(path)) rmSync(path, { recursive: true, force: true })
    rmSync(PID_FILE, { force: true })
    await rm(dir, { recursive: true, force: true })
  }
  try {
    await initToken(daemon)
    const access = { module: findLibrary(MODULE) ?? '', tokenLabel: LABEL, pin: PIN, env: {} }
    const version = changeToken(access, []).library
    return { ...access, name: 'openCryptoki', version, pinFile, makeKey: keyMaker(access), remove }
  } catch (error) {
    await remove()
    throw error
  }
}

async function initToken(daemon: ChildProcess): Promise<void> {
  await until('pkcsslotd listens', daemon, () => existsSync(SOCKET))
  const pkcsconf = (flag: string, ...lines: string[]): void => {
    runTool('pkcsconf', [flag, '-c', SLOT], { input: `${lines.join('\n')}\n` })
  }
  // The PINs that it begins with are of no use before they are changed.
  pkcsconf('-I', '87654321', LABEL)
  pkcsconf('-P', '87654321', SO_PIN, SO_PIN)
  pkcsconf('-u', SO_PIN, '12345678', '12345678')
  pkcsconf('-p', '12345678', PIN, PIN)
}

function whyNotOurs(): string | undefined {
  if (process.geteuid?.() !== 0) return 'openCryptoki needs root'
  if (isAbandoned()) return undefined
  if (existsSync(MARKER)) return 'another test has the openCryptoki of this machine'
  if (daemonPid() !== undefined) return 'a pkcsslotd runs here that is not ours'
  if (existsSync(join(TOKEN_DIR, 'NVTOK.DAT'))) return 'this machine has an openCryptoki token already'
  return undefined
}

/** What a test left that was killed. */
function clearLeftovers(): void {
  if (!isAbandoned()) return
  const pid = daemonPid()
  if (pid !== undefined) process.kill(pid, 'SIGKILL')
  for (const name of readdirSync(TOKEN_DIR)) if (name !== 'TOK_OBJ') rmSync(join(TOKEN_DIR, name))
  for (const name of readdirSync(join(TOKEN_DIR, 'TOK_OBJ'))) rmSync(join(TOKEN_DIR, 'TOK_OBJ', name))
  for (const path of [SOCKET, ...sharedMemory()]) rmSync(path, { force: true })
}

function isAbandoned(): boolean {
  const owner = existsSync(MARKER) ? Number(readFileSync(MARKER, 'utf8')) : undefined
  return owner !== undefined && owner !== process.pid && !existsSync(`/proc/${owner}`)
}

function daemonPid(): number | undefined {
  if (!existsSync(PID_FILE)) return undefined
  const pid = Number(readFileSync(PID_FILE, 'utf8'))
  const name = `/proc/${pid}/comm`
  return existsSync(name) && readFileSync(name, 'utf8').trim() === 'pkcsslotd' ? pid : undefined
}

function files(): string[] {
  return [...folders.flatMap((folder) => below(folder, true)), ...sharedMemory()]
}

/** Its files there are named after its folders. */
function sharedMemory(): string[] {
  return below('/dev/shm', false).filter((path) => path.includes('/var.lib.opencryptoki.'))
}

function below(folder: string, recursive: boolean): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive, encoding: 'utf8' }).map((name) => join(folder, name))
}
