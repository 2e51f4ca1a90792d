/** IBM's own Go client as a program that a test can run, or what this machine lacks for it. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { FakeIbm } from '../../support/fakes/ibm.js'

const SOURCES = fileURLToPath(new URL('.', import.meta.url))
const BINARY = fileURLToPath(new URL('../../../node_modules/.cache/kmsplugin/ibm-client', import.meta.url))
const DOWNLOAD_TIMEOUT_MS = 300_000
const BUILD_TIMEOUT_MS = 600_000
const RUN_TIMEOUT_MS = 60_000

/** Exactly the pinned modules, with the Go that is installed. */
const GO_ENV = { GOFLAGS: '-mod=readonly', GOTOOLCHAIN: 'local', CGO_ENABLED: '0' }

const run = promisify(execFile)

export interface Client {
  readonly binary: string
}

/** Builds the client; what was built before costs a second. */
export async function buildClient(): Promise<Client | { readonly missing: string }> {
  const wanted = /^go (\S+)$/m.exec(readFileSync(join(SOURCES, 'go.mod'), 'utf8'))?.[1] ?? ''
  const found = await goVersion()
  if (found === undefined) return { missing: `Go is not installed: it takes Go ${wanted} or newer` }
  if (isOlder(found, wanted)) return { missing: `Go ${found} is too old: it takes Go ${wanted} or newer` }
  try {
    await go(['mod', 'download'], SOURCES, DOWNLOAD_TIMEOUT_MS)
  } catch (error) {
    return { missing: `the Go modules cannot be had here: ${lastLine(error)}` }
  }
  // No stamp: it would need git, and a repository that git trusts.
  await go(['build', '-buildvcs=false', '-o', BINARY, '.'], SOURCES, BUILD_TIMEOUT_MS)
  return { binary: BINARY }
}

/** What a run says: its output, trimmed, and what the client was not content with. */
export interface Verdict {
  readonly output: string
  readonly complaints: string
}

/** @param change Variables beside, or in place of, those that name the fake; see main.go. */
export async function runScenario(
  { binary }: Client,
  fake: FakeIbm,
  args: readonly string[],
  change: Readonly<Record<string, string>>,
): Promise<Verdict> {
  const env = {
    KP_URL: fake.server.url,
    KP_TOKEN_URL: fake.tokenUrl,
    KP_INSTANCE: fake.instanceId,
    // The loopback address needs no proxy.
    NO_PROXY: '127.0.0.1',
    ...change,
  }
  try {
    const { stdout, stderr } = await run(binary, args, { env, timeout: RUN_TIMEOUT_MS })
    return { output: stdout.trim(), complaints: stderr }
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string }
    return { output: '', complaints: stderr === '' ? String(error) : stderr }
  }
}

async function goVersion(): Promise<string | undefined> {
  try {
    // Not in SOURCES: there an older Go only complains about go.mod.
    return (await go(['env', 'GOVERSION'], tmpdir(), 30_000)).trim().replace(/^go/, '')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

function isOlder(found: string, wanted: string): boolean {
  const [a = [], b = []] = [found, wanted].map((version) => version.split(/[^0-9]+/).map(Number))
  const at = b.findIndex((part, i) => (a[i] ?? 0) !== part)
  return at !== -1 && (a[at] ?? 0) < b[at]!
}

async function go(args: readonly string[], cwd: string, timeout: number): Promise<string> {
  const options = { cwd, timeout, env: { ...process.env, ...GO_ENV }, maxBuffer: 16 * 1024 * 1024 }
  return (await run('go', args, options)).stdout
}

function lastLine(error: unknown): string {
  const { stderr = '' } = error as { stderr?: string }
  return stderr.trim().split('\n').at(-1) ?? String(error)
}
