import { KmsError } from './errors.js'

/**
 * Names one version of one KEK: `<backend>:<KEK fingerprint>.<version fingerprint>`, each fingerprint 26
 * characters of lowercase base32 over SHA-256 of that backend's identity tuple.
 *
 * kube-apiserver stores it in etcd in the clear and rewrites its data when it changes. So it changes when the KEK
 * is rotated and never otherwise, is the same on every node and after every restart, is never an alias or a label
 * that someone can edit, and holds nothing secret.
 */
export type KeyId = string & { readonly __keyId: never }

/** The envelope stores the length of a key id in one byte; kube-apiserver allows 1,024 (kmsv2/envelope.go). */
export const KEY_ID_MAX_BYTES = 255

/** Characters of one fingerprint: 130 bits. */
export const FINGERPRINT_LENGTH = 26

const FORM = /^[a-z][a-z0-9]{0,31}:[a-z2-7]{26}\.[a-z2-7]{26}$/

/** Whether `text` has the form of a key id of ours. */
export function isKeyId(text: string): text is KeyId {
  return FORM.test(text)
}

/** @throws {KmsError} `ERR_INTERNAL` when `text` is no key id. */
export function keyId(text: string): KeyId {
  if (!isKeyId(text)) throw new KmsError('ERR_INTERNAL', `not a key id: ${JSON.stringify(text.slice(0, 80))}`)
  return text
}

/** The part of a key id that all versions of one KEK share: `<backend>:<KEK fingerprint>`. */
export function kekPart(id: KeyId): string {
  return id.slice(0, id.indexOf('.'))
}

/** The backend's name in a key id. */
export function backendPart(id: KeyId): string {
  return id.slice(0, id.indexOf(':'))
}
