/** Is there a build of the sources as they are now? Runs once before all test files; makes one if not. */
import { execFile } from 'node:child_process'
import { readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

const root = resolve(import.meta.dirname, '../..')
const stamp = join(root, 'dist/.built')

/** Not older than any source. */
function isFresh(): boolean {
  const builtAtMs = statSync(stamp, { throwIfNoEntry: false })?.mtimeMs ?? -Infinity
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  const inputs = ['tsconfig.json', 'tsconfig.build.json', ...sources.map((name) => join('src', name))]
  return inputs.every((name) => statSync(join(root, name)).mtimeMs < builtAtMs)
}

export default async function build(): Promise<void> {
  if (isFresh()) return
  const startedAt = new Date()
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  // Types have a check of their own.
  await promisify(execFile)(process.execPath, [compiler, '-p', 'tsconfig.build.json', '--noCheck'], {
    cwd: root,
  }).catch((error: unknown) => {
    const { stdout } = error as { stdout?: string }
    throw new Error(`the sources do not compile:\n${stdout ?? String(error)}`)
  })
  writeFileSync(stamp, '')
  // What was edited while the compiler ran is newer than the build.
  utimesSync(stamp, startedAt, startedAt)
}
