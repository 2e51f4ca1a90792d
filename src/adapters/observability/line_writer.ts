/**
 * Where do log lines go when their reader is slow, stuck or gone?
 *
 * Rule: a line is written at once, or waits in a bounded queue, or is dropped and counted. Nothing here throws,
 * blocks (except {@link LineWriter.flush}, for a bounded time) or follows half a line with another one.
 */
import { writeSync } from 'node:fs'
import { withoutWaiting } from './nonblocking_descriptor.js'

/** How much may wait for a reader. */
const MAX_WAITING_BYTES = 1_048_576

/** How often a stuck reader is tried again while nothing is logged. */
const RETRY_AFTER_MS = 20

/** And how often at most by new lines: a try costs more than a line. A pipe holds 64 KiB, so this is 30 MB/s. */
const RETRY_EVERY_MS = 2

/** How long an exit may wait for a slow reader, and how often it tries. */
const FLUSH_MAX_MS = 500
const FLUSH_STEP_MS = 5

export class LineWriter {
  readonly #fd: number
  /** The line in hand, or its end where its beginning is already out. It is never dropped, so no line is torn. */
  #rest: Buffer = Buffer.alloc(0)
  #waiting: Buffer[] = []
  /** Of the line in hand and of those that wait. */
  #waitingBytes = 0
  #dropped = 0
  /** Set while the reader is stuck. */
  #retry: NodeJS.Timeout | undefined
  #stuckAtMs = 0

  /** @param fd Stays the caller's. */
  constructor(fd: number) {
    this.#fd = withoutWaiting(fd)
  }

  /** @param line Ends with its newline; written or dropped as a whole. */
  write(line: string): void {
    if (this.#retry !== undefined && performance.now() - this.#stuckAtMs > RETRY_EVERY_MS) this.#drain()
    const lineBytes = Buffer.byteLength(line)
    if (this.#waitingBytes + lineBytes > MAX_WAITING_BYTES) {
      this.#dropped++
      return
    }
    this.#waiting.push(Buffer.from(line))
    this.#waitingBytes += lineBytes
    if (this.#retry === undefined) this.#drain()
  }

  /** How many lines were lost since the start, to a full queue or to a reader that is gone. */
  dropped(): number {
    return this.#dropped
  }

  /** Blocks until all that waits is written, but no longer than half a second. For the exit of the process. */
  flush(): void {
    const deadlineMs = performance.now() + FLUSH_MAX_MS
    const sleeper = new Int32Array(new SharedArrayBuffer(4))
    while (this.#drain() === 'stuck' && performance.now() < deadlineMs) {
      Atomics.wait(sleeper, 0, 0, FLUSH_STEP_MS)
    }
  }

  #drain(): 'done' | 'stuck' | 'gone' {
    clearTimeout(this.#retry)
    this.#retry = undefined
    let taken = 0
    try {
      this.#writeRest()
      for (const line of this.#waiting) {
        taken++
        this.#rest = line
        this.#writeRest()
      }
      return 'done'
    } catch (error) {
      if (isStuck(error)) {
        this.#stuckAtMs = performance.now()
        this.#retry = setTimeout(() => this.#drain(), RETRY_AFTER_MS).unref()
        return 'stuck'
      }
      // EPIPE, ENOSPC, EIO: nobody waits for that to pass; the next line tries again.
      this.#dropped += this.#waiting.length - taken
      taken = this.#waiting.length
      this.#waitingBytes = this.#rest.length
      return 'gone'
    } finally {
      this.#waiting.splice(0, taken)
    }
  }

  #writeRest(): void {
    while (this.#rest.length > 0) {
      const count = writeSync(this.#fd, this.#rest)
      this.#rest = this.#rest.subarray(count)
      this.#waitingBytes -= count
    }
  }
}

/** Whether the reader may take more later. */
function isStuck(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN'
}
