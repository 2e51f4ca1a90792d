/**
 * Which PINs has a token refused, as the disk remembers it for the next process?
 *
 * One small file for each token. It holds salted scrypt fingerprints of refused PINs, never of a right one: whoever
 * reads a fingerprint can guess at a short PIN.
 */
import { createHash } from 'node:crypto'
import { constants, type BigIntStats } from 'node:fs'
import { lstat, open, rename, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from '../../../ports/logger.js'
import { isTrustedOwner } from '../file_owner.js'
import { LoginLock } from './login_lock.js'
import { openStateDir } from '../state_dir.js'
import { errorCode } from '../system_error.js'

const VERSION = 1
const MAX_FILE_BYTES = 65_536
/** Ten in a row lock a Luna. */
const MAX_REFUSED = 100

/** What is known of the PINs of one token. */
export interface PinRecord {
  /** Fingerprints of refused PINs: {@link FINGERPRINT}. */
  readonly refused: readonly string[]
  /** A login began, and nobody wrote down how it ended. */
  readonly unsettled: boolean
}

/** 16 bytes of salt and 32 of scrypt, in hexadecimal. */
export const FINGERPRINT = /^[0-9a-f]{32}:[0-9a-f]{64}$/

export const NOTHING: PinRecord = { refused: [], unsettled: false }

/** A symlink, a socket, a file that we may not read. */
const notOurs: readonly string[] = ['ELOOP', 'ENXIO', 'EACCES']

/**
 * What became of the file of the last save: `deleted` by an operator, or after a login that worked. `lost`: the folder
 * is gone or another one, as with its volume, so that nobody meant this file.
 */
export type Fate = 'there' | 'deleted' | 'lost'

export class LoginStore {
  /** An operator who deletes it has every PIN tried again. */
  readonly path: string
  readonly #dir: string
  readonly #lock: LoginLock
  /** The folder as it was right after the last save. */
  #folder: BigIntStats | undefined

  /**
   * @param dir `server.stateDir`.
   * @param tokenIdentity As the HSM process tells it.
   */
  constructor(dir: string, tokenIdentity: string) {
    const name = createHash('sha256').update(tokenIdentity).digest('hex').slice(0, 32)
    this.path = join(dir, `pin-${name}.json`)
    this.#dir = dir
    this.#lock = new LoginLock(join(dir, `pin-${name}.lock`))
  }

  /**
   * Keeps every other process from logging in to this token. Only who holds it saves.
   *
   * @returns What gives it back; `undefined` when the signal came first.
   * @throws {Error} when the folder cannot be used.
   */
  async lock(signal: AbortSignal): Promise<(() => void) | undefined> {
    await openStateDir(this.#dir)
    return this.#lock.take(signal)
  }

  /**
   * Also without the lock, on a disk that takes none.
   *
   * @returns `undefined` for a file that is not one of ours or was damaged: it is set aside, and the log says so.
   * @throws {Error} when that cannot be done, the disk fails, or others may write the folder.
   */
  async read(logger: Logger): Promise<PinRecord | undefined> {
    await openStateDir(this.#dir)
    try {
      return parse(await contentOf(this.path))
    } catch (error) {
      const code = errorCode(error)
      if (code === 'ENOENT') return NOTHING
      // A disk that fails, or a descriptor that is not to be had, says nothing about the file.
      if (code !== undefined && !notOurs.includes(code)) throw error
      const aside = `${this.path}.unreadable`
      await rename(this.path, aside)
      const reason = code ?? (error instanceof Error ? error.message : 'unknown')
      logger.warn('the memory of refused PINs cannot be read and was set aside', { file: aside, reason })
      return undefined
    }
  }

  /** Whole or not at all, and on the disk when this returns. Nothing to remember is no file. */
  async save(record: PinRecord): Promise<void> {
    if (record.refused.length === 0 && !record.unsettled) {
      if (await isAbsent(this.path)) return
      await unlink(this.path).catch(unlessAbsent)
    } else {
      const refused = record.refused.slice(-MAX_REFUSED)
      await this.#write(JSON.stringify({ version: VERSION, ...record, refused }))
    }
    const folder = await open(this.#dir)
    try {
      await folder.sync()
      this.#folder = await folder.stat({ bigint: true })
    } finally {
      await folder.close()
    }
  }

  async fate(): Promise<Fate> {
    // In this order: a volume that goes in between takes no file away.
    const isGone = await isAbsent(this.path)
    const folder = await stat(this.#dir, { bigint: true }).catch(() => undefined)
    if (this.#folder === undefined || folder === undefined || !isSame(this.#folder, folder)) return 'lost'
    return isGone ? 'deleted' : 'there'
  }

  async #write(text: string): Promise<void> {
    // Always the same name, so that those who are killed here leave no heap of files.
    const draft = `${this.path}.new`
    await unlink(draft).catch(unlessAbsent)
    const file = await open(draft, 'wx', 0o600)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(draft, this.path)
  }
}

/** By its time of birth, too: ext4 gives a folder that is made anew the inode number of the one before. */
function isSame(saved: BigIntStats, now: BigIntStats): boolean {
  return saved.dev === now.dev && saved.ino === now.ino && saved.birthtimeNs === now.birthtimeNs
}

async function isAbsent(path: string): Promise<boolean> {
  return lstat(path).then(
    () => false,
    (error: unknown) => errorCode(error) === 'ENOENT',
  )
}

async function contentOf(path: string): Promise<string> {
  // O_NONBLOCK: a FIFO at this path does not hang us.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const stats = await file.stat()
    if (!stats.isFile()) throw new Error('it is no regular file')
    if ((stats.mode & 0o077) !== 0) throw new Error('others may read or write it')
    if (!(await isTrustedOwner(stats.uid)))
      throw new Error(`it belongs to user ${stats.uid}, neither root nor us`)
    if (stats.size > MAX_FILE_BYTES) throw new Error(`it is longer than ${MAX_FILE_BYTES} bytes`)
    return await file.readFile('utf8')
  } finally {
    await file.close()
  }
}

function parse(text: string): PinRecord {
  const { version, refused, unsettled } = jsonOf(text)
  if (version !== VERSION) throw new Error('it has no version that we know')
  const isList =
    Array.isArray(refused) && refused.every((each) => typeof each === 'string' && FINGERPRINT.test(each))
  if (!isList || typeof unsettled !== 'boolean') throw new Error('its content is damaged')
  return { refused: refused as string[], unsettled }
}

function jsonOf(text: string): Record<string, unknown> {
  try {
    return { ...(JSON.parse(text) as object) }
  } catch {
    // The parser's own message quotes the text.
    throw new Error('its content is damaged')
  }
}

function unlessAbsent(error: unknown): void {
  if (errorCode(error) !== 'ENOENT') throw error
}
