/** How does a test put a PKCS#11 module that fails on demand before a real one? fault_module/ is its source, in C. */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { compiled, compilerMissing, headers } from './fault_module/compile.mjs'

/** Why it cannot be had here, for the name of a skipped suite; `undefined` when it can. */
export const faultModuleMissing: string | undefined = compilerMissing()

/** Puts the reason behind the name of a suite that is skipped. */
export function onFaultModule(name: string): string {
  return faultModuleMissing === undefined ? name : `${name} (skipped: ${faultModuleMissing})`
}

/** One call of a PKCS#11 function. */
export interface Pkcs11Call {
  /** Milliseconds of CLOCK_MONOTONIC, as `process.hrtime` has it in every process. */
  readonly beganMs: number
  /** `Infinity` for a call that has not answered. */
  readonly endedMs: number
  readonly pid: number
  /** Counted from 1 in every process. */
  readonly thread: number
  readonly name: string
  /** Decimal; `0` for a function that takes none. */
  readonly session: string
  /** `undefined` for a call that has not answered. */
  readonly rv: number | undefined
}

export interface FaultModule {
  readonly path: string
  /** From the next call on, in every process that has it loaded, in place of what was set before: see control.c. */
  readonly set: (lines: readonly string[]) => void
  /** No faults any more. What has happened to a session or a login has happened. */
  readonly heal: () => void
  /** All calls so far, in the order in which they began; a call that waits, or will never return, is one of them. */
  readonly calls: () => Pkcs11Call[]
  /** Wrong user PINs that have reached the token since the last right one. */
  readonly loginFailures: () => number
}

/**
 * Makes one in a new folder in `dir`, which goes with it.
 *
 * @param hsm.module The real module; see the head of state.c for what it must bear.
 */
export function makeFaultModule(hsm: { readonly dir: string; readonly module: string }): FaultModule {
  // A copy, no link: the loader takes two names of one file for one library, and so would find one control file.
  const path = join(mkdtempSync(join(hsm.dir, 'fault-')), 'module.so')
  copyFileSync(compiled(), path)
  chmodSync(path, 0o755)
  writeFileSync(`${path}.conf`, `${hsm.module}\n`)
  let lastMs = 0
  const set = (lines: readonly string[]): void => {
    for (const line of lines) refuseUnknownFunction(line)
    const draft = `${path}.draft`
    writeFileSync(draft, lines.map((line) => `${line}\n`).join(''))
    // Two changes within one tick of the file system's clock would look like one.
    lastMs = Math.max(Date.now(), lastMs + 1)
    utimesSync(draft, lastMs / 1000, lastMs / 1000)
    renameSync(draft, `${path}.control`)
  }
  return {
    path,
    set,
    heal: () => set([]),
    calls: () => callsIn(textOf(`${path}.log`)),
    loginFailures: () => Number(textOf(`${path}.pins`)),
  }
}

/** Pairs of calls of one process that were under way at the same time. */
export function overlapping(calls: readonly Pkcs11Call[]): [Pkcs11Call, Pkcs11Call][] {
  const isMeanwhile = (a: Pkcs11Call, b: Pkcs11Call) =>
    a.pid === b.pid && a.beganMs < b.endedMs && b.beganMs < a.endedMs
  return calls.flatMap((a, at) =>
    calls.slice(at + 1).flatMap((b): [Pkcs11Call, Pkcs11Call][] => (isMeanwhile(a, b) ? [[a, b]] : [])),
  )
}

function callsIn(log: string): Pkcs11Call[] {
  const calls = new Map<string, Pkcs11Call>()
  for (const line of log.split('\n').slice(0, -1)) {
    const [beganUs, tookUs, pid, thread, name = '', session = '', answer = ''] = line.split(' ')
    const rv = answer.startsWith('0x') ? Number(answer) : undefined
    // A call that may never answer has a line when it begins to wait, and one more if it does answer.
    calls.set([beganUs, pid, thread].join(), {
      beganMs: Number(beganUs) / 1000,
      endedMs: rv === undefined ? Infinity : (Number(beganUs) + Number(tookUs)) / 1000,
      pid: Number(pid),
      thread: Number(thread),
      name,
      session,
      rv,
    })
  }
  return [...calls.values()].sort((a, b) => a.beganMs - b.beganMs)
}

function textOf(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : ''
}

/** A rule for a function that does not exist would make a test pass that tests nothing. */
function refuseUnknownFunction(line: string): void {
  const [name = ''] = line.split(' ')
  if (!name.startsWith('C_')) return
  const isKnown = name.endsWith('*')
    ? functions().some((known) => known.startsWith(name.slice(0, -1)))
    : functions().includes(name)
  if (!isKnown) throw new Error(`there is no PKCS#11 function ${name}`)
}

function functions(): string[] {
  const header = readFileSync(join(headers(), 'pkcs11/pkcs11f.h'), 'utf8')
  return [...header.matchAll(/CK_PKCS11_FUNCTION_INFO\((C_\w+)\)/g)].map(([, name = '']) => name)
}
