/** SoftHSM that fails on demand: faulty_module.cpp, compiled for one token. */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { softHsmMissing, type SoftHsm } from '../../support/softhsm.js'

/** Why it cannot be had here; `undefined` when it can. */
export const faultyModuleMissing: string | undefined = softHsmMissing ?? compilerMissing()

export type FailableFunction =
  'C_Initialize' | 'C_Login' | 'C_FindObjectsInit' | 'C_EncryptInit' | 'C_DecryptInit' | 'C_Decrypt'

export interface FaultyModule {
  readonly path: string
  /** From now on, until {@link heal}; see faulty_module.cpp for what `fault` may be. */
  readonly break: (name: FailableFunction, fault: string) => void
  readonly heal: (name: FailableFunction) => void
}

/** It lies in the folder of the token and goes with it. */
export function makeFaultyModule({ dir, module }: SoftHsm): FaultyModule {
  const path = join(dir, 'faulty.so')
  const faults = join(dir, 'faults')
  mkdirSync(faults)
  const headers = join(dirname(createRequire(import.meta.url).resolve('pkcs11js')), 'includes')
  const source = fileURLToPath(new URL('./faulty_module.cpp', import.meta.url))
  const macros = [`-DREAL="${module}"`, `-DFAULTS="${faults}"`]
  execFileSync('c++', ['-shared', '-fPIC', `-I${headers}`, ...macros, source, '-o', path, '-ldl'])
  chmodSync(path, 0o755)
  return {
    path,
    break(name, fault) {
      const draft = join(dir, 'fault.new')
      writeFileSync(draft, fault)
      renameSync(draft, join(faults, name))
    },
    heal: (name) => rmSync(join(faults, name), { force: true }),
  }
}

function compilerMissing(): string | undefined {
  try {
    execFileSync('c++', ['--version'], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'there is no C++ compiler'
  }
}
