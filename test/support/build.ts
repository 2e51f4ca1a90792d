/** Is there a build of the sources as they are now, for this Node.js? Runs once before all test files; makes one if not. */
import { readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { build as makeBuild } from '../../scripts/build.mjs'

const root = resolve(import.meta.dirname, '../..')
const stamp = join(root, 'dist/.built')

/** Not older than any source, and its code cache is one for us. */
function isFresh(): boolean {
  const builtAtMs = statSync(stamp, { throwIfNoEntry: false })?.mtimeMs
  if (builtAtMs === undefined || readFileSync(stamp, 'utf8') !== process.version) return false
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  const tools = ['package-lock.json', 'tsconfig.json', 'scripts/build.mjs', 'scripts/notices.mjs']
  const inputs = [...tools, ...sources.map((name) => join('src', name))]
  return inputs.every((name) => statSync(join(root, name)).mtimeMs < builtAtMs)
}

export default async function build(): Promise<void> {
  if (isFresh()) return
  const startedAt = new Date()
  await makeBuild()
  writeFileSync(stamp, process.version)
  // What was edited while it was built is newer than the build.
  utimesSync(stamp, startedAt, startedAt)
}
