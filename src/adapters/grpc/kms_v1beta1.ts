/** KMS v1 on the port `KmsService`: the same envelope, without a key id beside it. */
import type { UntypedServiceImplementation } from '@grpc/grpc-js'
import { KmsError } from '../../ports/errors.js'
import type { KmsService } from '../../ports/kms_service.js'
import type {
  DecryptRequest,
  DecryptResponse,
  EncryptRequest,
  EncryptResponse,
  VersionRequest,
  VersionResponse,
} from './messages_v1beta1.js'
import { unary, type UnaryDeps } from './unary.js'

/** kube-apiserver stores the length of a v1 ciphertext in 16 bits (envelope/envelope.go). */
export const V1_CIPHERTEXT_MAX_BYTES = 65_535

const API_VERSION = 'v1beta1'

/** @param runtimeVersion The version of this program; kube-apiserver ignores it. */
export function kmsV1beta1(
  service: KmsService,
  deps: UnaryDeps,
  runtimeVersion: string,
): UntypedServiceImplementation {
  return {
    Version: unary<VersionRequest, VersionResponse>(deps, {
      api: 'v1',
      operation: 'version',
      handle: () => ({ version: API_VERSION, runtimeName: 'kmsplugin', runtimeVersion }),
    }),

    Encrypt: unary<EncryptRequest, EncryptResponse>(deps, {
      api: 'v1',
      operation: 'encrypt',
      handle: async ({ version, plain }, options, log) => {
        try {
          checkVersion(version)
          const { ciphertext, keyId } = await service.encrypt(plain, V1_CIPHERTEXT_MAX_BYTES, options)
          log({ keyId, bytes: ciphertext.length })
          return { cipher: ciphertext }
        } finally {
          plain.fill(0)
        }
      },
    }),

    Decrypt: unary<DecryptRequest, DecryptResponse>(deps, {
      api: 'v1',
      operation: 'decrypt',
      handle: async ({ version, cipher }, options) => {
        checkVersion(version)
        if (cipher.length === 0 || cipher.length > V1_CIPHERTEXT_MAX_BYTES) {
          const text = `a ciphertext has 1 to ${V1_CIPHERTEXT_MAX_BYTES} bytes, not ${cipher.length}`
          throw new KmsError('ERR_INVALID_REQUEST', text)
        }
        return { plain: await service.decrypt({ ciphertext: cipher }, options) }
      },
    }),
  }
}

function checkVersion(version: string): void {
  if (version === API_VERSION) return
  throw new KmsError('ERR_INVALID_REQUEST', `this socket speaks ${API_VERSION} and v2, not what was asked`)
}
