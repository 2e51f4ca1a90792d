// npm run quickstart: from a fresh clone to a served socket and a round trip, with a key file or with SoftHSM.
import { spawn, spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { build, ensureAddon, ensurePackages, ensureSoftHsm, fail, ROOT, say } from './setup.mjs'

const { values: flags } = parseArgs({
  options: { hsm: { type: 'boolean', default: false }, exit: { type: 'boolean', default: false } },
})
const FOLDER = join(ROOT, '.quickstart')
const backend = flags.hsm ? 'hsm' : 'local'
const config = join(FOLDER, `kmsplugin-config.${backend}.yaml`)
const socket = join(FOLDER, 'kms.sock')
const log = join(FOLDER, 'plugin.log')
const SOFTHSM_MODULES = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
]

ensurePackages()
if (flags.hsm) {
  const missing = ensureSoftHsm() ?? ensureAddon()
  if (missing !== undefined) fail(`quickstart: ${missing}`)
}
say('quickstart: building')
build()

mkdirSync(FOLDER, { recursive: true, mode: 0o700 })
chmodSync(FOLDER, 0o700)
const environment = { ...process.env, SOFTHSM2_CONF: join(FOLDER, 'softhsm2.conf') }
const keys = flags.hsm ? prepareToken() : localKey()
const healthPort = await freePort(20358)
writeFileSync(config, configText(keys, healthPort))
makeKey()

const plugin = spawn(process.execPath, ['dist/main.js', 'serve', '--config', config], {
  cwd: ROOT,
  env: environment,
  stdio: ['ignore', 'inherit', openSync(log, 'w', 0o600)],
})
const ended = new Promise((resolve) => plugin.once('exit', (code) => resolve(code ?? 1)))
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => plugin.kill('SIGTERM'))

const { playKubeApiserver } = await import('./kube_apiserver.mjs')
const demonstration = playKubeApiserver(socket, 'kmsplugin').catch((error) => {
  console.error(`quickstart: the demonstration failed: ${error.message}`)
  return 'failed'
})
const outcome = await Promise.race([demonstration, ended])
if (outcome !== 'done') {
  if (outcome === 'failed') plugin.kill('SIGTERM')
  await ended
  fail(
    `quickstart: the plugin says, in ${log}:\n${readFileSync(log, 'utf8').split('\n').slice(-6).join('\n')}`,
  )
}

say(`
What now
  the plugin     serves ${socket}
  its config     ${config}
  its log        ${log}
  health         curl http://127.0.0.1:${healthPort}/readyz   (and /metrics)
  ask it         node dist/main.js status --socket ${socket}
  look deeper    ${flags.hsm ? `SOFTHSM2_CONF=${environment.SOFTHSM2_CONF} ` : ''}node dist/main.js check --config ${config}
  kube-apiserver examples/encryption-configuration-v2.yaml, with this endpoint: unix://${socket}`)
if (flags.exit) plugin.kill('SIGTERM')
else say('\nServing until Ctrl-C.')
process.exit(await ended)

function localKey() {
  return { name: 'dev', lines: ['backend: local', `path: ${join(FOLDER, 'dev.key')}`] }
}

/** A token in the working tree. Its random PIN stands on a command line for a moment: good enough to try things out. */
function prepareToken() {
  const tokens = join(FOLDER, 'tokens')
  const pinFile = join(FOLDER, 'pin')
  const module = SOFTHSM_MODULES.find((path) => existsSync(path))
  if (module === undefined)
    fail(`quickstart: softhsm2 is here, but none of these is: ${SOFTHSM_MODULES.join(' ')}`)
  mkdirSync(tokens, { recursive: true, mode: 0o700 })
  writeFileSync(environment.SOFTHSM2_CONF, `directories.tokendir = ${tokens}\nobjectstore.backend = file\n`)
  if (!existsSync(pinFile)) writeFileSync(pinFile, `${randomInt(10_000_000, 99_999_999)}\n`, { mode: 0o600 })
  const pin = readFileSync(pinFile, 'utf8').trim()
  // An earlier run may have ended at any point.
  if (!softhsm(['--show-slots']).includes('quickstart')) {
    softhsm(['--init-token', '--free', '--label', 'quickstart', '--so-pin', pin, '--pin', pin])
  }
  const lines = [
    'backend: pkcs11',
    `module: ${module}`,
    'tokenLabel: quickstart',
    `pin: file:${pinFile}`,
    'keyLabel: kek-1',
  ]
  return { name: 'hsm', lines }
}

function softhsm(args) {
  const { status, stdout, stderr } = spawnSync('softhsm2-util', args, { env: environment, encoding: 'utf8' })
  if (status !== 0) fail(`quickstart: softhsm2-util: ${stderr}`)
  return stdout
}

/** keygen never overwrites a key; one of an earlier run is as good. */
function makeKey() {
  const args = ['dist/main.js', 'keygen', '--config', config, '--key', keys.name]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: ROOT,
    env: environment,
    encoding: 'utf8',
  })
  if (status === 0) say(`quickstart: ${stdout.trim()}`)
  else if (stderr.includes('already')) say('quickstart: the key of an earlier run is used')
  else fail(`quickstart: keygen: ${stderr}`)
}

function configText({ name, lines }, port) {
  return `# Made by npm run quickstart; docs/configuration.md explains every key.
server:
  socket: ${socket}
  kmsV1: true
health:
  address: 127.0.0.1:${port}
primary: ${name}
keys:
  ${name}:
${lines.map((line) => `    ${line}`).join('\n')}
`
}

async function freePort(wanted) {
  const listens = (port) =>
    new Promise((resolve) => {
      const server = createServer()
      server.once('error', () => resolve(undefined))
      server.listen(port, '127.0.0.1', () => {
        const found = server.address().port
        server.close(() => resolve(found))
      })
    })
  return (await listens(wanted)) ?? (await listens(0))
}
