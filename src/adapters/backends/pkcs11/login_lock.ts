/**
 * Whose turn is it to log in to a token, among all plugins and commands that share a state folder?
 *
 * Rules: the lock is a symlink that names its holder, so it is whole from its first moment; one whose holder is gone
 * is removed by whoever holds the lock's own lock (`<path>.break`); and none is waited for without end, since a holder
 * may be stopped, or live in a container whose processes nobody else sees.
 */
import { randomBytes } from 'node:crypto'
import { readlinkSync, unlinkSync } from 'node:fs'
import { readFile, readlink, symlink, unlink } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { errorCode } from '../system_error.js'

const RETRY_AFTER_MS = 20
/** Longer than a start may take: see start_bound.ts. */
const MAX_HELD_MS = 20_000

export class LoginLock {
  readonly #path: string
  readonly #maxHeldMs: number
  /** Whom we wait for at the lock and at the lock's own lock, and since when. */
  readonly #seen = new Map<string, { readonly holder: string; readonly sinceMs: number }>()

  /** @param path Of the lock; its folder is trusted. */
  constructor(path: string, maxHeldMs = MAX_HELD_MS) {
    this.#path = path
    this.#maxHeldMs = maxHeldMs
  }

  /**
   * Waits for the lock.
   *
   * @returns What gives it back, at once; `undefined` when the signal came first.
   * @throws {Error} with a `code` when the folder does not let us.
   */
  async take(signal: AbortSignal): Promise<(() => void) | undefined> {
    const ours = `${await describe('self')} ${randomBytes(8).toString('hex')}`
    while (!signal.aborted) {
      if (await make(this.#path, ours)) return () => release(this.#path, ours)
      if (!(await this.#removeDead(ours)))
        await pause(RETRY_AFTER_MS, undefined, { signal }).catch(() => undefined)
    }
    return undefined
  }

  /** @returns Whether the lock may be free now. */
  async #removeDead(ours: string): Promise<boolean> {
    const judged = await holderOf(this.#path)
    if (judged === undefined) return true
    if (!(await this.#isDead(this.#path, judged))) return false
    const breaker = `${this.#path}.break`
    if (!(await make(breaker, ours))) {
      const other = await holderOf(breaker)
      if (other !== undefined && (await this.#isDead(breaker, other)))
        await unlink(breaker).catch(() => undefined)
      return false
    }
    try {
      if ((await holderOf(this.#path)) === judged) await unlink(this.#path)
      return true
    } finally {
      await unlink(breaker).catch(() => undefined)
    }
  }

  async #isDead(path: string, holder: string): Promise<boolean> {
    const nowMs = performance.now()
    const seen = this.#seen.get(path)
    if (seen?.holder !== holder) this.#seen.set(path, { holder, sinceMs: nowMs })
    else if (nowMs - seen.sinceMs > this.#maxHeldMs) return true
    return isGone(holder)
  }
}

/** @returns Whether there was none before. */
async function make(path: string, ours: string): Promise<boolean> {
  try {
    await symlink(ours, path)
    return true
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false
    throw error
  }
}

/** Synchronous: a process that is about to end still gives it back. */
function release(path: string, ours: string): void {
  try {
    if (readlinkSync(path) === ours) unlinkSync(path)
  } catch {
    // It was taken from us, or the next one finds out that we are gone.
  }
}

async function holderOf(path: string): Promise<string | undefined> {
  try {
    return await readlink(path)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Only what this machine can tell: a process of another pid namespace is not seen. */
async function isGone(holder: string): Promise<boolean> {
  const [bootId, pidNamespace, pid = ''] = holder.split(' ')
  const [ourBootId, ourPidNamespace] = (await describe('self')).split(' ')
  if (bootId !== ourBootId) return true
  if (pidNamespace !== ourPidNamespace || !/^\d+$/.test(pid)) return false
  return !holder.startsWith(`${await describe(pid)} `)
}

/** Boot, pid namespace, pid and start time, from /proc (proc(5)): together they name one process for ever. */
async function describe(process: string): Promise<string> {
  const text = async (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '')
  const bootId = (await text('/proc/sys/kernel/random/boot_id')).trim()
  const pidNamespace = await readlink('/proc/self/ns/pid').catch(() => '')
  const stat = await text(`/proc/${process}/stat`)
  const pid = /^\d*/.exec(stat)?.[0] ?? ''
  // The second field is the command in parentheses and may hold anything; state and start time follow it.
  const [state = '', ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // One that only waits to be reaped does nothing more.
  const startTicks = /^[ZX]$/.test(state) ? '' : (rest[18] ?? '')
  return `${bootId} ${pidNamespace} ${pid} ${startTicks}`
}
