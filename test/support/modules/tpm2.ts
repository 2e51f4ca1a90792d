/**
 * A token of tpm2-pkcs11 on a TPM in software, behind a resource manager on a message bus of its own: without one the
 * TPM runs out of room for objects. The token makes no AES key itself; keys come from its own tool.
 */
import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { changeToken } from '../token_objects.js'
import { endDaemon, startDaemon, until } from './daemon.js'
import { startSwtpm } from './swtpm.js'
import { findLibrary, findMissing, runTool, type KeyKind, type TokenModule } from './token_module.js'

const MODULE = 'pkcs11/libtpm2_pkcs11.so'
const LABEL = 'k8s'
const PIN = '24681357'

const algorithms = { aes: 'aes256', hmac: 'hmac:sha256', rsa: 'rsa2048' } as const

/** Why no test on a TPM can run here; `undefined` when they can. */
export const tpm2Missing: string | undefined = findMissing({
  libraries: [MODULE, 'libtss2-tcti-tabrmd.so.0', 'libtss2-tcti-swtpm.so.0'],
  commands: ['setpriv', 'swtpm', 'tpm2-abrmd', 'dbus-daemon', 'tpm2_ptool', 'tpm2_createprimary'],
})

/** A TPM of this test's own. Its keys have the attributes that `tpm2_ptool addkey` gives them. */
export async function makeTpm2(): Promise<TokenModule> {
  const dir = await mkdtemp(join(tmpdir(), 'kmsplugin-tpm2-'))
  const daemons: ChildProcess[] = []
  const remove = async (): Promise<void> => {
    // Last come, first gone: each uses the one before.
    for (const daemon of daemons.splice(0).reverse()) await endDaemon(daemon)
    await rm(dir, { recursive: true, force: true })
  }
  try {
    return await makeToken(dir, daemons, remove)
  } catch (error) {
    await remove()
    throw error
  }
}

async function makeToken(
  dir: string,
  daemons: ChildProcess[],
  remove: () => Promise<void>,
): Promise<TokenModule> {
  const store = join(dir, 'store')
  const pinFile = join(dir, 'pin')
  await mkdir(store)
  await writeFile(pinFile, `${PIN}\n`, { mode: 0o600 })
  const bus = `unix:path=${join(dir, 'bus')}`
  const tcti = 'tabrmd:bus_type=session'
  const env = { DBUS_SESSION_BUS_ADDRESS: bus, TPM2_PKCS11_STORE: store, TPM2_PKCS11_TCTI: tcti }
  const toolEnv = { ...env, TPM2TOOLS_TCTI: tcti }
  const { tpm, port } = await startSwtpm(dir)
  daemons.push(tpm)
  await startBus(dir, bus, daemons)
  await startManager(port, toolEnv, daemons)

  const ptool = (...words: string[]): string =>
    runTool('tpm2_ptool', [...words, '--path', store], { env: toolEnv })
  ptool('init')
  ptool('addtoken', '--pid', '1', '--sopin', '87654321', '--userpin', PIN, '--label', LABEL)
  const access = { module: findLibrary(MODULE) ?? '', tokenLabel: LABEL, pin: PIN, env }
  return {
    ...access,
    name: 'tpm2-pkcs11',
    version: changeToken(access, []).library,
    pinFile,
    makeKey(kind: KeyKind, label: string, { id }: { readonly id?: string } = {}) {
      const named = ['--key-label', label, ...(id === undefined ? [] : ['--id', id])]
      ptool('addkey', '--label', LABEL, '--userpin', PIN, '--algorithm', algorithms[kind], ...named)
    },
    remove,
  }
}

async function startBus(dir: string, address: string, daemons: ChildProcess[]): Promise<void> {
  const words = ['--session', '--nofork', '--nopidfile', `--address=${address}`]
  const bus = startDaemon('dbus-daemon', words)
  daemons.push(bus)
  await until('the message bus listens', bus, () => existsSync(join(dir, 'bus')))
}

async function startManager(
  port: number,
  env: Readonly<Record<string, string>>,
  daemons: ChildProcess[],
): Promise<void> {
  const words = ['--session', `--tcti=swtpm:host=127.0.0.1,port=${port}`]
  if (process.geteuid?.() === 0) words.push('--allow-root')
  const manager = startDaemon('tpm2-abrmd', words, { env })
  daemons.push(manager)
  const answers = (): boolean => {
    try {
      runTool('tpm2_getrandom', ['--hex', '4'], { env })
      return true
    } catch {
      return false
    }
  }
  await until('the resource manager answers', manager, answers)
}
