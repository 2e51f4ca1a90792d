/** What every look at a file and every name of DNS wait for: threads of Node.js, all of them taken. */
import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** More than libuv has. */
const THREADS = 8

/**
 * Takes them by opening a pipe that nobody writes to, as a file system that hangs does.
 *
 * @returns Gives them back.
 */
export function takeThreads(): () => Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'kmsplugin-threads-'))
  const pipe = join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
  const readers = Array.from({ length: THREADS }, async () => open(pipe, constants.O_RDONLY))
  return async () => {
    const writer = openSync(pipe, constants.O_RDWR)
    for (const reader of readers) await (await reader).close()
    closeSync(writer)
    rmSync(folder, { recursive: true })
  }
}
