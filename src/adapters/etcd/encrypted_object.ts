/**
 * What is kube-apiserver's `v2.EncryptedObject`, and within which limits?
 *
 * The message is staging/src/k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2/api.proto; the limits are
 * those that envelope.go beside it checks before it decrypts.
 */
import { GCM_OVERHEAD_BYTES } from './scheme.js'
import type { Message } from './protobuf.js'

export const ENCRYPTED_OBJECT = {
  encryptedData: { number: 1, type: 'bytes' },
  keyID: { number: 2, type: 'bytes' },
  encryptedDEKSource: { number: 3, type: 'bytes' },
  annotations: { number: 4, type: 'bytes', repeated: true },
  encryptedDEKSourceType: { number: 5, type: 'varint' },
} as const

/** A protobuf map is a list of messages with a key and a value. */
export const ANNOTATION = { key: { number: 1, type: 'bytes' }, value: { number: 2, type: 'bytes' } } as const

export type EncryptedObject = Message<keyof typeof ENCRYPTED_OBJECT>

/** EncryptedDEKSourceType of the proto; the index is the number, and 0 is absent on the wire. */
export const DEK_SOURCE_TYPES = [
  {
    name: 'AES_GCM_KEY',
    meaning: 'the DEK source is the AES-256-GCM key itself (Kubernetes before 1.29)',
    overheadBytes: GCM_OVERHEAD_BYTES,
  },
  {
    name: 'HKDF_SHA256_XNONCE_AES_GCM_SEED',
    meaning:
      'the DEK source is a seed; each value has an AES-256-GCM key of its own, by HKDF with 32 bytes of info',
    overheadBytes: 32 + GCM_OVERHEAD_BYTES,
  },
] as const

export const KEY_ID_MAX_BYTES = 1024
export const DEK_SOURCE_MAX_BYTES = 1024
export const ANNOTATIONS_MAX_BYTES = 32 * 1024

/** Field 5 comes last: where the bytes break before it, its absence says nothing. */
export function dekSourceType(object: EncryptedObject): number | undefined {
  return object.varint('encryptedDEKSourceType') ?? (object.broken === undefined ? 0 : undefined)
}
