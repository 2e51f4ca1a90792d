/** How does a test run the built program: in a folder of its own, as processes that never outlive the test? */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createKeyFile } from '../../src/adapters/backends/local/key_file.js'

const root = resolve(import.meta.dirname, '../..')

/** The built program's entry. */
export const program = join(root, 'dist/main.js')

export type Settings = Readonly<Record<string, unknown>>

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Result extends Exit {
  readonly stdout: string
  readonly stderr: string
}

export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly [field: string]: unknown
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Of the child; default: stdin closed, stdout and stderr collected. */
  readonly stdio?: StdioOptions
  /** Shell words before `node`, such as `ulimit -n 64 &&`. */
  readonly shellPrefix?: string
  /** Another than {@link program}. */
  readonly program?: string
}

/** One process of the built program. */
export class Process {
  readonly child: ChildProcess
  readonly exited: Promise<Exit>
  #stdout = ''
  #stderr = ''

  constructor(child: ChildProcess) {
    this.child = child
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text))
    this.exited = ended(child)
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('the process did not start')
    return this.child.pid
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  stdout(): string {
    return this.#stdout
  }

  stderr(): string {
    return this.#stderr
  }

  /** The JSON lines of stderr so far; other lines are left out. */
  log(): readonly LogLine[] {
    return this.#stderr
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as LogLine)
  }

  /** Waits for a log line of that text. */
  async says(msg: string): Promise<LogLine> {
    let found: LogLine | undefined
    await until(() => {
      found = this.log().find((line) => line.msg === msg)
      if (found === undefined && !this.isRunning) throw new Error(`the process ended: ${this.#stderr}`)
      return found !== undefined
    })
    return found!
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name)
  }

  /** Asks it to stop as systemd and kubelet do. */
  async stop(): Promise<Exit> {
    this.signal('SIGTERM')
    return this.exited
  }

  /** Gives it no chance to tidy up. */
  async kill(): Promise<Exit> {
    this.signal('SIGKILL')
    return this.exited
  }
}

/** A folder (mode 0700, removed at the end) and the processes that were started in it (killed at the end). */
export class Sandbox {
  readonly folder = mkdtempSync(join(tmpdir(), 'kms-'))
  readonly #processes: Process[] = []
  #files = 0

  path(...parts: string[]): string {
    return join(this.folder, ...parts)
  }

  /** Where the plugin listens unless a config says otherwise. */
  get socket(): string {
    return this.path('run', 'kms.sock')
  }

  /** The key file of {@link localConfig}. */
  get keyFile(): string {
    return this.path('key.json')
  }

  /** One local key named `main`; sections replace settings one by one, other entries as a whole. */
  localConfig(changes: Settings = {}): Settings {
    const { server, health, log, ...others } = changes as Record<string, Settings>
    return {
      server: { socket: this.socket, drainTimeout: '2s', ...server },
      health: { address: '', ...health },
      log: { level: 'debug', ...log },
      primary: 'main',
      keys: { main: { backend: 'local', path: this.keyFile } },
      ...others,
    }
  }

  /** Writes a config (JSON is YAML) and answers its path. */
  writeConfig(config: Settings): string {
    return this.writeFile(`config-${this.#files++}.yaml`, JSON.stringify(config, undefined, 2))
  }

  writeFile(name: string, content: string | Uint8Array, mode = 0o600): string {
    const path = this.path(name)
    writeFileSync(path, content)
    chmodSync(path, mode)
    return path
  }

  /** A folder with exactly this mode, whatever the umask. */
  makeFolder(name: string, mode = 0o700): string {
    const path = this.path(name)
    mkdirSync(path, { recursive: true })
    chmodSync(path, mode)
    return path
  }

  start(words: readonly string[], options: StartOptions = {}): Process {
    const node = [process.execPath, options.program ?? program, ...words]
    const command =
      options.shellPrefix === undefined
        ? node
        : ['sh', '-c', `${options.shellPrefix} exec "$@"`, 'sh', ...node]
    const [file = '', ...args] = command
    const started = new Process(
      spawn(file, args, {
        env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...options.env },
        stdio: options.stdio ?? ['ignore', 'pipe', 'pipe'],
        cwd: this.folder,
      }),
    )
    this.#processes.push(started)
    return started
  }

  /** Runs a command to its end. */
  async run(words: readonly string[], options?: StartOptions): Promise<Result> {
    const started = this.start(words, options)
    const exit = await started.exited
    return { ...exit, stdout: started.stdout(), stderr: started.stderr() }
  }

  /** Starts `serve` and answers at once; see {@link serve}. */
  begin(config: Settings, options?: StartOptions): Process {
    return this.start(['serve', '--config', this.writeConfig(config)], options)
  }

  /** Starts `serve` and waits until its primary key has proved itself (needs log level info or below). */
  async serve(config: Settings, options?: StartOptions): Promise<Process> {
    const started = this.begin(config, options)
    await started.says('primary key proved')
    return started
  }

  /** A key file, unless there is one, and a plugin that serves it. */
  async serveLocal(changes?: Settings, options?: StartOptions): Promise<Process> {
    await this.makeKeyFile()
    return this.serve(this.localConfig(changes), options)
  }

  /** What `keygen` would make, without a process of its own. */
  async makeKeyFile(path = this.keyFile): Promise<void> {
    if (statSync(path, { throwIfNoEntry: false }) === undefined) await createKeyFile(path)
  }

  /** Ends every process by its pid and removes the folder. */
  async close(): Promise<void> {
    const running = this.#processes.filter(({ isRunning }) => isRunning)
    for (const started of running) {
      started.signal('SIGKILL')
      // A process that a test has stopped dies of SIGKILL too, but its pipes may be held by children of its own.
      started.child.stdout?.destroy()
      started.child.stderr?.destroy()
    }
    await Promise.all(running.map(async ({ exited }) => exited))
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export function isSocket(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() === true
}

/** The exit, once the output is complete too; but children of the child may hold its pipes for longer. */
async function ended(child: ChildProcess): Promise<Exit> {
  const closed = new Promise((resolve) => child.once('close', resolve))
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
  let timer: NodeJS.Timeout | undefined
  await Promise.race([closed, new Promise((resolve) => (timer = setTimeout(resolve, 1000)))])
  clearTimeout(timer)
  return { code, signal }
}

/** Looks again until `condition` holds; fails after `timeoutMs`, with what the condition last threw. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 10_000,
  what = condition.toString(),
): Promise<void> {
  const giveUpAtMs = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > giveUpAtMs) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** A TCP port of the loopback address that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
