/**
 * How the socket gets its public name, and how it loses it.
 *
 * Rules: the folder is ours and nobody else writes to it; the socket is bound under a private name, gets its mode
 * and is renamed into place, so there is no moment with a wrong mode or a half-made socket, and closing an old
 * server does not remove a newer one's name; only a refused connection proves a socket dead; what is no socket of
 * ours is never removed.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { constants, type Stats } from 'node:fs'
import { access, chmod, chown, lstat, mkdir, rename, rm, stat, unlink } from 'node:fs/promises'
import { connect, type Server } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { KmsError } from '../../ports/errors.js'

/** `sun_path` of unix(7) without its closing NUL. */
const PATH_MAX_BYTES = 107

export interface SocketPermissions {
  readonly mode: number
  /** Numeric group; `undefined` keeps ours. */
  readonly gid: number | undefined
}

/** A socket under its public name. */
export interface PublishedSocket {
  /** Whether the name still leads to it: `gone` when nothing has the name, `replaced` when another file has. */
  look(): Promise<'there' | 'gone' | 'replaced'>
  /** Removes the name if it is still the one that was published. */
  remove(): Promise<void>
}

/**
 * Makes the folder (mode 0700, or 0750 for a group) if it is missing, and checks it.
 *
 * @param uid The user that the plugin runs as.
 * @throws {KmsError} `ERR_CONFIG_INVALID`
 */
export async function prepareFolder(socketPath: string, uid: number, gid: number | undefined): Promise<void> {
  const tooLong = lengthProblem(socketPath)
  if (tooLong !== undefined) throw invalid(tooLong)
  const folder = dirname(socketPath)
  try {
    await mkdir(folder, { mode: 0o700 })
    if (gid !== undefined) {
      await chown(folder, -1, gid)
      // Not by mkdir: the umask would take it away again.
      await chmod(folder, 0o750)
    }
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') {
      throw invalid(
        `cannot make the socket folder ${folder}: ${codeOf(error)}; make it, owned by the plugin's user`,
      )
    }
  }
  const problem = await folderProblem(socketPath, uid)
  if (problem !== undefined) throw invalid(problem)
}

/** Whether path and folder leave room for the names that the socket has; `undefined` when they do. */
export function lengthProblem(socketPath: string): string | undefined {
  if (Buffer.byteLength(socketPath) > PATH_MAX_BYTES) {
    return `the path ${socketPath} is too long for a socket: at most ${PATH_MAX_BYTES} bytes`
  }
  const folder = dirname(socketPath)
  const tooManyBytes = Buffer.byteLength(privateName(folder)) - PATH_MAX_BYTES
  if (tooManyBytes <= 0) return undefined
  return `the socket folder ${folder} has a path that is too long for a socket, by ${tooManyBytes} bytes`
}

/** What is wrong with the folder of a socket and what to do, in one line; `undefined` when nothing is. */
export async function folderProblem(socketPath: string, uid: number): Promise<string | undefined> {
  const folder = dirname(socketPath)
  const seen = await lookBehindSafeLink(folder, uid)
  if (seen === undefined) return `the socket folder ${folder} does not exist or cannot be looked at`
  if (!seen.isDirectory())
    return `the socket folder ${folder} is no directory (a symlink is followed only where nobody but root and us could change it)`
  if (seen.uid !== uid)
    return `the socket folder ${folder} belongs to uid ${seen.uid}; it must be ours (${uid}): run the plugin as uid ${seen.uid}, or chown ${uid} ${folder} if it is for this socket alone`
  if ((seen.mode & 0o022) !== 0)
    return `others may write to the socket folder ${folder}; run chmod go-w ${folder}`
  try {
    await access(folder, constants.W_OK | constants.X_OK)
    return undefined
  } catch {
    return `we may not write to the socket folder ${folder}; run chmod u+wx ${folder} (a read-only file system?)`
  }
}

/** `/var/run` is a link of root in a folder of root: nobody else can make it lead elsewhere, so it is followed. */
async function lookBehindSafeLink(folder: string, uid: number): Promise<Stats | undefined> {
  const seen = await lstat(folder).catch(() => undefined)
  if (seen?.isSymbolicLink() !== true) return seen
  const parent = await lstat(dirname(folder)).catch(() => undefined)
  const isSafe = [seen, parent].every((one) => one !== undefined && (one.uid === 0 || one.uid === uid))
  const isClosed = parent?.isDirectory() === true && (parent.mode & 0o022) === 0
  return isSafe && isClosed ? stat(folder).catch(() => undefined) : seen
}

/**
 * What stands at the path now.
 *
 * @throws {KmsError} `ERR_CONFIG_INVALID` for anything but a socket of ours.
 */
export async function probeSocket(path: string, uid: number): Promise<'absent' | 'dead' | 'living'> {
  try {
    const seen = await lstat(path)
    if (!seen.isSocket()) throw invalid(`${path} exists and is no socket; it is not removed: move it away`)
    if (seen.uid !== uid)
      throw invalid(
        `the socket ${path} belongs to uid ${seen.uid}; it is not removed: remove it when its plugin has ended`,
      )
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 'absent'
    throw error
  }
  const client = connect(path)
  try {
    await once(client, 'connect')
    return 'living'
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 'absent'
    return codeOf(error) === 'ECONNREFUSED' ? 'dead' : 'living'
  } finally {
    client.destroy()
  }
}

/** Binds `server` and gives it its public name, over a dead socket if one is there. */
export async function publishSocket(
  server: Server,
  path: string,
  permissions: SocketPermissions,
): Promise<PublishedSocket> {
  const bound = privateName(dirname(path))
  const privateFolder = dirname(bound)
  try {
    await mkdir(privateFolder, { mode: 0o700 })
    server.listen(bound)
    await once(server, 'listening')
    if (permissions.gid !== undefined) await chown(bound, -1, permissions.gid)
    await chmod(bound, permissions.mode)
    const { ino, dev } = await lstat(bound)
    await rename(bound, path)
    const look = async () => {
      const now = await lstat(path).catch(() => undefined)
      if (now === undefined) return 'gone'
      return now.ino === ino && now.dev === dev ? 'there' : 'replaced'
    }
    return {
      look,
      remove: async () => {
        if ((await look()) === 'there') await unlink(path).catch(() => undefined)
      },
    }
  } catch (error) {
    throw invalid(`cannot listen on ${path}: ${codeOf(error)}`)
  } finally {
    // What cannot be removed must not hide why it went wrong.
    await rm(privateFolder, { recursive: true, force: true }).catch(() => undefined)
  }
}

function privateName(folder: string): string {
  return join(folder, `.${randomBytes(3).toString('hex')}`, 's')
}

/** The lock that goes with a socket. */
export function lockPathOf(socketPath: string): string {
  return join(dirname(socketPath), `.${basename(socketPath)}.lock`)
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
}

function invalid(text: string): KmsError {
  return new KmsError('ERR_CONFIG_INVALID', text)
}
