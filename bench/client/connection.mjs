/**
 * One gRPC connection over a unix socket with HTTP/2 framed by hand, so that the load generator costs a fraction of
 * what the server does. It decodes no headers: with the header table off, the trailers of every success are the same
 * bytes, and those are learnt from a call that an independent client saw succeed (calibrate.mjs).
 */
import { connect } from 'node:net'
import {
  FLAG,
  FRAME,
  frame,
  HEADER_BYTES,
  opening,
  RECEIVE_WINDOW,
  SETTING,
  stamp,
  windowUpdate,
} from './frames.mjs'

const FIRST_WINDOW = 65_535
const BUFFER_BYTES = 1 << 20

/** A server that says nothing for so long will not: longer than the deadline of the calls, so that it could say that. */
const SILENCE_MS = 12_000

export class Connection {
  #socket
  #streamId = 1
  #sendWindow = FIRST_WINDOW
  #maxCalls = Infinity
  #received = 0
  #rest = Buffer.alloc(0)
  #out = Buffer.allocUnsafe(BUFFER_BYTES)
  #outBytes = 0
  #waiting = []
  #calls = new Map()
  #problem

  constructor(socket) {
    this.#socket = socket
    socket.on('data', (bytes) => this.#read(bytes))
    socket.on('close', () => this.#fail('the connection was closed'))
    socket.on('error', (error) => this.#fail(error.message))
    socket.setTimeout(SILENCE_MS, () =>
      socket.destroy(new Error(`the server was silent for ${SILENCE_MS / 1000} s`)),
    )
    socket.write(opening())
  }

  static async open(path) {
    const socket = connect(path)
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    return new Connection(socket)
  }

  /**
   * Begins a call, once the server's bounds on bytes and calls under way allow it.
   *
   * @param done Called once, later, with the answer's message (a view, valid during the call; `undefined` where there
   * was none) and the bytes of the trailers, or with an error text.
   */
  call(frames, done) {
    if (this.#problem !== undefined) setImmediate(done, undefined, undefined, this.#problem)
    else if (this.#waiting.length > 0 || !this.#mayBegin(frames)) this.#waiting.push([frames, done])
    else this.#send(frames, done)
  }

  /** Writes what the calls since the last flush have put aside; done by itself after each batch of answers. */
  flush() {
    if (this.#outBytes === 0) return
    this.#socket.write(Buffer.from(this.#out.subarray(0, this.#outBytes)))
    this.#outBytes = 0
  }

  close() {
    this.#socket.destroy()
  }

  #mayBegin({ windowBytes }) {
    return windowBytes <= this.#sendWindow && this.#calls.size < this.#maxCalls
  }

  #beginWaiting() {
    while (this.#waiting.length > 0 && this.#mayBegin(this.#waiting[0][0]))
      this.#send(...this.#waiting.shift())
  }

  #send(frames, done) {
    if (this.#outBytes + frames.bytes.length > BUFFER_BYTES) this.flush()
    this.#sendWindow -= frames.windowBytes
    this.#calls.set(this.#streamId, { done, message: undefined })
    this.#outBytes = stamp(frames, this.#streamId, this.#out, this.#outBytes)
    this.#streamId += 2
  }

  #read(bytes) {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    let at = 0
    while (all.length - at >= HEADER_BYTES) {
      const length = all.readUIntBE(at, 3)
      if (all.length - at - HEADER_BYTES < length) break
      const payload = all.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length)
      this.#take(all[at + 3], all[at + 4], all.readUInt32BE(at + 5) & 0x7fffffff, payload)
      at += HEADER_BYTES + length
    }
    this.#rest = Buffer.from(all.subarray(at))
    this.flush()
  }

  #take(type, flags, streamId, payload) {
    if (type === FRAME.data) {
      this.#received += payload.length
      if (this.#received > RECEIVE_WINDOW / 2) {
        this.#write(windowUpdate(this.#received))
        this.#received = 0
      }
      const call = this.#calls.get(streamId)
      if (call === undefined) return
      call.message = call.message === undefined ? payload : Buffer.concat([call.message, payload])
      if ((flags & FLAG.endStream) !== 0) this.#end(streamId, undefined, 'no trailers')
    } else if (type === FRAME.headers) {
      if ((flags & FLAG.endStream) !== 0) this.#end(streamId, payload, undefined)
    } else if (type === FRAME.reset) {
      this.#end(streamId, undefined, `the server reset the stream: ${payload.readUInt32BE()}`)
    } else if (type === FRAME.settings) {
      if ((flags & FLAG.ack) === 0) this.#obey(payload)
    } else if (type === FRAME.ping) {
      if ((flags & FLAG.ack) === 0) this.#write(frame(FRAME.ping, FLAG.ack, 0, payload))
    } else if (type === FRAME.window) {
      if (streamId !== 0) return
      this.#sendWindow += payload.readUInt32BE() & 0x7fffffff
      this.#beginWaiting()
    } else if (type === FRAME.goaway) {
      this.#fail('the server sent GOAWAY')
    }
  }

  #obey(settings) {
    for (let at = 0; at < settings.length; at += 6) {
      if (settings.readUInt16BE(at) === SETTING.maxCalls) this.#maxCalls = settings.readUInt32BE(at + 2)
    }
    this.#write(frame(FRAME.settings, FLAG.ack, 0))
    this.#beginWaiting()
  }

  #write(bytes) {
    this.flush()
    this.#socket.write(bytes)
  }

  #end(streamId, trailers, problem) {
    const call = this.#calls.get(streamId)
    if (call === undefined) return
    this.#calls.delete(streamId)
    const { message } = call
    const isWhole =
      message !== undefined && message.length >= 5 && message.readUInt32BE(1) === message.length - 5
    call.done(isWhole ? message.subarray(5) : undefined, trailers, problem)
    this.#beginWaiting()
  }

  #fail(problem) {
    this.#problem ??= problem
    const calls = [...this.#calls.values()]
    this.#calls.clear()
    for (const { done } of calls) done(undefined, undefined, problem)
    const waiting = this.#waiting.splice(0)
    for (const [, done] of waiting) done(undefined, undefined, problem)
  }
}
