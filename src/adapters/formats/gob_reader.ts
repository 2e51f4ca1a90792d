/** How do the numbers, texts and messages of Go's `encoding/gob` read? Each length is checked against what is left. */

/** Thrown for bytes that are no gob stream; the message completes "the gob stream …". */
export class GobError extends Error {
  override readonly name = 'GobError'
}

const UINT_MAX_BYTES = 8
const NAME_MAX_BYTES = 128

export class GobReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** Below 128 the byte itself; else how many bytes, negated, then those, the most significant first. */
  uint(): bigint {
    const first = this.#take(1)[0] ?? 0
    if (first < 0x80) return BigInt(first)
    const length = 0x100 - first
    if (length > UINT_MAX_BYTES) throw new GobError('has a number of more than 64 bits')
    const value = this.#take(length).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
    // Else one value would have several spellings.
    if (value < (length === 1 ? 0x80n : 1n << BigInt(8 * (length - 1)))) {
      throw new GobError('has a number that is longer than Go writes it')
    }
    return value
  }

  /** The lowest bit says whether the others are to be turned over. */
  int(): bigint {
    const value = this.uint()
    return (value & 1n) === 0n ? value >> 1n : ~(value >> 1n)
  }

  /** A view. */
  bytes(): Uint8Array {
    return this.#take(this.#length())
  }

  /** UTF-8. */
  text(): string {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.bytes())
    } catch (error) {
      if (error instanceof GobError) throw error
      throw new GobError('has a text that is no UTF-8')
    }
  }

  /** Of a type or a field. */
  name(): string {
    const name = this.text()
    if (Buffer.byteLength(name) > NAME_MAX_BYTES) throw new GobError('has a name that is too long')
    return name
  }

  /** The next message, to be read on its own. */
  message(): GobReader {
    return new GobReader(this.bytes())
  }

  /** @param otherwise What the error says. */
  assertEnd(otherwise: string): void {
    if (this.#at !== this.#bytes.length) throw new GobError(otherwise)
  }

  #length(): number {
    const length = this.uint()
    if (length > BigInt(this.#bytes.length - this.#at)) throw new GobError('is cut off')
    return Number(length)
  }

  #take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#at) throw new GobError('is cut off')
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }
}
