/** The messages of KMS v2, as proto/v2/kms.proto describes them; a test compares. */
import { Message, type MessageOf } from './wire/message.js'

export const statusRequest = new Message({})

export const statusResponse = new Message({
  version: { number: 1, type: 'string' },
  healthz: { number: 2, type: 'string' },
  keyId: { number: 3, type: 'string' },
})

export const encryptRequest = new Message({
  plaintext: { number: 1, type: 'bytes' },
  uid: { number: 2, type: 'string' },
})

export const encryptResponse = new Message({
  ciphertext: { number: 1, type: 'bytes' },
  keyId: { number: 2, type: 'string' },
  annotations: { number: 3, type: 'map' },
})

export const decryptRequest = new Message({
  ciphertext: { number: 1, type: 'bytes' },
  uid: { number: 2, type: 'string' },
  keyId: { number: 3, type: 'string' },
  annotations: { number: 4, type: 'map' },
})

export const decryptResponse = new Message({
  plaintext: { number: 1, type: 'secret' },
})

export type StatusResponse = MessageOf<typeof statusResponse.fields>
export type EncryptRequest = MessageOf<typeof encryptRequest.fields>
export type EncryptResponse = MessageOf<typeof encryptResponse.fields>
export type DecryptRequest = MessageOf<typeof decryptRequest.fields>
export type DecryptResponse = MessageOf<typeof decryptResponse.fields>
