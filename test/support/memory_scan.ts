/** What lies in the memory of a process? Linux only; its own user or root may look (proc(5), ptrace(2)). */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

/** More of one mapping than this is none of ours: V8 reserves address space by the gigabyte. */
const MAPPING_MAX_BYTES = 512 * 2 ** 20
const CHUNK_BYTES = 2 ** 20

export interface MemoryScan {
  /** How often each needle was found; all are shorter than a chunk. */
  readonly hits: readonly number[]
  readonly scannedBytes: number
}

/** Looks at every page that can be read and is there; what appears meanwhile may be missed. */
export function scanMemory(pid: number, needles: readonly Buffer[]): MemoryScan {
  const longest = Math.max(...needles.map(({ length }) => length))
  const hits = needles.map(() => 0)
  const chunk = Buffer.alloc(CHUNK_BYTES)
  let scannedBytes = 0
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  try {
    for (const [from, to] of mappingsOf(pid)) {
      // Chunks overlap, so that nothing is cut in two.
      for (let at = from; at < to; at += CHUNK_BYTES - longest + 1) {
        const length = readAt(memory, chunk, Math.min(CHUNK_BYTES, to - at), at)
        const seen = chunk.subarray(0, length)
        scannedBytes += length
        const isLast = at + CHUNK_BYTES >= to
        const ownBytes = isLast ? length : Math.min(length, CHUNK_BYTES - longest + 1)
        for (const [index, needle] of needles.entries()) {
          hits[index] = (hits[index] ?? 0) + countIn(seen, needle, ownBytes)
        }
        if (isLast) break
      }
    }
  } finally {
    closeSync(memory)
  }
  return { hits, scannedBytes }
}

/** Those that can be read, but for files that are only mapped and what the kernel keeps for itself. */
function mappingsOf(pid: number): [from: number, to: number][] {
  return readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .map((line) => /^([0-9a-f]+)-([0-9a-f]+) r\S{3} \S+ \S+ \d+\s*(.*)$/.exec(line))
    .filter((match) => match !== null && !['[vvar]', '[vsyscall]', '[vvar_vclock]'].includes(match[3] ?? ''))
    .map((match): [number, number] => [
      Number.parseInt(match?.[1] ?? '', 16),
      Number.parseInt(match?.[2] ?? '', 16),
    ])
    .filter(([from, to]) => to - from <= MAPPING_MAX_BYTES)
}

/** 0 for what is gone or not to be read. */
function readAt(file: number, chunk: Buffer, length: number, at: number): number {
  try {
    return readSync(file, chunk, 0, length, at)
  } catch {
    return 0
  }
}

function countIn(seen: Buffer, needle: Buffer, ownBytes: number): number {
  let count = 0
  for (let at = seen.indexOf(needle); at >= 0 && at < ownBytes; at = seen.indexOf(needle, at + 1)) count += 1
  return count
}
