/** Values as etcd holds them, made by encoders that share nothing with the code under test. */
import protobuf from 'protobufjs'

const { root } = protobuf.parse(`
  syntax = "proto3";
  message EncryptedObject {
    bytes encryptedData = 1;
    string keyID = 2;
    bytes encryptedDEKSource = 3;
    map<string, bytes> annotations = 4;
    int32 encryptedDEKSourceType = 5;
  }
  message TypeMeta { string apiVersion = 1; string kind = 2; }
  message Unknown { TypeMeta typeMeta = 1; bytes raw = 2; string contentEncoding = 3; string contentType = 4; }
`)

export interface EncryptedObject {
  readonly encryptedData?: Uint8Array
  readonly keyID?: string
  readonly encryptedDEKSource?: Uint8Array
  readonly annotations?: Readonly<Record<string, Uint8Array>>
  readonly encryptedDEKSourceType?: number
}

export function encryptedObject(fields: EncryptedObject): Uint8Array {
  return encode('EncryptedObject', fields)
}

export function kmsV2(provider: string, fields: EncryptedObject): Uint8Array {
  return Buffer.concat([Buffer.from(`k8s:enc:kms:v2:${provider}:`), encryptedObject(fields)])
}

export function kmsV1(provider: string, wrappedDek: Uint8Array, data: Uint8Array): Uint8Array {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(wrappedDek.length)
  return Buffer.concat([Buffer.from(`k8s:enc:kms:v1:${provider}:`), length, wrappedDek, data])
}

export function local(scheme: string, keyName: string, payload: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`k8s:enc:${scheme}:v1:${keyName}:`), payload])
}

export function identity(apiVersion: string, kind: string, raw: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from('k8s\0'), encode('Unknown', { typeMeta: { apiVersion, kind }, raw })])
}

/** An envelope by the table in docs/envelope.md: suite A256GCM, 40 bytes of wrapped DEK, 32 bytes of ciphertext. */
export function envelope(keyId: string): Uint8Array {
  return Buffer.concat([
    Buffer.from([0x93, 0x4b, 0x4d, 0x53, 1, 1, keyId.length]),
    Buffer.from(keyId),
    Buffer.from([0, 40]),
    Buffer.alloc(40, 0xa1),
    Buffer.alloc(32, 0xa2),
    Buffer.alloc(32, 0xa3),
    Buffer.from([0, 0, 0, 32]),
    Buffer.alloc(12, 0xa4),
    Buffer.alloc(32, 0xa5),
    Buffer.alloc(16, 0xa6),
  ])
}

/** A key id of the form of ours, other for each `seed`. */
export function someKeyId(seed: string): string {
  return `local:${seed.repeat(26)}.${'b'.repeat(26)}`
}

function encode(type: string, fields: object): Uint8Array {
  const message = root.lookupType(type)
  return message.encode(message.fromObject(fields)).finish()
}
