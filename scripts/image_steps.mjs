// The steps of the Dockerfile in a clean folder, then the result as another user with the whole tree read-only.
// Proves all but the base images. Needs root, to become another user.
import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fail, ROOT, say } from './setup.mjs'

const USER = 65532
const DEADLINE_MS = 30_000

if (process.geteuid?.() !== 0) fail('image steps: needs root, to run the result as another user')
const base = mkdtempSync(join(tmpdir(), 'kmsplugin-image-'))
const app = join(base, 'app')
const state = join(base, 'state')
try {
  chmodSync(base, 0o755)
  makeTree()
  makeState()
  await runAsOther()
  say('image steps: the tree works read-only, as another user')
} finally {
  spawnSync('chmod', ['-R', 'u+w', base])
  rmSync(base, { recursive: true, force: true })
}

/** Stages 1 to 3. */
function makeTree() {
  mkdirSync(app)
  for (const name of ['package.json', 'package-lock.json', 'tsconfig.json', 'scripts', 'src']) {
    cpSync(join(ROOT, name), join(app, name), { recursive: true })
  }
  npm('ci', '--ignore-scripts', '--no-audit', '--no-fund')
  const nodedir = dirname(dirname(process.execPath))
  if (existsSync(join(nodedir, 'include/node/node_api.h'))) {
    step('npm', ['rebuild', 'pkcs11js'], { npm_config_nodedir: nodedir })
  } else {
    say('image steps: no headers of Node here, so pkcs11js stays unbuilt')
  }
  npm('run', 'build')
  npm('prune', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund')
  for (const name of ['src', 'scripts', 'tsconfig.json', 'package-lock.json']) {
    rmSync(join(app, name), { recursive: true })
  }
  step(process.execPath, [join(app, 'dist/warm_up.js')])
  step('chmod', ['-R', 'a-w,a+rX', app])
}

/** What a node would mount: the only places that the user may write to. */
function makeState() {
  mkdirSync(state, { mode: 0o700 })
  const config = `server:\n  socket: ${join(state, 'kms.sock')}\nhealth:\n  address: ""\nprimary: dev\nkeys:\n  dev:\n    backend: local\n    path: ${join(state, 'dev.key')}\n`
  writeFileSync(join(state, 'config.yaml'), config, { mode: 0o600 })
  for (const path of [state, join(state, 'config.yaml')]) chownSync(path, USER, USER)
}

async function runAsOther() {
  kmsplugin('keygen', '--config', join(state, 'config.yaml'), '--key', 'dev')
  kmsplugin('check', '--config', join(state, 'config.yaml'))
  const log = join(state, 'log')
  const plugin = spawn(
    process.execPath,
    [join(app, 'dist/main.js'), 'serve', '--config', join(state, 'config.yaml')],
    {
      ...identity(),
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  const chunks = []
  plugin.stderr.on('data', (chunk) => chunks.push(chunk))
  const ended = new Promise((resolve) => plugin.once('exit', resolve))
  try {
    await untilServed(chunks)
    kmsplugin('status', '--socket', join(state, 'kms.sock'))
  } finally {
    plugin.kill('SIGTERM')
    const code = await ended
    if (code !== 0)
      fail(
        `image steps: serve ended with ${code}: ${Buffer.concat(chunks)} ${existsSync(log) ? readFileSync(log) : ''}`,
      )
  }
}

async function untilServed(chunks) {
  const giveUpAt = Date.now() + DEADLINE_MS
  while (!Buffer.concat(chunks).includes('primary key proved')) {
    if (Date.now() > giveUpAt) fail(`image steps: serve does not become ready: ${Buffer.concat(chunks)}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function kmsplugin(...args) {
  const result = spawnSync(process.execPath, [join(app, 'dist/main.js'), ...args], {
    ...identity(),
    encoding: 'utf8',
  })
  say(`image steps: kmsplugin ${args[0]}: ${result.stdout.trim().split('\n').at(-1)}`)
  if (result.status !== 0)
    fail(`image steps: kmsplugin ${args[0]} ended with ${result.status}: ${result.stdout}${result.stderr}`)
}

function identity() {
  return { uid: USER, gid: USER, cwd: '/', env: { PATH: process.env.PATH, NODE_ENV: 'production' } }
}

function npm(...args) {
  step('npm', args)
}

function step(command, args, env = {}) {
  say(`image steps: ${command} ${args.slice(0, 2).join(' ')}`)
  const result = spawnSync(command, args, { cwd: app, env: { ...process.env, ...env }, encoding: 'utf8' })
  if (result.status !== 0) fail(`image steps: ${command} ${args.join(' ')}: ${result.stdout}${result.stderr}`)
}
