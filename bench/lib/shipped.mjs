/** How is the program started where it is installed? As in the image: with these variables, and a code cache for them. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Of every subject, so that what is compared has the same heap. */
export const ENV = { NODE_OPTIONS: '--max-semi-space-size=1' }

/** What the program sets for itself, for subjects that do not (src/main.ts). */
export const FLAGS = ['--heap-growing-percent=50']

/** Makes the code cache beside the program for `env`; a build without one is measured as it is. */
export function makeCodeCache(program, env) {
  const warmUp = join(dirname(program), 'warm_up.js')
  if (!existsSync(warmUp)) return
  const { status, stderr } = spawnSync(process.execPath, [warmUp], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`warm_up.js: ${stderr}`)
}

/**
 * Remembers the code cache beside the program, which is for its operator's flags.
 *
 * @returns What puts it back, whatever was made meanwhile; it may be called when the process exits.
 */
export function keepCodeCache(program) {
  const cache = join(dirname(program), 'kmsplugin.cache')
  const bytes = existsSync(cache) ? readFileSync(cache) : undefined
  return () => (bytes === undefined ? rmSync(cache, { force: true }) : writeFileSync(cache, bytes))
}
