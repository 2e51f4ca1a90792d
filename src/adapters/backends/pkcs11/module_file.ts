/** May this file be loaded as a PKCS#11 module? Whoever can write it can run code beside the PIN. */
import { constants } from 'node:fs'
import { open, realpath, stat } from 'node:fs/promises'
import { isAbsolute } from 'node:path'
import { KmsError } from '../../../ports/errors.js'
import { isTrustedOwner } from '../file_owner.js'
import { errorCode, UNKNOWN_ERROR } from '../system_error.js'

/**
 * Checks the file behind all symlinks.
 *
 * @returns Its real path: what was checked is what gets loaded.
 * @throws {KmsError} `ERR_CONFIG_INVALID`: not absolute, absent, no regular file, of another owner, writable by group
 * or others, or not readable by us.
 */
export async function checkModuleFile(path: string): Promise<string> {
  if (!isAbsolute(path)) throw refused(path, 'must be named by its absolute path')
  try {
    const real = await realpath(path)
    const stats = await stat(real)
    const mode = stats.mode & 0o7777
    if (!stats.isFile()) throw refused(path, 'is no regular file')
    if ((mode & 0o022) !== 0) {
      throw refused(path, `has mode 0${mode.toString(8)}, so others may write it; run chmod go-w ${real}`)
    }
    if (!(await isTrustedOwner(stats.uid))) {
      throw refused(path, `belongs to user ${stats.uid}, neither root nor us`)
    }
    // The loader only says that there is no such file. access(2) would ask about the real user, not the effective one.
    await (await open(real, constants.O_RDONLY | constants.O_NONBLOCK)).close()
    return real
  } catch (error) {
    if (error instanceof KmsError) throw error
    const code = errorCode(error) ?? UNKNOWN_ERROR
    throw refused(path, reasons[code] ?? `cannot be looked at: ${code}`)
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "does not exist; install the vendor's library or correct the path",
  EACCES:
    'may not be read by the user of the plugin; run chmod a+r on it and chmod a+x on the folders above, or add the user to their group',
}

function refused(path: string, why: string): KmsError {
  return new KmsError('ERR_CONFIG_INVALID', `the PKCS#11 module ${path} ${why}`)
}
