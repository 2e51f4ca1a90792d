/** Who owns the socket path: one process at a time, by a lock file beside it. */
import { readFile, unlink, writeFile } from 'node:fs/promises'
import { KmsError } from '../../ports/errors.js'

/**
 * A process as a lock file names it. The start time and the boot id tell it from a later process with the same
 * pid: in a container every plugin may be pid 1.
 */
export interface LockOwner {
  readonly pid: number
  readonly startTicks: string
  readonly bootId: string
}

/** Others may take a free lock before us, but not for ever. */
const MAX_TRIES = 20

/**
 * Takes the lock, or answers who holds it (we ourselves, perhaps). A lock whose owner is gone is removed.
 *
 * @returns `undefined` when it is ours now.
 * @throws {KmsError} `ERR_CONFIG_INVALID` when the folder does not let us.
 */
export async function takeLock(path: string, pid: number): Promise<LockOwner | undefined> {
  const ours = JSON.stringify(await describe(pid))
  for (let attempt = 0; attempt < MAX_TRIES; attempt += 1) {
    try {
      await writeFile(path, ours, { flag: 'wx', mode: 0o600 })
      return undefined
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw invalid(path, codeOf(error))
    }
    const text = await readFile(path, 'utf8').catch(() => '')
    const owner = parseOwner(text)
    if (owner !== undefined && (await isAlive(owner))) return owner
    // Removed only as it was judged: another starter may have put its own in place meanwhile.
    if ((await readFile(path, 'utf8').catch(() => '')) === text) await unlink(path).catch(() => undefined)
  }
  throw invalid(path, 'it stands there, names no living process and cannot be removed')
}

/** Removes the lock if it is still ours. */
export async function releaseLock(path: string, pid: number): Promise<void> {
  const owner = parseOwner(await readFile(path, 'utf8').catch(() => ''))
  if (owner?.pid === pid && (await isAlive(owner))) await unlink(path).catch(() => undefined)
}

function parseOwner(text: string): LockOwner | undefined {
  try {
    const { pid, startTicks, bootId } = JSON.parse(text) as Record<string, unknown>
    if (typeof pid !== 'number' || typeof startTicks !== 'string' || typeof bootId !== 'string')
      return undefined
    return { pid, startTicks, bootId }
  } catch {
    return undefined
  }
}

async function isAlive(owner: LockOwner): Promise<boolean> {
  const now = await describe(owner.pid)
  return now.startTicks !== '' && now.startTicks === owner.startTicks && now.bootId === owner.bootId
}

/** From /proc (proc(5)): `startTicks` is empty when there is no such process. */
async function describe(pid: number): Promise<LockOwner> {
  const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  // The second field is the command in parentheses and may hold anything; the start time is the 20th after it.
  const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  return { pid, startTicks, bootId: bootId.trim() }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
}

function invalid(path: string, why: string): KmsError {
  return new KmsError('ERR_CONFIG_INVALID', `cannot take the lock ${path} beside the socket: ${why}`)
}
