/** The programs of ../go, built where Go is. */
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join, resolve, sep } from 'node:path'
import { goBuild } from '../../scripts/go_build.mjs'

const ROOT = resolve(import.meta.dirname, '../..')
const SOURCES = join(ROOT, 'bench/go')
const NAMES = ['client', 'peer']

/**
 * Builds them unless they are newer than their sources.
 *
 * @param folder Where they go; one that git ignores.
 * @returns `{client, peer}`: the words that start each. `{missing}`, a reason, where they cannot be had.
 * @throws When everything is there and they do not compile.
 */
export async function goPrograms(folder = join(ROOT, '.measured/go'), say = () => undefined) {
  const paths = NAMES.map((name) => join(folder, name))
  if (!isFresh(paths)) {
    mkdirSync(folder, { recursive: true })
    const packages = NAMES.map((name) => `./${name}`)
    const { missing } = await goBuild(SOURCES, { packages, output: folder + sep, name: 'benchmark', say })
    if (missing !== undefined) return { missing }
  }
  const [client, peer] = paths
  return { client: [client], peer: [peer] }
}

/** Whether all programs are there, and no source is newer than any of them. */
function isFresh(programs) {
  if (!programs.every((path) => existsSync(path))) return false
  const sources = readdirSync(SOURCES, { recursive: true }).map((name) => join(SOURCES, name))
  const newestMs = Math.max(...sources.map(changedMs))
  return programs.every((path) => changedMs(path) > newestMs)
}

function changedMs(path) {
  return statSync(path).mtimeMs
}
