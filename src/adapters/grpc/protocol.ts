/** The two KMS APIs as @grpc/grpc-js wants them. */
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'
import * as v1beta1 from './messages_v1beta1.js'
import * as v2 from './messages_v2.js'
import type { Fields, Message, MessageOf } from './wire/message.js'

/** Stands for a request whose bytes do not parse: grpc-js would answer INTERNAL and tell nobody. */
export const malformedRequest = Symbol('malformed request')

export const kmsV2Service = {
  Status: method('/v2.KeyManagementService/Status', v2.statusRequest, v2.statusResponse),
  Decrypt: method('/v2.KeyManagementService/Decrypt', v2.decryptRequest, v2.decryptResponse),
  Encrypt: method('/v2.KeyManagementService/Encrypt', v2.encryptRequest, v2.encryptResponse),
} satisfies ServiceDefinition

export const kmsV1beta1Service = {
  Version: method('/v1beta1.KeyManagementService/Version', v1beta1.versionRequest, v1beta1.versionResponse),
  Decrypt: method('/v1beta1.KeyManagementService/Decrypt', v1beta1.decryptRequest, v1beta1.decryptResponse),
  Encrypt: method('/v1beta1.KeyManagementService/Encrypt', v1beta1.encryptRequest, v1beta1.encryptResponse),
} satisfies ServiceDefinition

type Unary<Request, Response> = Omit<MethodDefinition<Request, Response>, 'requestDeserialize'> & {
  /** Throws nothing. */
  readonly requestDeserialize: (bytes: Buffer) => Request | typeof malformedRequest
}

function method<Request extends Fields, Response extends Fields>(
  path: string,
  request: Message<Request>,
  response: Message<Response>,
): Unary<MessageOf<Request>, MessageOf<Response>> {
  return {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: (message) => request.encode(message),
    requestDeserialize: (bytes) => {
      try {
        return request.decode(bytes)
      } catch {
        return malformedRequest
      }
    },
    responseSerialize: (message) => response.encode(message),
    responseDeserialize: (bytes) => response.decode(bytes),
  }
}
