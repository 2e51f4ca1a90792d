/** A throwaway token of NSS, the library of Firefox: a second module in software that needs no daemon. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { changeToken } from '../token_objects.js'
import { findLibrary, findMissing, keyMaker, runTool, type TokenModule } from './token_module.js'

const MODULE = 'libsoftokn3.so'
const PIN = '24681357'

/** Why no test on NSS can run here; `undefined` when they can. */
export const nssMissing: string | undefined = findMissing({ libraries: [MODULE], commands: ['certutil'] })

export async function makeNss(): Promise<TokenModule> {
  const dir = await mkdtemp(join(tmpdir(), 'kmsplugin-nss-'))
  const access = { ...(await makeNssDatabase(dir)), env: {} }
  return {
    ...access,
    name: 'NSS',
    version: changeToken(access, []).library,
    makeKey: keyMaker(access),
    remove: async () => rm(dir, { recursive: true, force: true }),
  }
}

/** Fills a folder with a token and its PIN file. The token's label is the module's own choice. */
export async function makeNssDatabase(dir: string): Promise<NssDatabase> {
  const pinFile = join(dir, 'pin')
  await writeFile(pinFile, `${PIN}\n`, { mode: 0o600 })
  runTool('certutil', ['-N', '-d', `sql:${dir}`, '-f', pinFile])
  return {
    module: findLibrary(MODULE) ?? '',
    // Without parameters C_Initialize answers CKR_ARGUMENTS_BAD.
    libraryParameters: `configdir='sql:${dir}'`,
    tokenLabel: 'NSS Certificate DB',
    pin: PIN,
    pinFile,
  }
}

export interface NssDatabase {
  readonly module: string
  readonly libraryParameters: string
  readonly tokenLabel: string
  readonly pin: string
  readonly pinFile: string
}
