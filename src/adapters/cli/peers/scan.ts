/**
 * Which flags did the user pass, as Go reads a command line?
 *
 * Rules of Go's `flag`: one dash or two, `-x=v` or `-x v`, a switch alone or with `=`; it stops at the first word that
 * is no flag, and at `--`. pflag reads on behind such a word. No message shows a value: it may be a secret.
 */
import { suggestion, UsageError } from '../arguments.js'
import type { PeerFlag } from './flag.js'
import { csvRecord, goBool } from './go_values.js'

export interface GoStyle {
  /** What the flags are written with in that plugin's documents. */
  readonly dash: '-' | '--'
  /** What it does with a word that is no flag. */
  readonly atWord: 'stops' | 'goes on'
}

export interface Scanned {
  /** By the name of the flag; more than one value only where it takes more. */
  readonly values: ReadonlyMap<string, readonly string[]>
  readonly help: boolean
  readonly version: boolean
  readonly printConfig: boolean
  /** Position, from 1, of the first word that the plugin would have ignored. */
  readonly firstIgnored: number | undefined
}

/** Flags of ours, and those that every program of Go has. */
const HELP = ['help', 'h']
const SWITCHES = [...HELP, 'version', 'print-config']

/** @throws {UsageError} On an unknown flag, a missing value, or a value that is none of its kind. */
export function scan(argv: readonly string[], rows: readonly PeerFlag[], style: GoStyle): Scanned {
  const flags = new Map(rows.flatMap((row) => (row.name === undefined ? [] : [[row.name, row] as const])))
  const values = new Map<string, readonly string[]>()
  const on = new Set<string>()
  let firstIgnored: number | undefined
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? ''
    if (word === '--') {
      if (at + 1 < argv.length) firstIgnored ??= at + 2
      break
    }
    if (!word.startsWith('-') || word === '-') {
      firstIgnored ??= at + 1
      if (style.atWord === 'stops') break
      continue
    }
    const { name, attached } = parts(word, at)
    const spelled = `${style.dash}${name}`
    const row = flags.get(name)
    if (row === undefined && !SWITCHES.includes(name)) throw unknown(name, at, [...flags.keys()], style.dash)
    if (row === undefined && HELP.includes(name)) {
      // As there: who asks for help gets it, whatever else is wrong.
      on.add('help')
      break
    }
    const isSwitch = row === undefined || row.kind === 'switch'
    const value = attached ?? (isSwitch ? 'true' : argv[++at])
    if (value === undefined) throw new UsageError(`${spelled} needs a value`)
    try {
      if (row === undefined) setSwitch(on, name, value)
      else values.set(name, added(row, values.get(name), value))
    } catch (thrown) {
      throw new UsageError(`${spelled} ${thrown instanceof Error ? thrown.message : ''}`, { cause: thrown })
    }
  }
  return {
    values,
    help: on.has('help'),
    version: on.has('version'),
    printConfig: on.has('print-config'),
    firstIgnored,
  }
}

function parts(word: string, at: number): { name: string; attached: string | undefined } {
  const [, name = '', value] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(word) ?? []
  if (name === '') throw new UsageError(`argument ${at + 1} is no flag that can be read`)
  return { name, attached: value }
}

function unknown(name: string, at: number, known: readonly string[], dash: string): UsageError {
  // A secret that was written without a space behind its flag is not repeated.
  const isPlain = /^[a-z][a-z-]{0,39}$/.test(name)
  const shown = isPlain ? JSON.stringify(`${dash}${name}`) : `at argument ${at + 1}`
  const all = [...known, ...SWITCHES].map((flag) => `${dash}${flag}`)
  return new UsageError(`unknown flag ${shown}${suggestion(`${dash}${name}`, all)}`)
}

function setSwitch(on: Set<string>, name: string, value: string): void {
  if (goBool(value)) on.add(name)
  else on.delete(name)
}

/** A flag that is repeated: the last one counts, unless it takes several. */
function added({ kind }: PeerFlag, before: readonly string[] = [], value: string): readonly string[] {
  if (kind === 'switch') goBool(value)
  if (kind === 'list') return [...before, ...csvRecord(value)]
  return kind === 'repeated' ? [...before, value] : [value]
}
