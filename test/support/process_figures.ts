/** How much of the machine does a process hold, and what machine is it? From /proc (proc(5)); no names of hosts. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'

export interface ProcessFigures {
  readonly rssMiB: number
  readonly fds: number
  readonly threads: number
}

/** @throws {Error} when there is no such process. */
export function figuresOf(pid: number): ProcessFigures {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const number = (name: string) => Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(status)?.[1])
  return {
    rssMiB: Math.round((number('VmRSS') / 1024) * 10) / 10,
    fds: readdirSync(`/proc/${pid}/fd`).length,
    threads: number('Threads'),
  }
}

/** The same once they rest: threads that begin hold the files from which they load. */
export async function settledFiguresOf(pid: number): Promise<ProcessFigures> {
  const looks: ProcessFigures[] = []
  do {
    looks.push(figuresOf(pid))
    await new Promise((resolve) => setTimeout(resolve, 100))
  } while (!isSteady(looks.slice(-5)))
  return looks.at(-1)!
}

function isSteady(looks: readonly ProcessFigures[]): boolean {
  return looks.length === 5 && looks.every(({ fds }) => fds === looks[0]?.fds)
}

/** It is no process any more; one that only waits to be reaped is none. */
export function isGone(pid: number): boolean {
  if (!existsSync(`/proc/${pid}`)) return true
  try {
    return /^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return true
  }
}

export interface MachineFigures {
  readonly node: string
  readonly kernel: string
  readonly processors: string
  readonly memoryGiB: number
  /** Of the last 1, 5 and 15 minutes. */
  readonly load: readonly number[]
}

export function machineFigures(): MachineFigures {
  return {
    node: process.version,
    kernel: release(),
    processors: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    load: loadavg().map((value) => Math.round(value * 100) / 100),
  }
}
