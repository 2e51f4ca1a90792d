/** Fields of a protobuf message, into a buffer of exactly their size. */

/** What a field takes that has so many bytes behind its length. The number of the field is below 16. */
export function fieldBytes(contentBytes: number): number {
  return 1 + varintBytes(contentBytes) + contentBytes
}

function varintBytes(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  return value < 0x20_0000 ? 3 : 4
}

export class Writer {
  /** Not zeroed: {@link finish} gives it away only when all of it is written. */
  readonly #message: Buffer
  #at = 0

  constructor(messageBytes: number) {
    this.#message = Buffer.allocUnsafe(messageBytes)
  }

  varint(value: number): void {
    let rest = value
    while (rest > 0x7f) {
      this.#message[this.#at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#message[this.#at++] = rest
  }

  bytes(tag: number, value: Uint8Array): void {
    this.varint(tag)
    this.varint(value.length)
    this.#message.set(value, this.#at)
    this.#at += value.length
  }

  string(tag: number, value: string): void {
    this.varint(tag)
    this.varint(Buffer.byteLength(value))
    this.#at += this.#message.write(value, this.#at)
  }

  /** @throws {Error} When the fields did not fill the buffer: what would be left over is memory of somebody else. */
  finish(): Buffer {
    if (this.#at !== this.#message.length) throw new Error('a message is not as long as it was measured')
    return this.#message
  }
}
