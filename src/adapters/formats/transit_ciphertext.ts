/** What does a ciphertext of the Transit engine of Vault or OpenBao say without its key? */
import { KmsError } from '../../ports/errors.js'

/** `vault:v`, then the version without zeros in front, then standard base64 (RFC 4648 section 4) with its padding. */
const GRAMMAR = /^vault:v([1-9][0-9]{0,9}):([A-Za-z0-9+/]+={0,2})$/

/** A text longer than any that kube-apiserver stores is not looked at further. */
const MAX_BYTES = 65_535

const NONCE_BYTES = 12
const TAG_BYTES = 16

export interface TransitCiphertext {
  /** Of the key. */
  readonly version: number
  /** For AES-GCM and ChaCha20 nonce, ciphertext and tag; for RSA one block. At least 28 bytes. */
  readonly bytes: Buffer
}

/** Whether bytes begin as those of Transit do. */
export function beginsAsTransit(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, 7)).toString('latin1') === 'vault:v'
}

/** @throws {KmsError} `ERR_MALFORMED_ENVELOPE`: not of this form from the first byte to the last. */
export function parseTransit(ciphertext: Uint8Array): TransitCiphertext {
  const text = ciphertext.length > MAX_BYTES ? '' : Buffer.from(ciphertext).toString('latin1')
  const [, version, base64 = ''] = GRAMMAR.exec(text) ?? []
  const bytes = Buffer.from(base64, 'base64')
  if (version === undefined || bytes.toString('base64') !== base64) {
    throw malformed('the ciphertext is no vault:v<version>:<base64> of the Transit engine to its end')
  }
  if (bytes.length < NONCE_BYTES + TAG_BYTES) {
    throw malformed('the ciphertext is too short for a nonce and a tag')
  }
  return { version: Number(version), bytes }
}

/** Version and, as a key of AES-GCM would have made them, nonce, length and tag. */
export function transitFields({ version, bytes }: TransitCiphertext): { label: string; value: string }[] {
  return [
    { label: 'key version', value: String(version) },
    { label: 'nonce', value: bytes.subarray(0, NONCE_BYTES).toString('hex') },
    { label: 'ciphertext bytes', value: String(bytes.length - NONCE_BYTES - TAG_BYTES) },
    { label: 'tag', value: bytes.subarray(-TAG_BYTES).toString('hex') },
  ]
}

/** The error for what is not of a format; none of it is quoted. */
export function malformed(why: string): KmsError {
  return new KmsError('ERR_MALFORMED_ENVELOPE', why)
}
