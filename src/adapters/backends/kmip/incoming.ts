/** Is the answer complete? Bytes are gathered in one buffer, so that a DEK in them can be wiped. */
import { tags } from './tags.js'
import { HEADER_BYTES, TtlvError } from './ttlv.js'
import { messageLength } from './ttlv_decode.js'

export class Incoming {
  /** Holds the header until the length is known, then the whole message. */
  #message: Buffer = Buffer.allocUnsafeSlow(HEADER_BYTES)
  #expected: number | undefined
  #length = 0

  /** Bytes so far. */
  get length(): number {
    return this.#length
  }

  /**
   * Takes bytes of the network, and wipes them.
   *
   * @returns The message when it is complete; the caller owns and wipes it.
   * @throws {TtlvError} When it is none, is too long, or is followed by something.
   */
  add(chunk: Buffer): Buffer | undefined {
    try {
      let rest = chunk
      if (this.#expected === undefined) rest = this.#addToHeader(chunk)
      if (this.#expected === undefined) return undefined
      if (this.#length + rest.length > this.#expected) throw new TtlvError('goes on behind its end')
      this.#message.set(rest, this.#length)
      this.#length += rest.length
      if (this.#length < this.#expected) return undefined
      const message = this.#message
      this.#message = Buffer.allocUnsafeSlow(HEADER_BYTES)
      this.#expected = undefined
      this.#length = 0
      return message
    } finally {
      chunk.fill(0)
    }
  }

  wipe(): void {
    this.#message.fill(0)
  }

  /** @returns What is behind the header. */
  #addToHeader(chunk: Buffer): Buffer {
    const missing = HEADER_BYTES - this.#length
    const part = chunk.subarray(0, missing)
    this.#message.set(part, this.#length)
    this.#length += part.length
    if (this.#length < HEADER_BYTES) return chunk.subarray(part.length)
    const header = this.#message
    this.#expected = messageLength(header, tags.RESPONSE_MESSAGE)
    this.#message = Buffer.allocUnsafeSlow(this.#expected)
    this.#message.set(header)
    return chunk.subarray(part.length)
  }
}
