// The PKCS#11 modules besides SoftHSM that tests run on, with what their fixtures start.
import { spawnSync } from 'node:child_process'
import { has, installDebian } from './setup.mjs'

/** openCryptoki; tpm2-pkcs11 with a TPM in software, its resource manager and the bus in between; p11-kit. */
const PACKAGES = [
  'opencryptoki',
  'libtpm2-pkcs11-1',
  'libtpm2-pkcs11-tools',
  'tpm2-tools',
  'swtpm',
  'tpm2-abrmd',
  'libtss2-tcti-swtpm0',
  'libtss2-tcti-tabrmd0',
  'dbus-daemon',
  'p11-kit',
  'p11-kit-modules',
]

/** NSS, a token in software that needs no daemon. Answers what is missing, or `undefined`. */
export function ensureNss() {
  if (has('certutil') || installDebian(['libnss3-tools'])) return undefined
  return 'NSS is missing: install the Debian package libnss3-tools'
}

/** What the tests in test/modules run on. Answers what is missing, or `undefined`. */
export function ensureModules() {
  const missing = PACKAGES.filter((name) => !isInstalled(name))
  if (missing.length === 0 || installDebian(missing)) return undefined
  return `PKCS#11 modules are missing: install the Debian packages ${missing.join(' ')}`
}

function isInstalled(name) {
  const { stdout } = spawnSync('dpkg-query', ['-W', '-f', '${db:Status-Status}', name], { encoding: 'utf8' })
  return stdout === 'installed'
}
