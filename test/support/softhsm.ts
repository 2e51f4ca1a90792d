/** A throwaway SoftHSM token for one test file. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { changeToken, type TokenStep } from './token_objects.js'

/** The built entry of the HSM process: a test runs the sources, a child process cannot. */
export const hsmEntry = new URL('../../dist/child/main.js', import.meta.url)

const PIN = '24681357'

const modules = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
]

/**
 * Why no test on SoftHSM can run here, for the name of a skipped suite; `undefined` when they can.
 *
 * `describe.skipIf(softHsmMissing !== undefined)(...)`
 */
export const softHsmMissing: string | undefined = whatIsMissing()

/** Puts the reason behind the name of a suite that is skipped. */
export function onSoftHsm(name: string): string {
  return softHsmMissing === undefined ? name : `${name} (skipped: ${softHsmMissing})`
}

export interface SoftHsm {
  readonly module: string
  readonly tokenLabel: string
  readonly pin: string
  /** Mode 0600; holds the PIN and a newline. */
  readonly pinFile: string
  /** SOFTHSM2_CONF. */
  readonly env: Readonly<Record<string, string>>
  readonly dir: string
  /** Where SoftHSM keeps its tokens. */
  readonly tokenDir: string
  /** Does these in another process, logged in unless the first step is a login; tells what the token said before. */
  readonly change: (...steps: readonly TokenStep[]) => { readonly pinCountLow: boolean }
  /** What else tells this token from others. */
  readonly names: () => { readonly serial: string; readonly slot: number }
  /** Adds one more token. */
  readonly addToken: (label: string) => void
  readonly remove: () => Promise<void>
}

/** A token with no key on it. */
export async function makeSoftHsm(tokenLabel = 'k8s'): Promise<SoftHsm> {
  const module = modules.find((path) => existsSync(path)) ?? ''
  const dir = await mkdtemp(join(tmpdir(), 'kmsplugin-softhsm-'))
  const tokenDir = join(dir, 'tokens')
  const conf = join(dir, 'softhsm2.conf')
  const pinFile = join(dir, 'pin')
  await mkdir(tokenDir)
  await writeFile(conf, `directories.tokendir = ${tokenDir}\nobjectstore.backend = file\n`)
  await writeFile(pinFile, `${PIN}\n`, { mode: 0o600 })
  const env = { SOFTHSM2_CONF: conf }
  const inEnv = { env: { ...process.env, ...env }, encoding: 'utf8', stdio: 'pipe' } as const
  const addToken = (label: string): void => {
    const pins = ['--so-pin', '87654321', '--pin', PIN]
    execFileSync('softhsm2-util', ['--init-token', '--free', '--label', label, ...pins], inEnv)
  }
  addToken(tokenLabel)
  return {
    module,
    tokenLabel,
    pin: PIN,
    pinFile,
    env,
    dir,
    tokenDir,
    addToken,
    names: () => namesOf(tokenLabel, execFileSync('softhsm2-util', ['--show-slots'], inEnv)),
    change: (...steps) => changeToken({ module, tokenLabel, pin: PIN, env }, steps),
    remove: async () => rm(dir, { recursive: true, force: true }),
  }
}

/** @param list What `softhsm2-util --show-slots` prints: the serial stands before the label. */
function namesOf(tokenLabel: string, list: string): { readonly serial: string; readonly slot: number } {
  for (const text of list.split(/^Slot /m)) {
    const [, slot] = /^(\d+)/.exec(text) ?? []
    const [, serial] = /Serial number: +(\S+)/.exec(text) ?? []
    const [, label] = /Label: +(.*?) *$/m.exec(text) ?? []
    if (label === tokenLabel && serial !== undefined) return { serial, slot: Number(slot) }
  }
  throw new Error(`softhsm2-util shows no token ${tokenLabel}`)
}

function whatIsMissing(): string | undefined {
  if (!modules.some((path) => existsSync(path))) return 'SoftHSM is not installed'
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
  return undefined
}
