/** The programs of ../go, built where Go is. */
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join, resolve, sep } from 'node:path'
import { goBuild } from '../../scripts/go_build.mjs'

const ROOT = resolve(import.meta.dirname, '../..')
const SOURCES = join(ROOT, 'bench/go')
const FOLDER = join(ROOT, '.measured/go')
const NAMES = ['client', 'peer']

/**
 * Builds them unless they are newer than their sources.
 *
 * @param options.folder Where they go; one that git ignores.
 * @param options.build `false`: only those that are there already.
 * @param options.say Gets what is done, and why they cannot be had.
 * @returns `{client, peer}`: the words that start each; `undefined` where they cannot be had.
 * @throws When everything is there and they do not compile.
 */
export async function goPrograms({ folder = FOLDER, build = true, say = () => undefined } = {}) {
  const paths = NAMES.map((name) => join(folder, name))
  const missing = isFresh(paths) ? undefined : await made(folder, build, say)
  if (missing !== undefined) {
    say(`without Go: ${missing}`)
    return undefined
  }
  const [client, peer] = paths
  return { client: [client], peer: [peer] }
}

async function made(folder, build, say) {
  if (!build) return 'its programs are not built'
  mkdirSync(folder, { recursive: true })
  const packages = NAMES.map((name) => `./${name}`)
  return (await goBuild(SOURCES, { packages, output: folder + sep, say })).missing
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
