/**
 * A token behind p11-kit's remote protocol, on a unix socket: an HSM on the network that a test can cut off and hang.
 *
 * p11-kit 0.24 carries no parameter of an AES mechanism, so what is left is RSA-OAEP. The token behind it is of NSS,
 * which does that with SHA-256.
 */
import type { ChildProcess } from 'node:child_process'
import { chownSync, readdirSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { changeToken } from '../token_objects.js'
import { canConnect, endDaemon, signalGroup, startDaemon, until } from './daemon.js'
import { makeNssDatabase, nssMissing, type NssDatabase } from './nss.js'
import { findLibrary, findMissing, keyMaker, type TokenModule } from './token_module.js'

const MODULE = 'pkcs11/p11-kit-client.so'
/** nobody: p11-kit reads no configuration of a test's own as root. */
const SERVER_UID = 65534

/** Why no test over p11-kit can run here; `undefined` when they can. */
export const p11KitMissing: string | undefined =
  nssMissing ?? findMissing({ libraries: [MODULE], commands: ['p11-kit', 'setpriv'] })

export interface RemoteToken extends TokenModule {
  /** The server dies: every call answers CKR_DEVICE_ERROR. */
  readonly kill: () => Promise<void>
  /** A new server in place of the old one. A client that had the old one must initialise the module again. */
  readonly restart: () => Promise<void>
  /** The server hangs: a call does not come back. */
  readonly stop: () => void
  /** It goes on, with what was asked meanwhile. */
  readonly cont: () => void
}

export async function makeP11Kit(): Promise<RemoteToken> {
  const dir = await mkdtemp(join(tmpdir(), 'kmsplugin-p11kit-'))
  const server = new Server(dir)
  const remove = async (): Promise<void> => {
    await server.end()
    await rm(dir, { recursive: true, force: true })
  }
  try {
    const nss = await makeNssDatabase(dir)
    await writeConfig(dir, nss)
    await server.start()
    const { tokenLabel, pin, pinFile } = nss
    const env = { P11_KIT_SERVER_ADDRESS: `unix:path=${server.socket}` }
    const access = { module: findLibrary(MODULE) ?? '', tokenLabel, pin, env }
    return {
      ...access,
      name: 'p11-kit',
      version: changeToken(access, []).library,
      pinFile,
      makeKey: keyMaker(access),
      kill: async () => server.kill(),
      restart: async () => {
        await server.kill()
        await server.start()
      },
      stop: () => server.signal('SIGSTOP'),
      cont: () => server.signal('SIGCONT'),
      remove,
    }
  } catch (error) {
    await remove()
    throw error
  }
}

/** A configuration with nothing but the one module, which p11-kit passes what C_Initialize wants. */
async function writeConfig(dir: string, { module, libraryParameters, pinFile }: NssDatabase): Promise<void> {
  const modules = join(dir, 'pkcs11', 'modules')
  await mkdir(modules, { recursive: true })
  await writeFile(join(dir, 'pkcs11', 'pkcs11.conf'), 'user-config: only\n')
  await writeFile(join(modules, 'nss.module'), `module: ${module}\nx-init-reserved: ${libraryParameters}\n`)
  if (process.geteuid?.() !== 0) return
  // The PIN stays ours: who reads it may demand that nobody else owns it.
  const own = readdirSync(dir, { recursive: true, encoding: 'utf8' }).map((name) => join(dir, name))
  for (const path of [dir, ...own]) if (path !== pinFile) chownSync(path, SERVER_UID, SERVER_UID)
}

class Server {
  readonly socket: string
  readonly #dir: string
  #daemon: ChildProcess | undefined

  constructor(dir: string) {
    this.#dir = dir
    this.socket = join(dir, 'socket')
  }

  async start(): Promise<void> {
    const isRoot = process.geteuid?.() === 0
    const daemon = startDaemon(
      'p11-kit',
      [
        'server',
        '-f',
        ...(isRoot ? ['-u', 'root'] : []),
        '-n',
        this.socket,
        'pkcs11:manufacturer=Mozilla%20Foundation',
      ],
      { env: { XDG_CONFIG_HOME: this.#dir }, ...(isRoot ? { uid: SERVER_UID } : {}) },
    )
    this.#daemon = daemon
    await until('the p11-kit server listens', daemon, async () => canConnect({ path: this.socket }))
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#daemon !== undefined) signalGroup(this.#daemon, signal)
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.end()
    await rm(this.socket, { force: true })
  }

  async end(): Promise<void> {
    if (this.#daemon !== undefined) await endDaemon(this.#daemon)
  }
}
