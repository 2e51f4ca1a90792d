/** May the PIN file be used, and is it still the same file? The plugin opens it and never reads it. */
import { constants, type BigIntStats } from 'node:fs'
import { lstat, open, type FileHandle } from 'node:fs/promises'
import { KmsError } from '../../../ports/errors.js'
import { isTrustedOwner } from '../file_owner.js'
import { errorCode, UNKNOWN_ERROR } from '../system_error.js'

const MAX_PIN_FILE_BYTES = 4096

export interface PinFile {
  /** For messages. */
  readonly path: string
  /** The caller closes it; the HSM process inherits its descriptor. */
  readonly handle: FileHandle
  /** See {@link pinFileIdentity}. */
  readonly identity: string
}

/**
 * Opens the PIN file and checks what it opened, so that nothing can be swapped in between.
 *
 * @throws {KmsError} `ERR_CONFIG_INVALID`: absent, a symlink, no regular file, of another owner, readable by others,
 * empty or too long.
 */
export async function openPinFile(path: string): Promise<PinFile> {
  const handle = await openOnce(path)
  try {
    const stats = await handle.stat({ bigint: true })
    await refuseUnsafe(path, stats)
    return { path, handle, identity: identityOf(stats) }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Changes whenever the file was written or replaced; `undefined` when there is none. */
export async function pinFileIdentity(path: string): Promise<string | undefined> {
  try {
    return identityOf(await lstat(path, { bigint: true }))
  } catch {
    return undefined
  }
}

async function openOnce(path: string): Promise<FileHandle> {
  try {
    // O_NONBLOCK: a FIFO at this path does not hang us.
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ELOOP') throw refused(path, 'is a symlink; name the file itself')
    if (code === 'ENOENT') throw refused(path, 'does not exist; write the PIN into it, mode 0600')
    if (code === 'EACCES') {
      throw refused(path, 'may not be read by the user of the plugin; make that user its owner, mode 0600')
    }
    throw refused(path, `cannot be opened: ${code ?? UNKNOWN_ERROR}`)
  }
}

async function refuseUnsafe(path: string, stats: BigIntStats): Promise<void> {
  const mode = Number(stats.mode & 0o7777n)
  if (!stats.isFile()) throw refused(path, 'is no regular file')
  if ((mode & 0o077) !== 0) {
    throw refused(path, `has mode 0${mode.toString(8)}, so others may use it; run chmod 600 ${path}`)
  }
  if (!(await isTrustedOwner(Number(stats.uid)))) {
    throw refused(path, `belongs to user ${stats.uid.toString()}, neither root nor us`)
  }
  if (stats.size === 0n) throw refused(path, 'is empty; write the PIN into it')
  if (stats.size > MAX_PIN_FILE_BYTES)
    throw refused(path, `is longer than ${MAX_PIN_FILE_BYTES} bytes; it holds the PIN alone`)
}

function identityOf(stats: BigIntStats): string {
  return [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(':')
}

function refused(path: string, why: string): KmsError {
  return new KmsError('ERR_CONFIG_INVALID', `the PIN file ${path} ${why}`)
}
