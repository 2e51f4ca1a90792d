/**
 * What do the bytes of a wrapped DEK say, and to what are they bound?
 *
 * Format 1 ‖ version number, 4 bytes big-endian ‖ ciphertext of Cloud KMS. The answer to a decryption does not say
 * which version did it, so the version stands in the additional authenticated data as well: a number that was changed
 * is refused by the KMS itself.
 */
import { kekPart, type KeyId } from '../../../ports/key_id.js'
import { WRAPPED_DEK_MAX_BYTES } from '../../../ports/key_wrapper.js'
import { keyIdOf } from '../identity.js'
import { versionName } from './key_name.js'

export const BACKEND = 'gcp'

const FORMAT = 0x01
const HEADER_BYTES = 5
/** 112 bytes are usual for a DEK. */
export const MAX_CIPHERTEXT_BYTES = WRAPPED_DEK_MAX_BYTES - HEADER_BYTES

export interface WrappedForm {
  readonly version: number
  /** 1 to {@link MAX_CIPHERTEXT_BYTES} bytes. */
  readonly ciphertext: Uint8Array
}

export function writeForm({ version, ciphertext }: WrappedForm): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt8(FORMAT)
  header.writeUInt32BE(version, 1)
  return Buffer.concat([header, ciphertext])
}

/** `undefined` for bytes that {@link writeForm} never makes. */
export function readForm(bytes: Uint8Array): WrappedForm | undefined {
  if (bytes.length <= HEADER_BYTES || bytes.length > WRAPPED_DEK_MAX_BYTES || bytes[0] !== FORMAT)
    return undefined
  const version = Buffer.from(bytes.subarray(1, HEADER_BYTES)).readUInt32BE()
  return version === 0 ? undefined : { version, ciphertext: bytes.subarray(HEADER_BYTES) }
}

/** A key as the plugin uses it. */
export interface Kek {
  /** Resource name of the key. */
  readonly key: string
  /** The operator's own text in the additional authenticated data; `undefined`: none. */
  readonly extraAad: string | undefined
}

/**
 * KEK: the resource name of the key, and the operator's own text if any, since what was wrapped with one text opens
 * with no other. Version: the end of the resource name of the version. Google reuses neither name.
 */
export function keyIdOfVersion({ key, extraAad }: Kek, version: number): KeyId {
  const kek = extraAad === undefined ? [key] : [key, extraAad]
  return keyIdOf(BACKEND, kek, [`cryptoKeyVersions/${version}`])
}

/** The part of the key ids of all versions. */
export function kekPartOf(kek: Kek): string {
  return kekPart(keyIdOfVersion(kek, 1))
}

export function aadOf({ key, extraAad }: Kek, version: number): Buffer {
  const own = `kmsplugin/v1 dek ${versionName(key, version)}`
  return Buffer.from(extraAad === undefined ? own : `${own}\n${extraAad}`, 'utf8')
}
