/**
 * Who owns the socket path: one process at a time, by a lock file beside it.
 *
 * Rules: a lock is whole from its first moment, so one without an owner is dead; and only who holds the lock's own
 * lock (`<path>.break`) removes a dead one, so nobody removes the lock of a starter that was quicker.
 */
import { randomBytes } from 'node:crypto'
import { link, readFile, unlink, writeFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
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

/** Others may take a free lock before us, or be removing a dead one, but not for ever. */
const MAX_TRIES = 50
const RETRY_AFTER_MS = 10

/**
 * Takes the lock, or answers who holds it (we ourselves, perhaps). A lock whose owner is gone is removed.
 *
 * @returns `undefined` when it is ours now.
 * @throws {KmsError} `ERR_CONFIG_INVALID` when the folder does not let us.
 */
export async function takeLock(path: string, pid: number): Promise<LockOwner | undefined> {
  const ours = JSON.stringify(await describe(pid))
  for (let attempt = 0; attempt < MAX_TRIES; attempt += 1) {
    if (await createWhole(path, ours)) return undefined
    const text = await textOf(path)
    if (text === undefined) continue
    const owner = parseOwner(text)
    if (owner !== undefined && (await isAlive(owner))) return owner
    if (!(await removeDead(path, text, pid))) await pause(RETRY_AFTER_MS)
  }
  throw invalid(path, 'it stands there, names no living process and cannot be removed')
}

/** Removes the lock if it is still ours. */
export async function releaseLock(path: string, pid: number): Promise<void> {
  const owner = parseOwner((await textOf(path).catch(() => undefined)) ?? '')
  if (owner?.pid === pid && (await isAlive(owner))) await unlink(path).catch(() => undefined)
}

/** @returns Whether there was none before. */
async function createWhole(path: string, text: string): Promise<boolean> {
  const draft = `${path}.${randomBytes(4).toString('hex')}`
  try {
    await writeFile(draft, text, { flag: 'wx', mode: 0o600 })
    await link(draft, path)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw invalid(path, codeOf(error))
  } finally {
    await unlink(draft).catch(() => undefined)
  }
}

/** @returns Whether it is gone; not so while another starter is about to remove it. */
async function removeDead(path: string, judged: string, pid: number): Promise<boolean> {
  const breaker = `${path}.break`
  if ((await takeLock(breaker, pid)) !== undefined) return false
  try {
    if ((await textOf(path)) === judged) await unlink(path)
    return true
  } catch {
    return false
  } finally {
    await unlink(breaker).catch(() => undefined)
  }
}

/** `undefined` where there is none; what cannot be read is not taken for dead. */
async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    // ESRCH: the process ended while /proc was read.
    if (['ENOENT', 'ESRCH'].includes(codeOf(error))) return undefined
    throw invalid(path, codeOf(error))
  }
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
  const bootId = (await textOf('/proc/sys/kernel/random/boot_id')) ?? ''
  const stat = (await textOf(`/proc/${pid}/stat`)) ?? ''
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
