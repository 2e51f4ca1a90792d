/** What does a file hold that must not come from, or be told to, anybody else? */
import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { KmsError } from '../../../ports/errors.js'
import { isTrustedOwner } from '../file_owner.js'
import { errorCode, UNKNOWN_ERROR } from '../system_error.js'

/** Certificates with their chains are the largest. */
const MAX_FILE_BYTES = 1024 * 1024

/** Who may read the file beside us: nobody, or anybody, since what it holds is public or short-lived. */
export type Readers = 'us' | 'anybody'

/**
 * Reads a file of ours. A symbolic link is followed, since Kubernetes mounts Secrets and tokens as links; what stands
 * behind it is checked as it was opened.
 *
 * @param what In messages: `the Vault token`.
 * @returns Its bytes. The caller owns and wipes them.
 * @throws {KmsError} `ERR_CONFIG_INVALID`: absent, no regular file, of another owner, writable by others, readable by
 * others where `readers` is `us`, empty or larger than a MiB.
 */
export async function readTrustedFile(path: string, what: string, readers: Readers): Promise<Buffer> {
  const refused = (why: string) => new KmsError('ERR_CONFIG_INVALID', `${what} in ${path} ${why}`)
  let handle: FileHandle | undefined
  try {
    // O_NONBLOCK: a FIFO at this path does not hang us.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const stats = await handle.stat()
    const mode = stats.mode & 0o7777
    const forbidden = readers === 'us' ? 0o077 : 0o022
    if (!stats.isFile()) throw refused('is no regular file')
    if ((mode & forbidden) !== 0) {
      const fix = readers === 'us' ? '600' : '644'
      throw refused(`has mode 0${mode.toString(8)}, so others may use it; run chmod ${fix} ${path}`)
    }
    if (!(await isTrustedOwner(stats.uid))) throw refused(`belongs to user ${stats.uid}, neither root nor us`)
    if (stats.size > MAX_FILE_BYTES) throw refused(`is larger than ${MAX_FILE_BYTES} bytes`)
    const bytes = await handle.readFile()
    if (bytes.length === 0) throw refused('is empty')
    return bytes
  } catch (error) {
    if (error instanceof KmsError) throw error
    const code = errorCode(error)
    if (code === 'ENOENT') throw refused('does not exist')
    if (code === 'EACCES') throw refused('may not be read by the user of the plugin')
    throw refused(`cannot be read: ${code ?? UNKNOWN_ERROR}`)
  } finally {
    await handle?.close()
  }
}
