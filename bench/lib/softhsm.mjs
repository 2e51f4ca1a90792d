/** A throwaway token of SoftHSM with a KEK, as itself or behind the fault module, which makes a slow device of it. */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { compiled, compilerMissing } from '../../test/support/fault_module/compile.mjs'

const MODULES = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
]
const STEPS = resolve(import.meta.dirname, '../../test/support/token_objects.mjs')
const PIN = '24681357'
const LABEL = 'kek'

/** Why there can be no token here; `undefined` when there can. */
export function softHsmMissing() {
  if (!MODULES.some((path) => existsSync(path))) return 'SoftHSM is not installed'
  try {
    execFileSync('softhsm2-util', ['--version'], { stdio: 'ignore' })
  } catch {
    return 'softhsm2-util is not installed'
  }
  try {
    createRequire(import.meta.url)('pkcs11js')
  } catch {
    return 'pkcs11js is not built'
  }
  return compilerMissing()
}

export class SoftHsm {
  /** What a process needs in its environment to find the token. */
  env
  /** The path of the module; other than SoftHSM's own where calls are delayed. */
  module
  #folder

  constructor(folder, env, module) {
    this.#folder = folder
    this.env = env
    this.module = module
  }

  /** Makes the token and the KEK. */
  static make(parent) {
    const folder = mkdtempSync(join(parent, 'softhsm-'))
    const tokens = join(folder, 'tokens')
    mkdirSync(tokens)
    const env = { SOFTHSM2_CONF: join(folder, 'softhsm2.conf') }
    writeFileSync(env.SOFTHSM2_CONF, `directories.tokendir = ${tokens}\nobjectstore.backend = file\n`)
    writeFileSync(join(folder, 'pin'), `${PIN}\n`, { mode: 0o600 })
    const module = MODULES.find((path) => existsSync(path))
    const options = { env: { ...process.env, ...env }, stdio: 'pipe' }
    const pins = ['--so-pin', '87654321', '--pin', PIN]
    execFileSync('softhsm2-util', ['--init-token', '--free', '--label', 'k8s', ...pins], options)
    const steps = [
      { do: 'login', pin: PIN },
      { do: 'makeAes', label: LABEL, id: '01' },
    ]
    const order = { module, tokenLabel: 'k8s', pin: PIN, steps }
    execFileSync(process.execPath, [STEPS, JSON.stringify(order)], options)
    return new SoftHsm(folder, env, module)
  }

  /** The same token behind the fault module: at full speed until {@link delay}. */
  behindFaults() {
    // A copy: its files lie beside it.
    const module = join(mkdtempSync(join(this.#folder, 'fault-')), 'module.so')
    copyFileSync(compiled(), module)
    chmodSync(module, 0o755)
    writeFileSync(`${module}.conf`, `${this.module}\n`)
    return new SoftHsm(this.#folder, this.env, module)
  }

  /** From now on each encryption and decryption takes so long, any number at once. */
  delay(ms) {
    writeFileSync(`${this.module}.draft`, `C_Encrypt delay=${ms}\nC_Decrypt delay=${ms}\n`)
    renameSync(`${this.module}.draft`, `${this.module}.control`)
  }

  /** The decryptions since the last call, also those that another process made. */
  takeDecryptCount() {
    const log = `${this.module}.log`
    const count = readFileSync(log, 'latin1').split(' C_Decrypt ').length - 1
    truncateSync(log)
    return count
  }

  /** What subjects/pkcs11_limit.mjs needs to know. */
  get words() {
    return { module: this.module, tokenLabel: 'k8s', pin: PIN, label: LABEL }
  }

  /** A config of the plugin whose KEK is on the token; `key` adds settings to that of the key. */
  config(envelope, key = {}) {
    return {
      envelope,
      // So that no probe is counted.
      health: { address: '', probeInterval: '10m' },
      primary: 'hsm',
      keys: {
        hsm: {
          ...{ backend: 'pkcs11', module: this.module, tokenLabel: 'k8s', keyLabel: LABEL },
          pin: `file:${join(this.#folder, 'pin')}`,
          ...key,
        },
      },
    }
  }
}
