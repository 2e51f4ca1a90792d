/** What a gRPC client writes for one unary call, prepared once: HTTP/2 frames as RFC 9113 draws them. */

export const FRAME = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7, window: 8 }
export const FLAG = { endStream: 1, ack: 1, endHeaders: 4 }
export const SETTING = { headerTable: 1, maxCalls: 3, streamWindow: 4 }
export const HEADER_BYTES = 9

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const WINDOW_MAX = 2 ** 31 - 1
const FIRST_WINDOW = 65_535

/** How many bytes of answers may come before {@link windowUpdate} must be sent again. */
export const RECEIVE_WINDOW = WINDOW_MAX

export function frame(type, flags, streamId, payload = Buffer.alloc(0)) {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUIntBE(payload.length, 0, 3)
  header.writeUInt8(type, 3)
  header.writeUInt8(flags, 4)
  header.writeUInt32BE(streamId, 5)
  return Buffer.concat([header, payload])
}

/** @param bytes 1 to 2^31 - 1, for the connection. */
export function windowUpdate(bytes) {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(bytes)
  return frame(FRAME.window, 0, 0, payload)
}

/**
 * The first bytes of a connection. The header table is switched off (RFC 7541, section 4.2), so that equal headers
 * come as equal bytes; the windows are as wide as they can be.
 */
export function opening() {
  const settings = Buffer.alloc(12)
  settings.writeUInt16BE(SETTING.headerTable, 0)
  settings.writeUInt32BE(0, 2)
  settings.writeUInt16BE(SETTING.streamWindow, 6)
  settings.writeUInt32BE(WINDOW_MAX, 8)
  return Buffer.concat([
    PREFACE,
    frame(FRAME.settings, 0, 0, settings),
    windowUpdate(WINDOW_MAX - FIRST_WINDOW),
  ])
}

/**
 * Frames of one call; {@link stamp} writes the stream's number into a copy.
 *
 * @param path `/package.Service/Method`.
 * @param message A serialised protobuf message.
 */
export function callFrames(path, message) {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  const headers = frame(FRAME.headers, FLAG.endHeaders, 0, headerBlock(path))
  const data = frame(FRAME.data, FLAG.endStream, 0, Buffer.concat([prefix, message]))
  return {
    bytes: Buffer.concat([headers, data]),
    dataAt: headers.length,
    /** What counts against the server's window. */
    windowBytes: prefix.length + message.length,
  }
}

/** Copies the call's frames into `out` at `at`; answers where they end. */
export function stamp(call, streamId, out, at) {
  call.bytes.copy(out, at)
  out.writeUInt32BE(streamId, at + 5)
  out.writeUInt32BE(streamId, at + call.dataAt + 5)
  return at + call.bytes.length
}

/** Literal fields without indexing and without Huffman coding (RFC 7541, section 6.2.2). */
function headerBlock(path) {
  const fields = {
    ':method': 'POST',
    ':scheme': 'http',
    ':path': path,
    ':authority': 'localhost',
    'content-type': 'application/grpc',
    te: 'trailers',
    'grpc-timeout': '10S',
  }
  const parts = Object.entries(fields).map(([name, value]) =>
    Buffer.concat([
      Buffer.of(0, name.length),
      Buffer.from(name),
      Buffer.of(value.length),
      Buffer.from(value),
    ]),
  )
  return Buffer.concat(parts)
}
