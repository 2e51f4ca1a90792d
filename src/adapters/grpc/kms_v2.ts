/** KMS v2 on the port `KmsService`. */
import type { UntypedServiceImplementation } from '@grpc/grpc-js'
import { KmsError } from '../../ports/errors.js'
import { isKeyId } from '../../ports/key_id.js'
import type { KmsService } from '../../ports/kms_service.js'
import type {
  DecryptRequest,
  DecryptResponse,
  EncryptRequest,
  EncryptResponse,
  StatusResponse,
} from './messages_v2.js'
import { unary, type UnaryDeps } from './unary.js'

/** `EncryptedDEKSourceMaxSize` in kube-apiserver's kmsv2/envelope.go: the largest ciphertext that it stores. */
export const V2_CIPHERTEXT_MAX_BYTES = 1024

/** `KeyIDMaxSize` there. */
const KEY_ID_MAX_BYTES = 1024

/** `AnnotationsMaxSize` there. We write none; other plugins, whose values we read, do. */
const ANNOTATIONS_MAX_BYTES = 32 * 1024

export function kmsV2(service: KmsService, deps: UnaryDeps): UntypedServiceImplementation {
  return {
    Status: unary<object, StatusResponse>(deps, {
      api: 'v2',
      operation: 'status',
      handle: (_request, _options, log) => {
        const { keyId, problem } = service.status()
        log({ keyId, problem })
        return { version: 'v2', healthz: problem ?? 'ok', keyId }
      },
    }),

    Encrypt: unary<EncryptRequest, EncryptResponse>(deps, {
      api: 'v2',
      operation: 'encrypt',
      // Once per start of kube-apiserver and per rotation.
      notable: true,
      uid: ({ uid }) => uid,
      handle: async ({ plaintext }, options, log) => {
        try {
          const { ciphertext, keyId } = await service.encrypt(plaintext, V2_CIPHERTEXT_MAX_BYTES, options)
          log({ keyId, bytes: ciphertext.length })
          return { ciphertext, keyId, annotations: {} }
        } finally {
          plaintext.fill(0)
        }
      },
    }),

    Decrypt: unary<DecryptRequest, DecryptResponse>(deps, {
      api: 'v2',
      operation: 'decrypt',
      uid: ({ uid }) => uid,
      handle: async (request, options, log) => {
        checkDecrypt(request)
        const { ciphertext, keyId, annotations } = request
        if (isKeyId(keyId)) log({ keyId })
        return { plaintext: await service.decrypt({ ciphertext, keyId, annotations }, options) }
      },
    }),
  }
}

function checkDecrypt({ ciphertext, keyId, annotations }: DecryptRequest): void {
  if (ciphertext.length === 0 || ciphertext.length > V2_CIPHERTEXT_MAX_BYTES) {
    throw invalid(`a ciphertext has 1 to ${V2_CIPHERTEXT_MAX_BYTES} bytes, not ${ciphertext.length}`)
  }
  if (keyId === '' || Buffer.byteLength(keyId) > KEY_ID_MAX_BYTES) {
    throw invalid(`a key id has 1 to ${KEY_ID_MAX_BYTES} bytes`)
  }
  let annotationBytes = 0
  for (const [name, value] of Object.entries(annotations))
    annotationBytes += Buffer.byteLength(name) + value.length
  if (annotationBytes > ANNOTATIONS_MAX_BYTES) {
    throw invalid(`annotations have at most ${ANNOTATIONS_MAX_BYTES} bytes together`)
  }
}

function invalid(text: string): KmsError {
  return new KmsError('ERR_INVALID_REQUEST', text)
}
