/** A running plugin as kube-apiserver sees it: for `kmsplugin status`. */
import { Client, credentials, type ServiceError } from '@grpc/grpc-js'
import { resolve as absolute } from 'node:path'
import { KmsError } from '../../ports/errors.js'
import type { KmsClient, RemoteStatus } from '../../ports/operations.js'
import type { StatusResponse } from './messages_v2.js'
import { kmsV2Service } from './protocol.js'
import { silenceGrpc } from './quiet.js'

/** kube-apiserver's default timeout of a call. */
const TIMEOUT_MS = 3000

export function createKmsClient(socket: string): KmsClient {
  silenceGrpc()
  const { path, requestSerialize, responseDeserialize } = kmsV2Service.Status
  // grpc-js takes the path of the socket for the authority, which node:http2 refuses.
  const client = new Client(`unix://${absolute(socket)}`, credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
  })
  return {
    status: async () =>
      new Promise<RemoteStatus>((resolve, reject) => {
        const answer = (error: ServiceError | null, response?: StatusResponse) => {
          if (error === null && response !== undefined) resolve(response)
          else
            reject(
              new KmsError(
                'ERR_BACKEND_UNAVAILABLE',
                `no status from ${socket}: ${error?.message ?? 'empty'}`,
              ),
            )
        }
        client.makeUnaryRequest<object, StatusResponse>(
          path,
          requestSerialize,
          responseDeserialize,
          {},
          { deadline: Date.now() + TIMEOUT_MS },
          answer,
        )
      }),
    close: () => client.close(),
  }
}
