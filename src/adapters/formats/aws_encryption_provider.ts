/**
 * What stands in the values of aws-encryption-provider? The byte `1`, then the CiphertextBlob of AWS KMS as it came; on v1,
 * its oldest releases stored the blob alone. The key id of v2 is its flag `--key` word for word; there are no
 * annotations. (kubernetes-sigs/aws-encryption-provider, pkg/plugin; AWS KMS API, Encrypt.)
 */
import * as z from 'zod'
import { KmsError } from '../../ports/errors.js'
import type { NativeCiphertext, Sign, StoredValue } from '../../ports/foreign.js'
import type { Format } from './format.js'
import { printableText } from './printable_text.js'

/** ASCII `1`. */
const STORAGE_VERSION = 0x31
/** What Decrypt of AWS KMS takes. */
const BLOB_MAX_BYTES = 6144
/** Blobs of AWS KMS begin so. */
const BLOB_START = [0x01, 0x02] as const

const KEY_ARN = /^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key\//
const KMS_NAME = /^(?:arn:aws[a-z-]*:kms:|alias\/)/

const options = () => z.strictObject({})

export const awsEncryptionProvider: Format<z.infer<ReturnType<typeof options>>> = {
  name: 'aws-encryption-provider',
  writtenBy: 'aws-encryption-provider',
  backends: ['aws'],
  authenticated: 'all',
  options,

  recognize: ({ ciphertext, keyId, annotations }): Sign | undefined => {
    if (Object.keys(annotations).length > 0) return undefined
    if (keyId !== undefined && KMS_NAME.test(keyId)) return 'keyId'
    const isBare = keyId === undefined && BLOB_START.every((byte, at) => ciphertext[at] === byte)
    return isBare || (ciphertext[0] === STORAGE_VERSION && isBinary(ciphertext)) ? 'bytes' : undefined
  },

  explain: (value) => {
    const blob = blobIn(value)
    const key =
      value.keyId === undefined ? 'not stored by v1; AWS finds it in the blob' : printableText(value.keyId)
    const version = value.ciphertext[0] === STORAGE_VERSION ? '1' : 'none'
    return {
      fields: [
        { label: 'storage version', value: version },
        { label: 'key', value: key ?? 'not readable' },
        { label: 'blob of AWS KMS', value: `${blob?.length ?? 0} bytes` },
      ],
      ...(blob === undefined && { problem: 'it holds no blob of AWS KMS' }),
    }
  },

  plan: (value) => {
    const bytes = blobIn(value)
    if (bytes === undefined) {
      const text = 'the value is none of aws-encryption-provider: it holds no blob of AWS KMS'
      throw new KmsError('ERR_MALFORMED_ENVELOPE', text)
    }
    const { keyId } = value
    // An alias may have been moved since, and the blob knows its key anyway.
    const isPinned = keyId !== undefined && KEY_ARN.test(keyId)
    const question: NativeCiphertext = isPinned ? { bytes, keyName: keyId } : { bytes }
    return { questions: [question], finish: ([plaintext]) => Buffer.from(plaintext ?? []) }
  },
}

/** `undefined`: there is none. Only v1 takes a blob without the byte before it. */
function blobIn({ ciphertext, keyId }: StoredValue): Uint8Array | undefined {
  const hasVersion = ciphertext[0] === STORAGE_VERSION
  if (!hasVersion && keyId !== undefined) return undefined
  const blob = hasVersion ? ciphertext.subarray(1) : ciphertext
  return blob.length >= 1 && blob.length <= BLOB_MAX_BYTES ? blob : undefined
}

/** Blobs are never text; the values of other plugins that may begin with a `1` always are. */
function isBinary(bytes: Uint8Array): boolean {
  return bytes.some((byte) => byte < 0x20 || byte > 0x7e)
}
