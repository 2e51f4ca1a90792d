// Builds the Go program that plays kube-apiserver, or says what this machine lacks for it.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const SOURCES = fileURLToPath(new URL('.', import.meta.url))
const BINARY = fileURLToPath(new URL('../../node_modules/.cache/kmsplugin/conformance', import.meta.url))
const DOWNLOAD_TIMEOUT_MS = 300_000
const BUILD_TIMEOUT_MS = 1_200_000

// Exactly the pinned modules, with the Go that is installed.
const ENV = { GOFLAGS: '-mod=readonly', GOTOOLCHAIN: 'local', CGO_ENABLED: '0' }

/**
 * @returns {Promise<{ binary: string } | { missing: string }>}
 * @throws {Error} When everything is there and the program does not compile.
 */
export async function buildProgram(say) {
  const wanted = /^go (\S+)$/m.exec(readFileSync(join(SOURCES, 'go.mod'), 'utf8'))[1]
  const found = await goVersion()
  if (found === undefined) return { missing: `Go is not installed: it takes Go ${wanted} or newer` }
  if (isOlder(found, wanted)) return { missing: `Go ${found} is too old: it takes Go ${wanted} or newer` }

  say(`conformance: go mod download (Go ${found})`)
  try {
    await go(['mod', 'download'], SOURCES, DOWNLOAD_TIMEOUT_MS)
  } catch (error) {
    return { missing: `the Go modules cannot be had here: ${lastLine(error)}` }
  }
  say('conformance: go build (the first time takes some minutes)')
  // No stamp: it would need git, and a repository that git trusts.
  await go(['build', '-buildvcs=false', '-o', BINARY, '.'], SOURCES, BUILD_TIMEOUT_MS)
  return { binary: BINARY }
}

async function goVersion() {
  try {
    // Not in SOURCES: there an older Go only complains about go.mod.
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
