/** What does the config file hold, as text? */
import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'

/** A config file is a page or two; more is a mistake, such as a log or a disk image in its place. */
export const CONFIG_MAX_BYTES = 64 * 1024

/** The text, or one line that says why there is none. */
export type FileText = { readonly text: string } | { readonly problem: string }

/**
 * Reads a regular file of at most {@link CONFIG_MAX_BYTES} bytes of UTF-8.
 *
 * Symbolic links are followed: Kubernetes mounts ConfigMaps as links and swaps them to publish a change.
 */
export async function readConfigFile(file: string): Promise<FileText> {
  let handle: FileHandle | undefined
  try {
    // O_NONBLOCK: opening a pipe must not wait for a writer.
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
    if (!(await handle.stat()).isFile()) return { problem: `${file} is not a regular file` }
    const bytes = await readAtMost(handle, CONFIG_MAX_BYTES + 1)
    if (bytes.length > CONFIG_MAX_BYTES)
      return { problem: `${file} is larger than ${CONFIG_MAX_BYTES} bytes` }
    return decode(file, bytes)
  } catch (error) {
    return { problem: whyUnreadable(file, error) }
  } finally {
    await handle?.close()
  }
}

async function readAtMost(handle: FileHandle, maxBytes: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(maxBytes)
  let length = 0
  while (length < maxBytes) {
    const { bytesRead } = await handle.read(buffer, length, maxBytes - length, length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return buffer.subarray(0, length)
}

function decode(file: string, bytes: Uint8Array): FileText {
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch {
    return { problem: `${file} is not UTF-8 text` }
  }
}

function whyUnreadable(file: string, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
  switch (code) {
    case 'ENOENT':
      return `${file} does not exist; name the file with --config or KMSPLUGIN_CONFIG`
    case 'EACCES':
      return `${file} cannot be read by the user of this process; check the permissions of the file and its folders`
    default:
      return `${file} cannot be read (${code})`
  }
}
