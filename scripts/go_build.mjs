// Builds Go programs of a module of this repository, or says what this machine lacks for them.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const DOWNLOAD_TIMEOUT_MS = 300_000
const BUILD_TIMEOUT_MS = 1_200_000

// Exactly the pinned modules, with the Go that is installed.
const ENV = { GOFLAGS: '-mod=readonly', GOTOOLCHAIN: 'local', CGO_ENABLED: '0' }

/**
 * @param {string} sources The folder with go.mod.
 * @param {{ packages: string[], output: string, say: (line: string) => void }} order `output` as of `go build -o`.
 * @returns {Promise<{ missing?: string }>} Built, unless something is missing.
 * @throws {Error} When everything is there and it does not compile.
 */
export async function goBuild(sources, { packages, output, say }) {
  const wanted = /^go (\S+)$/m.exec(readFileSync(join(sources, 'go.mod'), 'utf8'))[1]
  const found = await goVersion()
  if (found === undefined) return { missing: `Go is not installed: it takes Go ${wanted} or newer` }
  if (isOlder(found, wanted)) return { missing: `Go ${found} is too old: it takes Go ${wanted} or newer` }

  say(`go mod download (Go ${found})`)
  try {
    await go(['mod', 'download'], sources, DOWNLOAD_TIMEOUT_MS)
  } catch (error) {
    return { missing: `the Go modules cannot be had here: ${lastLine(error)}` }
  }
  say(`go build (the first time takes some minutes)`)
  // No stamp: it would need git, and a repository that git trusts.
  await go(['build', '-buildvcs=false', '-o', output, ...packages], sources, BUILD_TIMEOUT_MS)
  return {}
}

async function goVersion() {
  try {
    // Not in the sources: there an older Go only complains about go.mod.
    return (await go(['env', 'GOVERSION'], tmpdir(), 30_000)).trim().replace(/^go/, '')
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}

function isOlder(found, wanted) {
  const [a, b] = [found, wanted].map((version) => version.split(/[^0-9]+/).map(Number))
  const at = b.findIndex((part, i) => (a[i] ?? 0) !== part)
  return at !== -1 && (a[at] ?? 0) < b[at]
}

async function go(args, cwd, timeout) {
  const options = { cwd, timeout, env: { ...process.env, ...ENV }, maxBuffer: 16 * 1024 * 1024 }
  return (await promisify(execFile)('go', args, options)).stdout
}

function lastLine(error) {
  return `${error.stderr ?? ''}`.trim().split('\n').at(-1) || error.message
}
