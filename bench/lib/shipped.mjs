/** How is the program started where it is installed? As in the image: with these variables, and a code cache for them. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
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
