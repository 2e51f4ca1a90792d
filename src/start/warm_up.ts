/**
 * dist/warm_up.js: makes the code cache of the program beside it, for this Node.js and the flags of V8 that it runs with.
 *
 * Serves a throwaway key in a folder of its own, asks what kube-apiserver and a kubelet ask, and keeps what V8 has
 * compiled by then. It takes no argument; with a folder as its argument it is the process that serves there.
 * Exit codes: 0 there is a cache that this Node.js takes; 1 it could not be made, and the program starts without.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { bundle, run } from './bundle.js'
import { cacheOf, compile, keep } from './code_cache.js'
import { KmsCalls } from './kms_calls.js'

const TIMEOUT_MS = 30_000

const program = join(dirname(bundle), 'main.js')

const [, self = '', folder] = process.argv
if (folder === undefined) makeOrSay()
else void serveIn(folder)

/** What keeps us from it is one line: a folder that is not ours, one that is not there. */
function makeOrSay(): void {
  try {
    make()
  } catch (error) {
    console.error(`no code cache: ${error instanceof Error ? error.message : 'no Error'}`)
    process.exitCode = 1
  }
}

/** In a process of its own, since the program ends its process. */
function make(): void {
  const cache = cacheOf(bundle)
  rmSync(cache, { force: true })
  const temporary = mkdtempSync(join(tmpdir(), 'kmsplugin-warm-up-'))
  try {
    const { status, stderr } = spawnSync(process.execPath, [...process.execArgv, self, temporary], {
      encoding: 'utf8',
      // No proxy stands between us and our own health pages (NODE_USE_ENV_PROXY).
      env: { ...process.env, NO_PROXY: '*', no_proxy: '*' },
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: TIMEOUT_MS,
    })
    if (status === 0 && compile(bundle).isFromCache) {
      console.log(`${cache}: ${Math.round(statSync(cache).size / 1024)} KiB, for Node.js ${process.version}`)
      return
    }
    console.error(`no code cache: the warm-up ended with ${status ?? 'no exit code'}\n${stderr}`)
    process.exitCode = 1
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}

async function serveIn(temporary: string): Promise<void> {
  const socket = join(temporary, 'kms.sock')
  const config = join(temporary, 'config.yaml')
  const port = await freePort()
  writeFileSync(config, configText(socket, port, join(temporary, 'key.json')), { mode: 0o600 })
  const made = spawnSync(process.execPath, [program, 'keygen', '--config', config, '--key', 'main'])
  if (made.status !== 0) throw new Error(made.stderr.toString())
  const { script } = compile(bundle)
  process.argv = [process.execPath, program, 'serve', '--config', config]
  run(script)
  await converse(socket, port)
  // The cache is for the flags of a process that starts; once it serves, the program has the heap grow slowly.
  setFlagsFromString('--heap-growing-percent=0')
  keep(bundle, script)
  process.kill(process.pid, 'SIGTERM')
}

/** As an operator writes it. */
function configText(socket: string, port: number, path: string): string {
  return `server:
  socket: ${socket}
health:
  address: 127.0.0.1:${port}
primary: main
keys:
  main:
    backend: local
    path: ${path}
`
}

async function converse(socket: string, port: number): Promise<void> {
  const calls = await connected(socket)
  const uid = Buffer.from('warm-up')
  const sealed = await calls.call('Encrypt', { 1: Buffer.alloc(32), 2: uid })
  const { 1: ciphertext, 2: keyId } = sealed ?? {}
  if (ciphertext === undefined || keyId === undefined) throw new Error('Encrypt did not succeed')
  const opened = await calls.call('Decrypt', { 1: ciphertext, 2: uid, 3: keyId })
  if (opened === undefined) throw new Error('Decrypt did not succeed')
  for (const path of ['readyz', 'metrics']) await (await fetch(`http://127.0.0.1:${port}/${path}`)).text()
  calls.close()
}

/** Once the key is proved. The time limit of {@link make} ends it. */
async function connected(socket: string): Promise<KmsCalls> {
  for (;;) {
    const calls = new KmsCalls(socket)
    if ((await calls.call('Status', {})) !== undefined) return calls
    calls.close()
    await pause(10)
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
