/** LocalStack on loopback, KMS alone: where it is, how it starts and ends. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const SCRIPT = fileURLToPath(new URL('../../../scripts/localstack.mjs', import.meta.url))
const START_MS = 60_000

/** The Python with LocalStack and botocore; `undefined` where `npm run test:extended` could not make it. */
export function pythonWithLocalStack(): string | undefined {
  const { stdout } = spawnSync(process.execPath, [SCRIPT], { encoding: 'utf8' })
  return stdout === '' ? undefined : stdout
}

export class LocalStack {
  readonly #process: ChildProcess
  readonly #folder: string
  readonly url: string

  private constructor(process: ChildProcess, folder: string, url: string) {
    this.#process = process
    this.#folder = folder
    this.url = url
  }

  static async start(python: string): Promise<LocalStack> {
    const folder = mkdtempSync(join(tmpdir(), 'kmsplugin-localstack-'))
    const port = await freePort()
    const address = `127.0.0.1:${port}`
    mkdirSync(join(folder, 'tmp'))
    const env = {
      PATH: process.env['PATH'],
      HOME: folder,
      TMPDIR: join(folder, 'tmp'),
      XDG_CACHE_HOME: join(folder, 'cache'),
      FILESYSTEM_ROOT: join(folder, 'root'),
      OVERRIDE_IN_DOCKER: '0',
      GATEWAY_LISTEN: address,
      LOCALSTACK_HOST: address,
      // The default server listens on all addresses, whatever it is told.
      GATEWAY_SERVER: 'hypercorn',
      DNS_ADDRESS: '0',
      SERVICES: 'kms',
      DISABLE_EVENTS: '1',
      SKIP_SSL_CERT_DOWNLOAD: '1',
    }
    const child = spawn(python, ['-m', 'localstack.runtime.main'], { env, cwd: folder, stdio: 'ignore' })
    const one = new LocalStack(child, folder, `http://${address}`)
    const endMs = Date.now() + START_MS
    while (!(await isReady(one.url))) {
      if (child.exitCode !== null || Date.now() > endMs) {
        await one.close()
        throw new Error(`LocalStack did not start (exit code ${String(child.exitCode)})`)
      }
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    return one
  }

  async close(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const ended = once(this.#process, 'exit')
      this.#process.kill('SIGKILL')
      await ended
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

async function isReady(url: string): Promise<boolean> {
  const answer = await fetch(`${url}/_localstack/health`).catch(() => undefined)
  await answer?.arrayBuffer()
  return answer?.ok === true
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
