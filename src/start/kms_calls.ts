/** The calls of a warm-up: as much of gRPC and of the KMS v2 messages as they need, so that nothing else is loaded for them. */
import { connect as connectHttp2, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2'
import { connect } from 'node:net'

/** One session to a plugin's socket. */
export class KmsCalls {
  readonly #session: ClientHttp2Session

  constructor(socket: string) {
    const connection = connect(socket)
    this.#session = connectHttp2('http://localhost', { createConnection: () => connection })
    this.#session.on('error', () => undefined)
  }

  /**
   * @param fields Those of the request by number, all of them strings or bytes.
   * @returns Those of the answer, by number; `undefined` for whatever is no success.
   */
  async call(method: string, fields: Fields): Promise<Fields | undefined> {
    return new Promise((resolve) => {
      const request = this.#session.request({
        ':method': 'POST',
        ':path': `/v2.KeyManagementService/${method}`,
        'content-type': 'application/grpc',
        te: 'trailers',
      })
      const chunks: Buffer[] = []
      let isOk = false
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('trailers', (trailers: IncomingHttpHeaders) => (isOk = trailers['grpc-status'] === '0'))
      request.on('error', () => undefined)
      request.on('close', () =>
        resolve(isOk ? decode(Buffer.concat(chunks).subarray(PREFIX_BYTES)) : undefined),
      )
      request.end(framed(encode(fields)))
    })
  }

  close(): void {
    this.#session.destroy()
  }
}

/** Fields of a protobuf message that are strings or bytes, by number. */
export type Fields = Readonly<Record<number, Buffer>>

/** What stands before a message: not compressed, and its length. */
const PREFIX_BYTES = 5

function framed(message: Buffer): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

/** Of less than 16 KiB each. */
function encode(fields: Fields): Buffer {
  const parts = Object.entries(fields).map(([number, bytes]) => {
    const head = Buffer.of((Number(number) << 3) | 2, (bytes.length & 0x7f) | 0x80, bytes.length >> 7)
    return Buffer.concat([head, bytes])
  })
  return Buffer.concat(parts)
}

function decode(message: Buffer): Fields {
  const fields: Record<number, Buffer> = {}
  let at = 0
  while (at < message.length) {
    const number = message.readUInt8(at++) >> 3
    let length = message.readUInt8(at++)
    if (length > 0x7f) length = (length & 0x7f) | (message.readUInt8(at++) << 7)
    fields[number] = message.subarray(at, at + length)
    at += length
  }
  return fields
}
