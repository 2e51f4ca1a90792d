/** How do messages travel between the plugin and the HSM process? */
import type { Duplex } from 'node:stream'
import { deserialize, serialize } from 'node:v8'

/** Far more than any message of ours needs. */
export const MAX_MESSAGE_BYTES = 64 * 1024

const LENGTH_BYTES = 4

export interface ChannelEvents {
  /**
   * A message as it came, not yet checked. Its byte fields are views into memory that nothing else uses: whoever
   * receives a secret wipes it there.
   */
  message(value: unknown): void
  /** Called once: the other side hung up, or sent what is no message. */
  broken(reason: string): void
}

/**
 * One end of the pipe. A message is its length in 4 bytes, big-endian, and itself as V8 serialises it.
 *
 * Node's own IPC channel is not used: what it cannot decode it throws where nobody can catch it, so that a
 * vendor's library which writes to a wrong descriptor would end the plugin.
 */
export class Channel {
  readonly #stream: Duplex
  readonly #events: ChannelEvents
  #unread = Buffer.alloc(0)
  #isBroken = false

  constructor(stream: Duplex, events: ChannelEvents) {
    this.#stream = stream
    this.#events = events
    stream.on('data', (chunk: Buffer) => this.#read(chunk))
    stream.on('error', (error: Error) => this.#break(error.message))
    stream.on('end', () => this.#break('the channel was closed'))
    stream.on('close', () => this.#break('the channel was closed'))
  }

  /** Copies `value`, so the caller may wipe its bytes at once. */
  send(value: unknown): void {
    if (this.#isBroken) return
    const message = serialize(value)
    const frame = Buffer.allocUnsafeSlow(LENGTH_BYTES + message.length)
    frame.writeUInt32BE(message.length)
    message.copy(frame, LENGTH_BYTES)
    message.fill(0)
    this.#stream.write(frame, () => frame.fill(0))
  }

  #read(chunk: Buffer): void {
    const unread = Buffer.allocUnsafeSlow(this.#unread.length + chunk.length)
    this.#unread.copy(unread)
    chunk.copy(unread, this.#unread.length)
    this.#unread.fill(0)
    chunk.fill(0)
    this.#unread = unread
    while (!this.#isBroken && this.#unread.length >= LENGTH_BYTES) {
      const length = this.#unread.readUInt32BE()
      if (length > MAX_MESSAGE_BYTES) return this.#break('it sent a message longer than any of ours')
      const end = LENGTH_BYTES + length
      if (this.#unread.length < end) return
      const message = Buffer.allocUnsafeSlow(length)
      this.#unread.copy(message, 0, LENGTH_BYTES, end)
      this.#unread.fill(0, 0, end)
      this.#unread = this.#unread.subarray(end)
      this.#deliver(message)
    }
  }

  #deliver(message: Buffer): void {
    let value: unknown
    try {
      value = deserialize(message)
    } catch {
      return this.#break('it sent what is no message')
    }
    this.#events.message(value)
  }

  #break(reason: string): void {
    if (this.#isBroken) return
    this.#isBroken = true
    this.#unread.fill(0)
    this.#stream.destroy()
    this.#events.broken(reason)
  }
}
