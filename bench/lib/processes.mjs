/** Processes that the benchmark starts, measures from outside and ends by pid. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'

/** utime and stime count in these (sysconf(_SC_CLK_TCK) is 100 on every Linux that Node.js runs on). */
const TICK_MS = 10

/** The server's processor, and that of everything else. */
export const CPU = { subject: '0', rest: '1' }

/** Whether each has its own; nothing is pinned where taskset is absent, or one of the two is not ours to use. */
export const isPinned = Object.values(CPU).every(
  (cpu) => spawnSync('taskset', ['-c', cpu, process.execPath, '--version']).status === 0,
)

const running = new Set()

/** Ends whatever is left, so that nothing outlives the benchmark. */
export function killAll() {
  for (const child of running) child.kill('SIGKILL')
}

for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    killAll()
    process.exit(1)
  })
}

export class Process {
  #child
  #stderr = ''

  /** @param cpu Where it runs, with all its children. */
  constructor(words, { cpu, env = {}, cwd } = {}) {
    const command = isPinned && cpu !== undefined ? ['taskset', '-c', cpu, ...words] : words
    const child = spawn(command[0], command.slice(1), {
      cwd,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    })
    child.stderr
      .setEncoding('utf8')
      .on('data', (text) => (this.#stderr = (this.#stderr + text).slice(-20_000)))
    child.stdin.on('error', () => undefined)
    this.exited = once(child, 'exit').finally(() => running.delete(child))
    running.add(child)
    this.#child = child
  }

  get pid() {
    return this.#child.pid
  }

  get stdin() {
    return this.#child.stdin
  }

  get stdout() {
    return this.#child.stdout
  }

  /** The last of what it wrote. */
  get stderr() {
    return this.#stderr
  }

  get isRunning() {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Its own processor time, and that of its threads, since its start. */
  cpuMs() {
    return cpuMsOf(this.pid)
  }

  rssMb() {
    return rssMbOf(this.pid)
  }

  async stop() {
    if (!this.isRunning) return
    this.#child.kill('SIGTERM')
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 10_000)
    await this.exited
    clearTimeout(late)
  }

  async kill() {
    if (this.isRunning) this.#child.kill('SIGKILL')
    await this.exited
  }
}

/** Processor time of a process and its threads, not of its children, since its start. */
export function cpuMsOf(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The name in parentheses may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}

export function rssMbOf(pid) {
  const [, kib] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kib) / 1024
}

/** The processes that it started and that still run. */
export function childrenOf(pid) {
  const tasks = readdirSync(`/proc/${pid}/task`)
  const texts = tasks.map((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8'))
  return texts.join(' ').split(' ').filter(Boolean).map(Number)
}

/** Runs `work` until it answers other than `undefined`; fails when the process ends or 30 s pass. */
export async function until(subject, work) {
  const giveUpMs = performance.now() + 30_000
  for (;;) {
    const found = await work()
    if (found !== undefined) return found
    if (!subject.isRunning) throw new Error(`a process of the benchmark ended: ${subject.stderr}`)
    if (performance.now() > giveUpMs)
      throw new Error(`a process of the benchmark does not answer: ${subject.stderr}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
