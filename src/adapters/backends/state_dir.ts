/** May the plugin keep what it must not forget in this folder? Whoever can write it can have a wrong PIN tried again. */
import { constants } from 'node:fs'
import { access, mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { KmsError, asKmsError } from '../../ports/errors.js'
import type { Finding } from '../../ports/operations.js'
import { isTrustedOwner } from './file_owner.js'
import { errorCode, UNKNOWN_ERROR } from './system_error.js'

/**
 * Makes the folder, mode 0700, where only its parent exists.
 *
 * @throws {KmsError} `ERR_CONFIG_INVALID`: it cannot be made, is no folder, belongs to somebody else, or may be written
 * by others.
 */
export async function openStateDir(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    // On a disk that is read-only, it may be there all the same.
    if (!['EEXIST', 'EROFS', 'EACCES'].includes(errorCode(error) ?? ''))
      throw refused(path, makingFailed(path, error))
  }
  await refuseUnsafe(path)
}

/** What `check` says about it; makes nothing. */
export async function checkStateDir(path: string): Promise<Finding> {
  const subject = 'server.stateDir'
  try {
    if (await isAbsent(path)) {
      await mayWrite(dirname(path))
      return { level: 'ok', subject, text: `the folder ${path} will be made at the first login` }
    }
    await refuseUnsafe(path)
    await mayWrite(path)
    return { level: 'ok', subject, text: `${path} is writable by its owner alone` }
  } catch (thrown) {
    return { level: 'error', subject, text: asKmsError(thrown).message }
  }
}

/** Follows a symlink, since systemd's DynamicUser makes its state folder one. */
async function refuseUnsafe(path: string): Promise<void> {
  const stats = await stat(path).catch((error: unknown) => {
    throw refused(path, makingFailed(path, error))
  })
  const mode = stats.mode & 0o7777
  if (!stats.isDirectory()) throw refused(path, 'is no folder')
  if (!(await isTrustedOwner(stats.uid))) {
    throw refused(path, `belongs to user ${stats.uid}, neither root nor us`)
  }
  if ((mode & 0o022) !== 0) {
    throw refused(path, `has mode 0${mode.toString(8)}, so others may write it; run chmod 700 ${path}`)
  }
}

async function isAbsent(path: string): Promise<boolean> {
  return stat(path).then(
    () => false,
    (error: unknown) => errorCode(error) === 'ENOENT',
  )
}

async function mayWrite(folder: string): Promise<void> {
  await access(folder, constants.W_OK | constants.X_OK).catch((error: unknown) => {
    throw refused(folder, `cannot be written by us: ${errorCode(error) ?? UNKNOWN_ERROR}`)
  })
}

function makingFailed(path: string, error: unknown): string {
  const code = errorCode(error)
  return code === 'ENOENT'
    ? `cannot be made, since ${dirname(path)} does not exist`
    : `cannot be used: ${code ?? UNKNOWN_ERROR}`
}

function refused(path: string, why: string): KmsError {
  return new KmsError('ERR_CONFIG_INVALID', `the state folder ${path} ${why}`)
}
