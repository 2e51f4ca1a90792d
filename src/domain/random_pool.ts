/** Random bytes for public values, drawn from the operating system's generator many at a time. */
import { randomFillSync } from 'node:crypto'

/**
 * Rule: for what is stored in the clear anyway (salts, IVs), never for keys: the bytes wait in memory until they are
 * used. Each byte is handed out once.
 */
export class RandomPool {
  readonly #poolBytes: number
  #pool: Buffer = Buffer.alloc(0)
  #taken = 0

  /** @param poolBytes How many are drawn at a time. */
  constructor(poolBytes: number) {
    this.#poolBytes = poolBytes
  }

  /** @param bytes At most the size of the pool. @returns Nobody else's bytes, for ever: a refill is a new buffer. */
  take(bytes: number): Buffer {
    if (bytes > this.#poolBytes) throw new RangeError(`${bytes} bytes are more than the pool holds`)
    if (this.#taken + bytes > this.#pool.length) {
      this.#pool = randomFillSync(Buffer.allocUnsafeSlow(this.#poolBytes))
      this.#taken = 0
    }
    this.#taken += bytes
    return this.#pool.subarray(this.#taken - bytes, this.#taken)
  }
}
