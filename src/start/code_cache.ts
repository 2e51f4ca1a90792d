/**
 * What V8 made of the bundle, kept beside it so that the next start need not make it again: when is it believed?
 *
 * Rule: it is code. V8 compares its own version, its flags and the length of the source, and no more; so the file begins
 * with checksums of itself and the bundle, and the Node.js that made it. It is never written while the plugin serves.
 */
import { chmodSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { Script } from 'node:vm'
import { crc32 } from 'node:zlib'

/** Three CRC-32, against accidents: of the maker, the bundle and the data. A start has no time for a longer digest. */
const CHECKSUM_BYTES = 12

export interface Compiled {
  /** Its value is the function that esbuild's banner makes of the bundle. */
  readonly script: Script
  /** V8 has taken the cache. */
  readonly isFromCache: boolean
}

/** Where the cache of a bundle lies. */
export function cacheOf(bundle: string): string {
  return bundle.replace(/js$/, 'cache')
}

/**
 * Compiles a bundle. A cache that is absent, damaged, or of another bundle, Node.js or flags of V8 changes nothing but the time.
 *
 * @throws {Error} of the file system when the bundle itself cannot be read.
 */
export function compile(bundle: string): Compiled {
  const source = readFileSync(bundle)
  const cachedData = readCache(bundle, source)
  // The bundle is ASCII, which takes the least memory as latin1.
  const script = new Script(source.toString('latin1'), { filename: bundle, cachedData })
  return { script, isFromCache: cachedData !== undefined && script.cachedDataRejected === false }
}

/**
 * Keeps all that V8 has compiled of the bundle by now; readable and writable by those who may read and write the bundle.
 *
 * @throws {Error} of the file system when there is no room or no right; nothing is left of it then.
 */
export function keep(bundle: string, script: Script): void {
  const data = script.createCachedData()
  const { mode } = statSync(bundle)
  const unfinished = `${cacheOf(bundle)}.new`
  try {
    writeFileSync(unfinished, Buffer.concat([checksumsOf(readFileSync(bundle), data), data]))
    chmodSync(unfinished, mode)
    renameSync(unfinished, cacheOf(bundle))
  } catch (error) {
    rmSync(unfinished, { force: true })
    throw error
  }
}

function readCache(bundle: string, source: Buffer): Buffer | undefined {
  try {
    const file = readFileSync(cacheOf(bundle))
    const data = file.subarray(CHECKSUM_BYTES)
    return checksumsOf(source, data).equals(file.subarray(0, CHECKSUM_BYTES)) ? data : undefined
  } catch {
    return undefined
  }
}

function checksumsOf(source: Buffer, data: Buffer): Buffer {
  const { version, arch, execPath } = process
  const maker = JSON.stringify([version, arch, statSync(execPath).size, source.length])
  const sums = Buffer.alloc(CHECKSUM_BYTES)
  for (const [index, bytes] of [maker, source, data].entries()) sums.writeUInt32BE(crc32(bytes), 4 * index)
  return sums
}
