/** The load generators and servers that tests of the benchmark run. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { joinMessages } from '../../bench/client/messages_file.mjs'

const SERVER = fileURLToPath(new URL('./server.mjs', import.meta.url))

export interface Result {
  readonly calls: number
  readonly errors: number
  readonly firstError?: string
  readonly seconds: number
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number }
  /** Instead of all others. */
  readonly problem?: string
}

/** A load generator, what it calls, and the files between them. */
export class Scene {
  readonly folder = mkdtempSync(join(tmpdir(), 'kms-bench-'))
  readonly #generator: ChildProcess
  readonly #lines: Interface
  readonly #servers: ChildProcess[] = []
  #files = 0

  constructor([program = '', ...words]: readonly string[]) {
    this.#generator = spawn(program, words, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface({ input: this.#generator.stdout! })
  }

  /** Starts server.mjs; its socket. */
  async server(...deed: readonly string[]): Promise<string> {
    const socket = this.#newFile()
    const server = spawn(process.execPath, [SERVER, socket, ...deed], {
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    this.#servers.push(server)
    while (!(await isListening(socket))) {
      if (server.exitCode !== null) throw new Error('the server of the test ended')
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    return socket
  }

  save(messages: readonly Buffer[]): string {
    const file = this.#newFile()
    writeFileSync(file, joinMessages(messages))
    return file
  }

  async run(command: Readonly<Record<string, unknown>>): Promise<Result> {
    this.#generator.stdin!.write(`${JSON.stringify(command)}\n`)
    const [line] = (await once(this.#lines, 'line')) as [string]
    return JSON.parse(line) as Result
  }

  close(): void {
    for (const child of [this.#generator, ...this.#servers]) child.kill('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }

  #newFile(): string {
    this.#files += 1
    return join(this.folder, String(this.#files))
  }
}

async function isListening(socket: string): Promise<boolean> {
  if (!existsSync(socket)) return false
  const connection = connect(socket)
  return new Promise((resolve) => {
    connection.once('connect', () => resolve(true)).once('error', () => resolve(false))
  }).finally(() => connection.destroy()) as Promise<boolean>
}
