/** The key file: read strictly, refused when others could have read it, and made by keygen alone. */
import { createSecretKey, randomBytes, randomUUID, type KeyObject } from 'node:crypto'
import { constants, type BigIntStats } from 'node:fs'
import { link, open, unlink, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import * as z from 'zod'
import { KmsError } from '../../../ports/errors.js'
import { isTrustedOwner } from '../file_owner.js'
import { errorCode, UNKNOWN_ERROR } from '../system_error.js'

/** One key of the file. The key itself is only held as a KeyObject, which prints nothing. */
export interface LocalKey {
  readonly id: string
  readonly enabled: boolean
  readonly key: KeyObject
}

/** The file as it was read. */
export interface LocalKeySet {
  /** Names the file for ever; equal on every node that has a copy. */
  readonly id: string
  /** In the order of the file: the first enabled one wraps, all enabled ones unwrap. */
  readonly keys: readonly LocalKey[]
  /** Changes whenever the file was written or replaced. */
  readonly fileVersion: string
}

const MAX_FILE_BYTES = 64 * 1024
const KEY_BYTES = 32

const layout = z.strictObject({
  version: z.literal(1),
  id: z.uuid(),
  keys: z
    .array(
      z.strictObject({
        id: z.uuid(),
        alg: z.literal('A256GCM'),
        key: z.base64(),
        createdAt: z.iso.datetime(),
        state: z.enum(['enabled', 'disabled']),
      }),
    )
    .min(1),
})

/**
 * Reads the file, or answers `known` when the file has not changed since.
 *
 * @throws {KmsError} `ERR_KEY_NOT_FOUND` when there is none, `ERR_CONFIG_INVALID` for a symlink, loose permissions,
 * another owner or another layout. Never quotes the file.
 */
export async function readKeyFile(path: string, known?: LocalKeySet): Promise<LocalKeySet> {
  const file = await openKeyFile(path)
  try {
    const stat = await file.stat({ bigint: true })
    await refuseLoose(path, stat)
    const fileVersion = [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(':')
    if (known?.fileVersion === fileVersion) return known
    const bytes = await file.readFile()
    try {
      return { ...parseKeyFile(path, bytes), fileVersion }
    } finally {
      bytes.fill(0)
    }
  } finally {
    await file.close()
  }
}

/**
 * Makes a file with one new key, mode 0600, on disk before it returns.
 *
 * @throws {KmsError} `ERR_CONFIG_INVALID` when something stands at `path` already: a key is never overwritten.
 */
export async function createKeyFile(path: string): Promise<void> {
  const key = randomBytes(KEY_BYTES)
  const entry = {
    id: randomUUID(),
    alg: 'A256GCM',
    key: key.toString('base64'),
    createdAt: new Date().toISOString(),
  }
  const text = JSON.stringify(
    { version: 1, id: randomUUID(), keys: [{ ...entry, state: 'enabled' }] },
    undefined,
    2,
  )
  key.fill(0)
  const draft = `${path}.${randomUUID()}.new`
  try {
    const file = await open(draft, 'wx', 0o600)
    try {
      await file.writeFile(`${text}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    // A link fails where a name exists; a rename would replace it.
    await link(draft, path)
    await syncFolder(dirname(path))
  } catch (error) {
    throw fileError(error, path, 'make')
  } finally {
    await unlink(draft).catch(() => undefined)
  }
}

async function openKeyFile(path: string): Promise<FileHandle> {
  try {
    // O_NONBLOCK: a FIFO at this path does not hang us.
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    throw fileError(error, path, 'read')
  }
}

async function refuseLoose(path: string, stat: BigIntStats): Promise<void> {
  if (!stat.isFile()) throw invalid(`the key file ${path} is no regular file`)
  const mode = Number(stat.mode & 0o7777n)
  if ((mode & 0o077) !== 0) {
    throw invalid(
      `the key file ${path} has mode 0${mode.toString(8)}: others may read it; run chmod 600 ${path}`,
    )
  }
  if (!(await isTrustedOwner(Number(stat.uid)))) {
    throw invalid(
      `the key file ${path} belongs to uid ${stat.uid.toString()}, neither root nor us; run chown`,
    )
  }
  if (stat.size > MAX_FILE_BYTES) throw invalid(`the key file ${path} is larger than ${MAX_FILE_BYTES} bytes`)
}

function parseKeyFile(path: string, bytes: Buffer): Omit<LocalKeySet, 'fileVersion'> {
  let json: unknown
  try {
    json = JSON.parse(bytes.toString('utf8'))
  } catch {
    // No cause: a parser's message quotes the text.
    throw invalid(`the key file ${path} is no JSON; restore it from its backup`)
  }
  const result = layout.safeParse(json)
  if (!result.success) {
    const where = result.error.issues.map((issue) => issue.path.join('.') || 'the file').join(', ')
    throw invalid(`the key file ${path} has another layout than \`kmsplugin keygen\` makes, at: ${where}`)
  }
  const { id, keys } = result.data
  return {
    id,
    keys: keys.map((entry) => ({
      id: entry.id,
      enabled: entry.state === 'enabled',
      key: keyOf(path, entry),
    })),
  }
}

function keyOf(path: string, entry: { readonly id: string; readonly key: string }): KeyObject {
  const raw = Buffer.from(entry.key, 'base64')
  try {
    if (raw.length !== KEY_BYTES)
      throw invalid(`key ${entry.id} of ${path} has ${raw.length} bytes, not ${KEY_BYTES}`)
    return createSecretKey(raw)
  } finally {
    raw.fill(0)
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function fileError(error: unknown, path: string, verb: 'make' | 'read'): KmsError {
  const code = errorCode(error) ?? UNKNOWN_ERROR
  switch (code) {
    case 'EEXIST':
      return invalid(`${path} exists already; a key is never overwritten: name another path`)
    case 'ENOENT':
      return verb === 'make'
        ? invalid(`the folder of ${path} does not exist; make it with mode 0700`)
        : new KmsError('ERR_KEY_NOT_FOUND', `there is no key file ${path}; make one with kmsplugin keygen`)
    case 'ELOOP':
      return invalid(`the key file ${path} is a symlink; name the file itself`)
    default:
      return invalid(`cannot ${verb} the key file ${path}: ${code}`)
  }
}

function invalid(text: string): KmsError {
  return new KmsError('ERR_CONFIG_INVALID', text)
}
