/** The two KMS APIs as @grpc/grpc-js wants them, read from the .proto files, and the messages as they arrive. */
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { fileURLToPath } from 'node:url'

export interface V2EncryptRequest {
  readonly plaintext: Buffer
  readonly uid: string
}

export interface V2DecryptRequest {
  readonly ciphertext: Buffer
  readonly uid: string
  readonly keyId: string
  /** Numbers, of which there are none, where an entry has no value: protobuf.js has no other empty `bytes` in a map. */
  readonly annotations: Readonly<Record<string, Buffer | readonly number[]>>
}

export interface V2StatusResponse {
  readonly version: string
  readonly healthz: string
  readonly keyId: string
}

export interface V1VersionRequest {
  readonly version: string
}

export interface V1EncryptRequest {
  readonly version: string
  readonly plain: Buffer
}

export interface V1DecryptRequest {
  readonly version: string
  readonly cipher: Buffer
}

/** `proto/` stands beside both `src/` and `dist/`. */
const PROTO_FOLDER = fileURLToPath(new URL('../../../proto', import.meta.url))

/** Stands for a request whose bytes do not parse: grpc-js would answer INTERNAL and tell nobody. */
export const malformedRequest = Symbol('malformed request')

export function loadKmsV2(): ServiceDefinition {
  return load('v2/kms.proto', 'v2.KeyManagementService')
}

export function loadKmsV1beta1(): ServiceDefinition {
  return load('v1beta1/kms.proto', 'v1beta1.KeyManagementService')
}

function load(file: string, service: string): ServiceDefinition {
  const definitions = loadSync(file, {
    includeDirs: [PROTO_FOLDER],
    defaults: true,
    longs: Number,
    bytes: Buffer,
  })
  const definition = definitions[service]
  if (definition === undefined || !isService(definition)) throw new Error(`${file} defines no ${service}`)
  return Object.fromEntries(Object.entries(definition).map(([name, method]) => [name, guarded(method)]))
}

/** Nothing is thrown by a request, and no plaintext of an answer outlives its serialisation. */
function guarded(method: MethodDefinition<unknown, unknown>): MethodDefinition<unknown, unknown> {
  return {
    ...method,
    requestDeserialize: (bytes) => {
      try {
        return method.requestDeserialize(bytes)
      } catch {
        return malformedRequest
      }
    },
    responseSerialize: (response) => {
      const bytes = method.responseSerialize(response)
      for (const value of Object.values(response as object)) if (value instanceof Uint8Array) value.fill(0)
      return bytes
    },
  }
}

function isService(definition: object): definition is ServiceDefinition {
  return Object.values(definition).every(
    (method: Partial<MethodDefinition<unknown, unknown>> | undefined) => typeof method?.path === 'string',
  )
}
