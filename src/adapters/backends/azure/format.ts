/** What stands in the bytes of a wrapped DEK: the form, the version that wrapped, and what Azure made of the DEK. */
import { DEK_BYTES } from '../../../ports/key_wrapper.js'
import type { Algorithm } from './key.js'

interface Form {
  /** The first byte. */
  readonly id: number
  readonly algorithm: Algorithm
  /** Lengths of what Azure answers, in bytes. */
  readonly lengths: readonly number[]
}

/** The length of an RSA ciphertext is that of the modulus; RFC 3394 adds 8 bytes to what it wraps. */
const forms: readonly Form[] = [
  { id: 0x01, algorithm: 'RSA-OAEP-256', lengths: [256, 384, 512] },
  { id: 0x02, algorithm: 'A256KW', lengths: [DEK_BYTES + 8] },
]

const VERSION_BYTES = 16

export interface Parts {
  readonly algorithm: Algorithm
  /** 32 hexadecimal digits, in lower case. */
  readonly version: string
  readonly ciphertext: Uint8Array
}

/** Form 1 ‖ version 16 ‖ ciphertext; `undefined` when the ciphertext has no length that the algorithm gives. */
export function pack({ algorithm, version, ciphertext }: Parts): Buffer | undefined {
  const form = forms.find((one) => one.algorithm === algorithm)
  if (form?.lengths.includes(ciphertext.length) !== true) return undefined
  return Buffer.concat([Buffer.of(form.id), Buffer.from(version, 'hex'), ciphertext])
}

/** `undefined` for bytes that {@link pack} does not make. */
export function unpack(bytes: Uint8Array): Parts | undefined {
  const form = forms.find(({ id }) => id === bytes[0])
  const ciphertext = bytes.subarray(1 + VERSION_BYTES)
  if (form?.lengths.includes(ciphertext.length) !== true) return undefined
  const version = Buffer.from(bytes.subarray(1, 1 + VERSION_BYTES)).toString('hex')
  return { algorithm: form.algorithm, version, ciphertext }
}
