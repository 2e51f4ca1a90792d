/** What all null subjects share: @grpc/grpc-js on a unix socket with the options of the product. */
import grpc from '@grpc/grpc-js'
import { METHOD } from '../lib/kms_messages.mjs'

/** Those of src/adapters/grpc/server.ts; a test keeps them equal. */
export const SERVER_OPTIONS = {
  'grpc.max_receive_message_length': 128 * 1024,
  'grpc.max_send_message_length': 128 * 1024,
  'grpc.max_concurrent_streams': 256,
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc-node.max_session_memory': 64,
  'grpc.enable_channelz': 0,
}

const same = (bytes) => bytes

/** Serves each handler, `(request bytes, answer with bytes) => void`, under its method; listens on `process.argv[2]`. */
export function serve(handlers) {
  const [, , socket] = process.argv
  const server = new grpc.Server(SERVER_OPTIONS)
  const definition = Object.fromEntries(
    Object.keys(handlers).map((name) => [name, { path: METHOD[name], ...unary }]),
  )
  const implementation = Object.fromEntries(
    Object.entries(handlers).map(([name, handle]) => [
      name,
      (call, callback) => handle(call.request, (bytes) => callback(null, bytes)),
    ]),
  )
  server.addService(definition, implementation)
  server.bindAsync(`unix://${socket}`, grpc.ServerCredentials.createInsecure(), (error) => {
    if (error !== null) throw error
  })
  process.on('SIGTERM', () => process.exit(0))
}

const unary = {
  requestStream: false,
  responseStream: false,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
}
