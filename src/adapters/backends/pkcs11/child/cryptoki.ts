/**
 * How is one function of a PKCS#11 module called from Node, and what is thrown when it fails?
 *
 * Rules that pkcs11js needs: synchronous forms only, since the others drop or leak their buffers; the object that
 * loaded the library lives as long as the process; an error's number decides, never its name.
 */
import { ckrRow, type Recovery } from '../shared/ckr.js'
import type { HsmFailure } from '../shared/messages.js'
import { whyNotLoaded } from './library_file.js'
import type { Cryptoki, Pkcs11js } from './pkcs11js.js'

/** Every failure on this side: what it means to the caller, and what may help. */
export class HsmError extends Error {
  readonly code: HsmFailure['code']
  readonly recovery: Recovery
  /** The module's return value; `undefined` where the conclusion is ours. */
  readonly rv: number | undefined

  /** @param message One line, nothing secret. */
  constructor(code: HsmFailure['code'], message: string, recovery: Recovery = 'none', rv?: number) {
    super(message)
    this.code = code
    this.recovery = recovery
    this.rv = rv
  }
}

/** No literal in `import`: the compiler would look for types that need not be there. */
const PACKAGE: string = 'pkcs11js'

/** @throws {HsmError} `ERR_CONFIG_INVALID` when pkcs11js is not installed or was not compiled. */
export async function importPkcs11js(): Promise<Pkcs11js> {
  try {
    // Its constants are not visible as named exports of an ES module.
    const { default: pkcs11js } = (await import(PACKAGE)) as { default: Pkcs11js }
    return pkcs11js
  } catch (error) {
    throw new HsmError(
      'ERR_CONFIG_INVALID',
      `pkcs11js cannot be loaded (${firstLine(error)}): install a C++ compiler and run \`npm rebuild pkcs11js\``,
    )
  }
}

/** @throws {HsmError} `ERR_CONFIG_INVALID` when the file is no PKCS#11 library for this machine. */
export function loadModule(p11: Pkcs11js, path: string): Cryptoki {
  try {
    const module = new p11.PKCS11()
    module.load(path)
    return module
  } catch (error) {
    throw new HsmError('ERR_CONFIG_INVALID', `${path} ${whyNotLoaded(path, firstLine(error))}`)
  }
}

/**
 * Calls one function of the module.
 *
 * @throws {HsmError} with the return value. Some functions of pkcs11js throw a plain `Error("CKR_X:50")`.
 */
export function call<T>(name: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    const rv = returnValue(error)
    if (rv === undefined) throw new HsmError('ERR_INTERNAL', `${name}: ${firstLine(error)}`)
    const row = ckrRow(rv)
    throw new HsmError(row.code, `${name}: ${row.name} (0x${rv.toString(16)})`, row.recovery, rv)
  }
}

/** What fits into a message. */
const TEXT_MAX_LENGTH = 900

/** Anything thrown, in the words of the parent. */
export function failureOf(error: unknown): HsmFailure {
  if (!(error instanceof HsmError)) return { code: 'ERR_INTERNAL', text: firstLine(error), replace: false }
  return {
    code: error.code,
    text: error.message.slice(0, TEXT_MAX_LENGTH),
    replace: error.recovery === 'replace',
  }
}

function returnValue(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined
  if ('code' in error && typeof error.code === 'number' && error.code > 0) return error.code
  const digits = /CKR_[A-Z0-9_]+:(\d+)/.exec(error.message)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : 'a value that is no Error was thrown'
  return (text.split('\n', 1)[0] ?? '').slice(0, 300)
}
