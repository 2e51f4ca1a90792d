/** Compiles the fault module; also for the benchmark, which runs no TypeScript. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath, URL } from 'node:url'

/** @returns Why it cannot be compiled here; `undefined` when it can. */
export function compilerMissing() {
  try {
    execFileSync('cc', ['--version'], { stdio: 'ignore' })
  } catch {
    return 'there is no C compiler'
  }
  try {
    headers()
  } catch {
    return 'pkcs11js, which has the headers, is not built'
  }
  return undefined
}

/** @returns The folder above pkcs11/pkcs11.h. */
export function headers() {
  return join(dirname(createRequire(import.meta.url).resolve('pkcs11js')), 'includes')
}

/** @returns The path of the compiled source; compiled by the first who needs it. */
export function compiled() {
  const folder = fileURLToPath(new URL('./', import.meta.url))
  const files = readdirSync(folder)
    .filter((name) => /\.[ch]$/.test(name))
    .sort()
  const sources = files.filter((name) => name.endsWith('.c')).map((name) => join(folder, name))
  const kind = ['-std=c11', '-D_GNU_SOURCE', '-O2', '-shared', '-fPIC', '-fvisibility=hidden', '-pthread']
  const words = [...kind, '-Wall', '-Wextra', `-I${headers()}`, ...sources, '-ldl']
  const hash = createHash('sha256').update([process.arch, ...words].join('\0'))
  for (const name of files) hash.update(readFileSync(join(folder, name)))
  // In a folder of ours: whoever can write it can have a test run his code.
  const cache = fileURLToPath(new URL('../../../node_modules/.cache/kmsplugin/', import.meta.url))
  const path = join(cache, `fault_module-${hash.digest('hex').slice(0, 16)}.so`)
  if (existsSync(path)) return path
  mkdirSync(cache, { recursive: true })
  const draft = mkdtempSync(join(cache, 'draft-'))
  try {
    execFileSync('cc', [...words, '-o', join(draft, 'module.so')], {
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    renameSync(join(draft, 'module.so'), path)
  } finally {
    rmSync(draft, { recursive: true })
  }
  return path
}
