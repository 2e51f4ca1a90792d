/** How is a value of OVHcloud's okms-k8s-encryption-provider opened that it made by KMIP? AES-GCM by a key of the server. */
import * as z from 'zod'
import type { StoredValue } from '../../ports/foreign.js'
import type { Format } from './format.js'
import { explainedBy, NotOfFormat, readOrRefuse } from './reading.js'

const IV = 'iv.okms.ovh.com'
const ALGORITHM = 'alg.okms.ovh.com'
/** The only one that it knows, and what it takes where the annotation is absent. */
const AES_GCM = 'AES_GCM'

const IV_BYTES = 12
const TAG_BYTES = 16

/** A Unique Identifier: a UUID at OVHcloud, any short text elsewhere. */
const UID = /^\P{Cc}{1,255}$/u

interface OkmsKmipValue {
  readonly uid: string
  readonly iv: Uint8Array
  readonly bytes: Uint8Array
  readonly tag: Uint8Array
}

const NAME = 'okms-kmip'

const options = () => z.strictObject({})

export const okmsKmip: Format<z.infer<ReturnType<typeof options>>> = {
  name: NAME,
  writtenBy: 'okms-k8s-encryption-provider of OVHcloud with --protocol kmip',
  backends: ['kmip'],
  authenticated: 'all',
  options,
  recognize: ({ annotations }) =>
    [IV, ALGORITHM].some((name) => Object.hasOwn(annotations, name)) ? 'annotation' : undefined,
  explain: (value) =>
    explainedBy(() => {
      const { uid, bytes } = read(value)
      return { key: uid, algorithm: 'AES-GCM, without associated data', 'plaintext bytes': bytes.length }
    }),
  /** That plugin decrypts with whichever key the request names, so a new key id there left the old values readable. */
  plan: (value) => {
    const { uid: keyName, bytes, iv, tag } = readOrRefuse(NAME, () => read(value))
    return {
      questions: [{ bytes, iv, tag, keyName, algorithm: 'AES-GCM' }],
      finish: ([plaintext]) => Uint8Array.from(plaintext ?? []),
    }
  },
}

function read({ ciphertext, keyId, annotations }: StoredValue): OkmsKmipValue {
  // Another annotation may change what these mean.
  if (Object.keys(annotations).some((name) => name !== IV && name !== ALGORITHM)) {
    throw new NotOfFormat('has an annotation that we do not know')
  }
  const { [IV]: iv, [ALGORITHM]: algorithm } = annotations
  if (algorithm !== undefined && !Buffer.from(AES_GCM).equals(algorithm)) {
    throw new NotOfFormat(`has another algorithm in ${ALGORITHM} than ${AES_GCM}`)
  }
  if (iv?.length !== IV_BYTES) {
    throw new NotOfFormat(`has ${iv?.length ?? 0} bytes in ${IV}, not ${IV_BYTES}`)
  }
  if (keyId === undefined || !UID.test(keyId)) throw new NotOfFormat('names no key')
  const end = ciphertext.length - TAG_BYTES
  if (end < 0) throw new NotOfFormat(`has ${ciphertext.length} bytes, and its tag alone has ${TAG_BYTES}`)
  return { uid: keyId, iv, bytes: ciphertext.subarray(0, end), tag: ciphertext.subarray(end) }
}
