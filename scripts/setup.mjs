// What every command needs before it can work: npm packages, the PKCS#11 addon, SoftHSM. Only node builtins here:
// it runs on a fresh clone.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))

const NODE_FLOOR = [20, 19]
const STAMP = join(ROOT, 'node_modules', '.kmsplugin-setup')
const ADDON = join(ROOT, 'node_modules', 'pkcs11js', 'build', 'Release', 'pkcs11.node')

/** Runs a command; its output is shown only when it fails, unless `show`. Answers whether it succeeded. */
export function run(command, args, { show = false, env = {}, timeoutMs } = {}) {
  const result = spawnSync(command, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: show ? 'inherit' : 'pipe',
    timeout: timeoutMs,
    maxBuffer: 64 * 1024 * 1024,
  })
  if (result.status === 0) return true
  if (!show) process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? result.error?.message ?? ''}\n`)
  return false
}

export function say(text) {
  console.log(text)
}

/** Ends the process with one line. */
export function fail(text) {
  console.error(text)
  process.exit(1)
}

/** The newest packages of the lockfile, without running a single install script. */
export function ensurePackages() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < NODE_FLOOR[0] || (major === NODE_FLOOR[0] && minor < NODE_FLOOR[1])) {
    fail(
      `Node.js ${process.versions.node} is too old: install ${NODE_FLOOR.join('.')} or newer (24 LTS is best)`,
    )
  }
  const wanted = createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .digest('hex')
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === wanted) return
  say('setup: npm ci (packages of the lockfile, no install scripts)')
  if (!run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'])) fail('setup: npm ci failed')
  writeFileSync(STAMP, wanted)
}

export function build() {
  if (!run(process.execPath, [join(ROOT, 'scripts/build.mjs')])) fail('setup: the build failed')
}

/** Compiles pkcs11js, the one package with native code. Answers what is missing, or `undefined`. */
export function ensureAddon() {
  if (existsSync(ADDON)) return undefined
  if (!existsSync(dirname(dirname(dirname(ADDON)))))
    return 'the package pkcs11js is not installed: run npm ci'
  if (!has('g++') && !installDebian(['g++']))
    return 'a C++ compiler is missing: install the Debian package g++'
  say('setup: compiling pkcs11js')
  const headers = join(dirname(dirname(process.execPath)), 'include', 'node')
  const hasHeaders = existsSync(join(headers, 'node_api.h'))
  // With the headers of this Node, node-gyp downloads nothing. It also wants make and Python.
  const canGyp = hasHeaders && has('make') && has('python3')
  if (
    canGyp &&
    run('npm', ['rebuild', 'pkcs11js'], { env: { npm_config_nodedir: dirname(dirname(headers)) } })
  ) {
    if (existsSync(ADDON)) return undefined
  }
  return compileDirectly() ? undefined : 'pkcs11js does not compile; the messages above say why'
}

/** The addon uses the stable Node-API only, whose headers come as a package. */
function compileDirectly() {
  const folder = join(ROOT, 'node_modules', 'pkcs11js')
  const sources = readdirSync(join(folder, 'src')).filter((name) => name.endsWith('.cpp'))
  mkdirSync(dirname(ADDON), { recursive: true })
  const flags = ['-shared', '-fPIC', '-O2', '-std=c++17', '-DNODE_GYP_MODULE_NAME=pkcs11']
  return run('g++', [
    ...flags,
    '-DBUILDING_NODE_EXTENSION',
    '-DNAPI_DISABLE_CPP_EXCEPTIONS',
    `-I${join(ROOT, 'node_modules/node-api-headers/include')}`,
    `-I${join(folder, 'includes')}`,
    ...sources.map((name) => join(folder, 'src', name)),
    '-ldl',
    '-o',
    ADDON,
  ])
}

/** For the module that fails on demand, which tests compile. Answers what is missing, or `undefined`. */
export function ensureCompiler() {
  if (has('cc') || installDebian(['gcc', 'libc6-dev'])) return undefined
  return 'a C compiler is missing: install the Debian packages gcc and libc6-dev'
}

/** SoftHSM, a PKCS#11 token in software. Answers what is missing, or `undefined`. */
export function ensureSoftHsm() {
  if (has('softhsm2-util') || installDebian(['softhsm2'])) return undefined
  return 'SoftHSM is missing: install the Debian package softhsm2'
}

/** PyKMIP, a KMIP server in Python. Answers what is missing, or `undefined`. */
export function ensurePyKmip() {
  if (existsSync('/usr/bin/pykmip-server') || installDebian(['python3-pykmip'])) return undefined
  return 'PyKMIP is missing: install the Debian package python3-pykmip'
}

/** Installs Debian packages where we may (root on Debian), and says so. */
export function installDebian(packages) {
  if (process.geteuid?.() !== 0 || !has('apt-get')) return false
  say(`setup: apt-get install ${packages.join(' ')}`)
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  const install = () => run('apt-get', ['install', '-y', '--no-install-recommends', ...packages], { env })
  return run('apt-get', ['update'], { env }) && install()
}

export function has(command) {
  return (process.env.PATH ?? '').split(':').some((folder) => existsSync(join(folder, command)))
}
