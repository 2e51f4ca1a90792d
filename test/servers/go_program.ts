/** A program in Go of these tests: compiled once, run with lines for its stdin or started; or what this machine lacks for it. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const BINARIES = join(import.meta.dirname, '../../node_modules/.cache/kmsplugin')
const BUILD_TIMEOUT_MS = 600_000
const LIMITS = { timeout: 60_000, maxBuffer: 64 * 1024 * 1024, encoding: 'utf8' } as const

/** Exactly the pinned modules, with the Go that is installed. */
const GO = { GOFLAGS: '-mod=readonly', GOTOOLCHAIN: 'local', CGO_ENABLED: '0' }

export interface GoProgram {
  /** Where it is, once built. */
  readonly path: string
  /** Why it cannot be had here; `undefined`: it is built. */
  readonly missing: string | undefined
  /** @returns The lines of its stdout. @throws {Error} With its stderr. */
  readonly run: (args: readonly string[], lines: readonly string[]) => string[]
}

/**
 * @param module The folder with go.mod.
 * @param folder Of the program, below it.
 * @throws {Error} Where all is there and it does not compile.
 */
export function goProgram(module: string, folder: string, name: string): GoProgram {
  const binary = join(BINARIES, name)
  const lacks = whatIsMissing(module)
  if (lacks === undefined) {
    mkdirSync(dirname(binary), { recursive: true })
    go(['build', '-buildvcs=false', '-o', binary, `./${folder}`], module)
  }
  return {
    path: binary,
    missing: lacks,
    run: (args, lines) => {
      const input = lines.map((line) => `${line}\n`).join('')
      const output = execFileSync(binary, args, { ...LIMITS, input })
      return output.split('\n').slice(0, -1)
    },
  }
}

function whatIsMissing(module: string): string | undefined {
  const wanted = /^go (\S+)$/m.exec(readFileSync(join(module, 'go.mod'), 'utf8'))?.[1] ?? ''
  try {
    // Not in the sources: there an older Go only complains about go.mod.
    const found = go(['env', 'GOVERSION'], tmpdir()).trim().replace(/^go/, '')
    if (isOlder(found, wanted)) return `Go ${found} is too old: it takes Go ${wanted} or newer`
  } catch {
    return `Go is not installed: it takes Go ${wanted} or newer`
  }
  try {
    go(['mod', 'download'], module)
    return undefined
  } catch {
    return 'the Go modules cannot be had here'
  }
}

function go(args: readonly string[], cwd: string): string {
  const env = { ...process.env, ...GO }
  return execFileSync('go', args, { cwd, env, timeout: BUILD_TIMEOUT_MS, encoding: 'utf8', stdio: 'pipe' })
}

function isOlder(found: string, wanted: string): boolean {
  const numbers = (version: string) => version.split(/[^0-9]+/).map(Number)
  const [a, b] = [numbers(found), numbers(wanted)]
  const at = b.findIndex((part, i) => (a[i] ?? 0) !== part)
  return at !== -1 && (a[at] ?? 0) < (b[at] ?? 0)
}
