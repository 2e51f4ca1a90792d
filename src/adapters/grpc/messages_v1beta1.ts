/** The messages of KMS v1, as proto/v1beta1/kms.proto describes them; a test compares. */
import { Message, type MessageOf } from './wire/message.js'

export const versionRequest = new Message({
  version: { number: 1, type: 'string' },
})

export const versionResponse = new Message({
  version: { number: 1, type: 'string' },
  runtimeName: { number: 2, type: 'string' },
  runtimeVersion: { number: 3, type: 'string' },
})

export const encryptRequest = new Message({
  version: { number: 1, type: 'string' },
  plain: { number: 2, type: 'bytes' },
})

export const encryptResponse = new Message({
  cipher: { number: 1, type: 'bytes' },
})

export const decryptRequest = new Message({
  version: { number: 1, type: 'string' },
  cipher: { number: 2, type: 'bytes' },
})

export const decryptResponse = new Message({
  plain: { number: 1, type: 'secret' },
})

export type VersionRequest = MessageOf<typeof versionRequest.fields>
export type VersionResponse = MessageOf<typeof versionResponse.fields>
export type EncryptRequest = MessageOf<typeof encryptRequest.fields>
export type EncryptResponse = MessageOf<typeof encryptResponse.fields>
export type DecryptRequest = MessageOf<typeof decryptRequest.fields>
export type DecryptResponse = MessageOf<typeof decryptResponse.fields>
