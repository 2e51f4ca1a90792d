/** Which trailers mean success? Learnt from a Status that @grpc/grpc-js saw succeed. */
import grpc from '@grpc/grpc-js'
import { METHOD } from '../lib/kms_messages.mjs'
import { callFrames } from './frames.mjs'

const NOTHING = Buffer.alloc(0)

/**
 * Asks Status by grpc-js and by `connection`, and a method that there is not.
 *
 * @returns The bytes of the trailers of a success, whatever the method.
 */
export async function successTrailers(connection, socket) {
  const client = new grpc.Client(`unix://${socket}`, grpc.credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
  })
  try {
    const answer = await officially(client, METHOD.v2Status, NOTHING)
    // The first block of a connection says in addition that the header table is off.
    await once(connection, METHOD.v2Status, NOTHING)
    const success = await once(connection, METHOD.v2Status, NOTHING)
    if (success.message?.length !== answer.length) throw new Error('two clients got two answers to Status')
    const failure = await once(connection, `${METHOD.v2Status}Not`, NOTHING)
    if (success.trailers === undefined || failure.trailers === undefined) throw new Error('no trailers')
    if (success.trailers.equals(failure.trailers)) throw new Error('failures have the trailers of successes')
    return success.trailers
  } finally {
    client.close()
  }
}

async function officially(client, path, request) {
  return new Promise((resolve, reject) => {
    const same = (bytes) => bytes
    const answered = (error, answer) => (error === null ? resolve(answer) : reject(error))
    client.makeUnaryRequest(path, same, same, request, { deadline: Date.now() + 10_000 }, answered)
  })
}

async function once(connection, path, request) {
  return new Promise((resolve, reject) => {
    connection.call(callFrames(path, request), (message, trailers, problem) => {
      if (problem !== undefined) reject(new Error(problem))
      else resolve({ message: message && Buffer.from(message), trailers: trailers && Buffer.from(trailers) })
    })
    connection.flush()
  })
}
