/** How does a caller that is not kube-apiserver talk to the socket: one odd gRPC request, or one odd connection? */
import { once } from 'node:events'
import {
  connect as connectHttp2,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from 'node:http2'
import { connect, type Socket } from 'node:net'
import { resolve } from 'node:path'
import { loadSync, type MethodDefinition } from '@grpc/proto-loader'

const protoFolder = resolve(import.meta.dirname, '../../proto')
const v2 = loadSync('v2/kms.proto', { includeDirs: [protoFolder] })['v2.KeyManagementService']

/** A request message of KMS v2 as bytes. */
export function v2Message(method: 'Encrypt' | 'Decrypt' | 'Status', request: object): Buffer {
  const definition = (v2 as unknown as Record<string, MethodDefinition<object, object>>)[method]
  if (definition === undefined) throw new Error(`there is no method ${method}`)
  return definition.requestSerialize(request)
}

/** A message as gRPC frames it; `declaredBytes` may lie. */
export function framed(
  message: Uint8Array,
  options: { compressed?: boolean; declaredBytes?: number } = {},
): Buffer {
  const header = Buffer.alloc(5)
  header.writeUInt8(options.compressed === true ? 1 : 0)
  header.writeUInt32BE(options.declaredBytes ?? message.length, 1)
  return Buffer.concat([header, message])
}

/** How a stream ended. */
export interface Ending {
  readonly httpStatus: number | undefined
  /** From headers or trailers; `undefined` when the stream ended without one. */
  readonly grpcStatus: number | undefined
  readonly grpcMessage: string
  /** HTTP/2 error code of a reset; 0 when there was none. */
  readonly resetCode: number
  readonly body: Buffer
}

/** One HTTP/2 connection. Closed by its owner. */
export class RawClient {
  readonly session: ClientHttp2Session

  /** @param peerMaxConcurrentStreams How many streams we open before the server's settings are known. */
  constructor(socketPath: string, peerMaxConcurrentStreams = 100) {
    this.session = connectHttp2('http://localhost', {
      createConnection: () => connect(socketPath),
      peerMaxConcurrentStreams,
    })
    this.session.on('error', () => undefined)
  }

  /** Opens a stream and sends nothing but headers. */
  open(path: string, headers: Readonly<Record<string, string>> = {}): RawCall {
    return new RawCall(
      this.session.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...headers,
      }),
    )
  }

  /** A whole request. */
  async call(path: string, body: Uint8Array, headers?: Readonly<Record<string, string>>): Promise<Ending> {
    const call = this.open(path, headers)
    call.stream.end(body)
    return call.ending
  }

  close(): void {
    this.session.destroy()
  }
}

export class RawCall {
  readonly stream: ClientHttp2Stream
  readonly ending: Promise<Ending>

  constructor(stream: ClientHttp2Stream) {
    this.stream = stream
    this.ending = endingOf(stream)
  }
}

async function endingOf(stream: ClientHttp2Stream): Promise<Ending> {
  let headers: IncomingHttpHeaders & IncomingHttpStatusHeader = {}
  const parts: Buffer[] = []
  stream.on('error', () => undefined)
  const keep = (received: object) => {
    headers = { ...headers, ...received }
  }
  stream.on('response', keep)
  stream.on('trailers', keep)
  stream.on('data', (part: Buffer) => parts.push(part))
  await new Promise((fulfil) => stream.once('close', fulfil))
  const grpcStatus = headers['grpc-status']
  return {
    httpStatus: headers[':status'],
    grpcStatus: grpcStatus === undefined ? undefined : Number(grpcStatus),
    grpcMessage: decodeURIComponent(headers['grpc-message']?.toString() ?? ''),
    resetCode: stream.rstCode,
    body: Buffer.concat(parts),
  }
}

/** A connection that speaks whatever it wants. */
export async function dial(socketPath: string): Promise<Socket> {
  const socket = connect(socketPath)
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

/** Settles when the other side has ended or reset the connection. */
export async function hungUp(socket: Socket): Promise<void> {
  socket.resume()
  if (!socket.closed) await once(socket, 'close')
}
