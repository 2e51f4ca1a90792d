/**
 * How is a value opened that Kubernetes' own example plugin made, or kleidi's variant of it for SoftHSM?
 *
 * Source: kubernetes/kms, internal/plugins/_mock/pkcs11/pkcs11.go; beezy-dev/kleidi, internal/providers/pkcs11.go.
 */
import * as z from 'zod'
import { KmsError } from '../../ports/errors.js'
import type { OpeningPlan, StoredValue } from '../../ports/foreign.js'
import type { Format } from './format.js'
import { printableText } from './printable_text.js'

/** Each with the value `1`, and alone. */
const ANNOTATIONS: readonly string[] = ['version.encryption.remote.io', 'v2.kleidi.beezy.dev']
const VERSION = Buffer.from('1', 'ascii')
/** So kleidi's values begin where Vault made them, under the same annotation. */
const VAULT = Buffer.from('vault:', 'ascii')
const TAG_BYTES = 16
const SHORT_NONCE_BYTES = 12
/** What crypto11 makes unless it is configured otherwise. */
const LONG_NONCE_BYTES = 16
const SEED_BYTES = 32

const options = () =>
  z.strictObject({
    label: z
      .string()
      .min(1, 'must not be empty')
      .optional()
      .describe(
        'The key id of the values, which was the CKA_LABEL of the key, where its label is another today: kms-test.',
      ),
    nonceBytes: z
      .literal([SHORT_NONCE_BYTES, LONG_NONCE_BYTES])
      .optional()
      .describe(
        '`GCMIVLength` of crypto11, 12 or 16. By default what fits 32 bytes of plaintext, which is all that kube-apiserver has encrypted; else 16.',
      ),
    boundToKeyId: z
      .boolean()
      .optional()
      .describe('`false` for the mock in memory, before it used PKCS#11: it bound nothing to its values.'),
  })

type Options = z.infer<ReturnType<typeof options>>

export const kubernetesKmsMock: Format<Options> = {
  name: 'kubernetes-kms-mock',
  writtenBy: 'the mock plugin of kubernetes/kms or kleidi on SoftHSM',
  backends: ['pkcs11'],
  authenticated: 'all',
  options,

  recognize({ ciphertext, annotations }) {
    const [name = '', ...others] = Object.keys(annotations)
    if (others.length > 0 || !ANNOTATIONS.includes(name)) return undefined
    return VAULT.equals(ciphertext.subarray(0, VAULT.length)) ? undefined : 'annotation'
  },

  explain(value) {
    const { ciphertext, keyId = '' } = value
    const nonceBytes = nonceBytesOf(ciphertext)
    const problem = problemOf(value, nonceBytes)
    const fields = [
      { label: 'key', value: printableText(keyId) ?? 'not readable' },
      { label: 'nonce', value: Buffer.from(ciphertext.subarray(0, nonceBytes)).toString('hex') },
      { label: 'ciphertext', value: `${Math.max(0, ciphertext.length - nonceBytes - TAG_BYTES)} bytes` },
      { label: 'tag', value: Buffer.from(ciphertext.subarray(-TAG_BYTES)).toString('hex') },
    ]
    return problem === undefined ? { fields } : { fields, problem }
  },

  plan(value, { label, nonceBytes = nonceBytesOf(value.ciphertext), boundToKeyId = true }): OpeningPlan {
    const problem = problemOf(value, nonceBytes)
    if (problem !== undefined) {
      throw new KmsError('ERR_MALFORMED_ENVELOPE', `this is no value of the mock plugin: ${problem}`)
    }
    const { ciphertext, keyId = '' } = value
    if (label !== undefined && label !== keyId) {
      throw new KmsError('ERR_KEY_UNKNOWN', 'the value was made by a key of another label')
    }
    const question = {
      algorithm: 'AES-GCM',
      bytes: ciphertext.subarray(nonceBytes, -TAG_BYTES),
      iv: ciphertext.subarray(0, nonceBytes),
      tag: ciphertext.subarray(-TAG_BYTES),
      ...(boundToKeyId ? { aad: Buffer.from(keyId, 'utf8') } : {}),
      ...(label === undefined ? { keyName: `label:${keyId}` } : {}),
    } as const
    return { questions: [question], finish: ([plaintext = new Uint8Array()]) => Buffer.from(plaintext) }
  },
}

function nonceBytesOf({ length }: Uint8Array): number {
  return length === SHORT_NONCE_BYTES + SEED_BYTES + TAG_BYTES ? SHORT_NONCE_BYTES : LONG_NONCE_BYTES
}

function problemOf({ ciphertext, keyId, annotations }: StoredValue, nonceBytes: number): string | undefined {
  const [version] = Object.values(annotations)
  if (version === undefined || !VERSION.equals(version)) return 'its version is not 1'
  if (keyId === undefined || keyId === '') return 'it has no key id'
  if (ciphertext.length <= nonceBytes + TAG_BYTES)
    return 'it is too short for a nonce, a ciphertext and a tag'
  return undefined
}
