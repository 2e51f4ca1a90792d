/**
 * How is a value opened whose key is a local one that a remote service encrypted, as the LocalKEKService of kubernetes/kms
 * made it (pkg/hierarchy, until March 2023)?
 *
 * The encrypted local key stands in an annotation. It is a stored value of its own, of whatever plugin was behind that
 * service, with the annotations that are left and the same key id: another format of the same key opens it.
 */
import * as z from 'zod'
import { KmsError } from '../../ports/errors.js'
import type { StoredValue } from '../../ports/foreign.js'
import type { Format } from './format.js'
import { openGcm } from './gcm.js'
import { printableText } from './printable_text.js'

const RESERVED = '.reference.encryption.k8s.io'
const KEK_ANNOTATION = `encrypted-kek${RESERVED}`
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** Of AES; the service makes 32. */
const KEK_BYTES: readonly number[] = [32]

const options = () => z.strictObject({})

export const kubernetesLocalKek: Format<z.infer<ReturnType<typeof options>>> = {
  name: 'kubernetes-local-kek',
  writtenBy: 'a plugin on the LocalKEKService of kubernetes/kms',
  backends: ['aws', 'azure', 'gcp', 'ibm', 'kmip', 'local', 'okms', 'pkcs11', 'vault'],
  authenticated: 'all',
  options,

  recognize: ({ annotations }) => (annotations[KEK_ANNOTATION] === undefined ? undefined : 'annotation'),

  explain(value) {
    const { ciphertext, annotations } = value
    const others = Object.keys(remoteOf(value).annotations)
    const fields = [
      {
        label: 'local KEK',
        value: `${annotations[KEK_ANNOTATION]?.length ?? 0} bytes, encrypted by the remote service`,
      },
      {
        label: 'annotations of the remote service',
        value: others.length === 0 ? 'none' : (printableText(others.join(', ')) ?? 'not readable'),
      },
      { label: 'nonce', value: Buffer.from(ciphertext.subarray(0, NONCE_BYTES)).toString('hex') },
      { label: 'ciphertext', value: `${Math.max(0, ciphertext.length - NONCE_BYTES - TAG_BYTES)} bytes` },
      { label: 'tag', value: Buffer.from(ciphertext.subarray(-TAG_BYTES)).toString('hex') },
    ]
    const problem = problemOf(value)
    return problem === undefined ? { fields } : { fields, problem }
  },

  plan(value) {
    const problem = problemOf(value)
    if (problem !== undefined) {
      throw new KmsError('ERR_MALFORMED_ENVELOPE', `this is no value under a local KEK: ${problem}`)
    }
    const { ciphertext } = value
    const parts = {
      iv: ciphertext.subarray(0, NONCE_BYTES),
      ciphertext: ciphertext.subarray(NONCE_BYTES, -TAG_BYTES),
      tag: ciphertext.subarray(-TAG_BYTES),
      aad: new Uint8Array(),
    }
    return {
      questions: [remoteOf(value)],
      isReusable: true,
      finish: ([kek = new Uint8Array()]) => openGcm(kek, KEK_BYTES, parts),
    }
  },
}

/** What the remote service was given to decrypt. */
function remoteOf({ keyId, annotations }: StoredValue): StoredValue {
  const others = Object.entries(annotations).filter(([name]) => !name.endsWith(RESERVED))
  return {
    ciphertext: annotations[KEK_ANNOTATION] ?? new Uint8Array(),
    keyId,
    annotations: Object.fromEntries(others),
  }
}

function problemOf({ ciphertext, annotations, keyId }: StoredValue): string | undefined {
  if (keyId === undefined || keyId === '') return 'it has no key id'
  if (annotations[KEK_ANNOTATION]?.length === 0) return 'its local KEK is empty'
  if (ciphertext.length <= NONCE_BYTES + TAG_BYTES)
    return 'it is too short for a nonce, a ciphertext and a tag'
  return undefined
}
