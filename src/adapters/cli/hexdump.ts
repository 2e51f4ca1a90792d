/** Which bytes does a dump show: that of `hexdump -C`, as vendors' pages print it, or that of `xxd`? */

/** One line: its offset in hex, then up to 16 bytes. */
const CANONICAL = /^([0-9a-f]{6,16})(?: {1,3}((?:[0-9a-f]{2} {1,2}){0,15}[0-9a-f]{2}) *(?:\|.{0,16}\|)?)?$/i
const XXD = /^([0-9a-f]{6,16}): ((?:(?:[0-9a-f]{2}){1,2} ){0,15}(?:[0-9a-f]{2}){1,2})(?: {2,42}.{0,16})?$/i

/** What hexdump prints for lines that repeat the one before. */
const REPEATED = '*'

/** Larger than any value in etcd (1.5 MiB). */
const MAX_BYTES = 8 * 1024 * 1024

/**
 * The bytes of a dump, in which every line stands at the offset that it names.
 *
 * @returns `undefined` for a text that is no dump, or one with a hole.
 */
export function fromHexdump(text: string): Uint8Array | undefined {
  const lines = text.split(/\r?\n/).map((line) => line.trimEnd())
  const chunks: Buffer[] = []
  let length = 0
  let repeats = false
  const add = (bytes: Buffer): void => {
    chunks.push(bytes)
    length += bytes.length
  }
  for (const line of lines.filter((one) => one !== '')) {
    if (line === REPEATED) {
      repeats = true
      continue
    }
    const [, offset, digits = ''] = CANONICAL.exec(line) ?? XXD.exec(line) ?? []
    if (offset === undefined) return undefined
    const at = parseInt(offset, 16)
    if (at > MAX_BYTES) return undefined
    const before = chunks.at(-1)
    while (repeats && before !== undefined && length < at) add(before)
    repeats = false
    if (at !== length) return undefined
    if (digits !== '') add(Buffer.from(digits.replaceAll(' ', ''), 'hex'))
  }
  // A line that repeats for ever, or no line at all.
  return repeats || length === 0 ? undefined : Buffer.concat(chunks)
}
