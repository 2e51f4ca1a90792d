/** What does a test get from the fixture of a PKCS#11 module, whichever it is? */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { changeToken, type KeyFlags, type TokenAccess } from '../token_objects.js'
import { commandPath } from './daemon.js'

/** A token of this test's own, with no key on it. {@link changeToken} takes it too. */
export interface TokenModule extends TokenAccess {
  /** Short, for test names. */
  readonly name: string
  /** What the module says it is. */
  readonly version: string
  /** Mode 0600; holds the PIN and a newline. */
  readonly pinFile: string
  /** Makes a key in another process; of RSA, both halves under one label. */
  readonly makeKey: (kind: KeyKind, label: string, flags?: Omit<KeyFlags, 'label'>) => void
  /** Ends what was started, by its pid, and leaves no file behind. Safe to call twice. */
  readonly remove: () => Promise<void>
}

export type KeyKind = 'aes' | 'hmac' | 'rsa'

const steps = { aes: 'makeAes', hmac: 'makeSecret', rsa: 'makeRsa' } as const

/** {@link TokenModule.makeKey} of a module that makes its own keys. */
export function keyMaker(token: TokenAccess): TokenModule['makeKey'] {
  return (kind, label, flags = {}) => {
    changeToken(token, [{ do: steps[kind], label, ...flags }])
  }
}

const libraryFolders = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64', '/usr/lib']

/** Where a shared library lies, by its path below one of the usual folders. */
export function findLibrary(path: string): string | undefined {
  return libraryFolders.map((folder) => join(folder, path)).find((file) => existsSync(file))
}

/** The first of these that a fixture cannot do without and that is not here; `undefined` when all are. */
export function findMissing(needs: {
  readonly libraries: readonly string[]
  readonly commands: readonly string[]
}): string | undefined {
  const { libraries, commands } = needs
  const missing =
    libraries.find((path) => findLibrary(path) === undefined) ?? commands.find((name) => !isCommand(name))
  if (missing !== undefined) return `${missing} is not installed`
  try {
    createRequire(import.meta.url)('pkcs11js')
    return undefined
  } catch {
    return 'pkcs11js is not built'
  }
}

/** Puts the reason behind the name of a suite that is skipped. */
export function unlessMissing(name: string, missing: string | undefined): string {
  return missing === undefined ? name : `${name} (skipped: ${missing})`
}

/** Runs a command of a module to its end, within a minute. */
export function runTool(command: string, args: readonly string[], options: ToolOptions = {}): string {
  const { env = {}, input } = options
  return execFileSync(command, args, {
    env: { ...process.env, PATH: commandPath, ...env },
    encoding: 'utf8',
    stdio: 'pipe',
    timeout: TOOL_DEADLINE_MS,
    killSignal: 'SIGKILL',
    ...(input === undefined ? {} : { input }),
  })
}

export interface ToolOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
}

const TOOL_DEADLINE_MS = 60_000

function isCommand(name: string): boolean {
  return commandPath.split(':').some((folder) => existsSync(join(folder, name)))
}
