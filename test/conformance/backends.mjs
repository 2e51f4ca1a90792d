// The backends that the scenarios run over: what each needs on this machine, and how its KEKs are made and rotated.
import { spawnSync } from 'node:child_process'
import { randomBytes, randomInt, randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { missingForVault, prepareVault } from './openbao.mjs'

const ADDON = fileURLToPath(new URL('../../node_modules/pkcs11js/build/Release/pkcs11.node', import.meta.url))
const SOFTHSM_MODULES = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
]

/**
 * Each with
 * - `missing()`: what this machine lacks, `undefined` if nothing;
 * - `prepare(folder, port)`: the environment its plugins need, `keySection(name)` for an entry under `keys`, and where
 *   a KEK has versions `rotate(name)`, which makes a new one under a running plugin. `makeKek(name)` where the plugin's
 *   keygen makes none; `peer`, what another plugin has to know to use the KEK `kek-1`; `close()` where a server has to be ended, which may listen on the port.
 */
export const backends = [
  { name: 'local', missing: () => undefined, prepare: prepareLocal },
  { name: 'pkcs11', missing: missingForPkcs11, prepare: preparePkcs11 },
  { name: 'vault', missing: missingForVault, prepare: prepareVault },
]

function prepareLocal(folder) {
  const pathOf = (name) => join(folder, `${name}.key.json`)
  return {
    env: {},
    keySection: (name) => ({ backend: 'local', path: pathOf(name) }),
    rotate: (name) => putNewKeyFirst(pathOf(name)),
  }
}

/** The first enabled key of the file wraps, the others open. */
function putNewKeyFirst(path) {
  const file = JSON.parse(readFileSync(path, 'utf8'))
  file.keys.unshift({
    id: randomUUID(),
    alg: 'A256GCM',
    key: randomBytes(32).toString('base64'),
    createdAt: new Date().toISOString(),
    state: 'enabled',
  })
  // In one step: the plugin may read at any moment.
  writeFileSync(`${path}.new`, JSON.stringify(file, undefined, 2), { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

function missingForPkcs11() {
  if (!existsSync(ADDON)) return 'pkcs11js is not compiled: npm test does that'
  if (!SOFTHSM_MODULES.some((path) => existsSync(path))) return 'SoftHSM is not installed (Debian: softhsm2)'
  const { error } = spawnSync('softhsm2-util', ['--version'])
  return error === undefined ? undefined : 'softhsm2-util is not installed (Debian: softhsm2)'
}

function preparePkcs11(folder) {
  const tokens = join(folder, 'tokens')
  const pinFile = join(folder, 'pin')
  const env = { SOFTHSM2_CONF: join(folder, 'softhsm2.conf') }
  mkdirSync(tokens, { mode: 0o700 })
  writeFileSync(env.SOFTHSM2_CONF, `directories.tokendir = ${tokens}\nobjectstore.backend = file\n`)
  const pin = String(randomInt(10_000_000, 99_999_999))
  writeFileSync(pinFile, `${pin}\n`, { mode: 0o600 })
  const args = ['--init-token', '--free', '--label', 'k8s', '--so-pin', pin, '--pin', pin]
  const { status, stderr } = spawnSync('softhsm2-util', args, {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 30_000,
  })
  if (status !== 0) throw new Error(`softhsm2-util: ${stderr}`)
  return {
    env,
    keySection: (name) => ({
      backend: 'pkcs11',
      module: SOFTHSM_MODULES.find((path) => existsSync(path)),
      tokenLabel: 'k8s',
      pin: `file:${pinFile}`,
      keyLabel: name,
    }),
  }
}
