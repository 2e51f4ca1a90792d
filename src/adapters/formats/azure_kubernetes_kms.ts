/**
 * What stands in the values of Azure's plugin? What Key Vault answered to encrypt, as base64url text without padding: RSA1_5
 * on v1, RSA-OAEP-256 on v2. The key id of v2 is the SHA-256 of the key's URL with its version, in lower-case hexadecimal
 * digits; of five annotations the version of the form and the algorithm count, the others only tell
 * when and where. (Azure/kubernetes-kms, pkg/plugin/keyvault.go.)
 */
import * as z from 'zod'
import { KmsError } from '../../ports/errors.js'
import type { NativeCiphertext, Sign, StoredValue } from '../../ports/foreign.js'
import type { Format } from './format.js'
import { printableText } from './printable_text.js'

const DOMAIN = '.azure.akv.io'
const HASH = /^[0-9a-f]{64}$/
const BASE64URL = /^[A-Za-z0-9_-]+$/

/** Of the moduli of RSA-2048, RSA-3072 and RSA-4096. */
const LENGTHS: readonly number[] = [256, 384, 512]
/** Characters of base64url for these. */
const TEXT_LENGTHS: readonly number[] = [342, 512, 683]

/** kube-apiserver's v1 seals DEKs of this length and nothing else. */
const V1_PLAINTEXT_BYTES = 32

/** Annotations that count, and the one value that each may have. */
const DEMANDED = [
  { label: 'version', name: `version${DOMAIN}`, value: '1' },
  { label: 'algorithm', name: `algorithm${DOMAIN}`, value: 'RSA-OAEP-256' },
] as const

/** Annotations for whoever looks for the request in Azure's logs. */
const TOLD = [
  { label: 'date', name: `date${DOMAIN}` },
  { label: 'region', name: `x-ms-keyvault-region${DOMAIN}` },
  { label: 'request id', name: `x-ms-request-id${DOMAIN}` },
] as const

const options = () => z.strictObject({})

export const azureKubernetesKms: Format<z.infer<ReturnType<typeof options>>> = {
  name: 'azure-kubernetes-kms',
  writtenBy: "Azure's kubernetes-kms",
  // The same RSA key may have been brought to a token, which is then asked without the vault.
  backends: ['azure', 'pkcs11'],
  authenticated: 'all',
  options,

  recognize: (value): Sign | undefined => {
    const names = Object.keys(value.annotations)
    if (names.some((name) => name.endsWith(DOMAIN))) return 'annotation'
    if (names.length > 0 || !hasForm(value.ciphertext)) return undefined
    if (value.keyId === undefined) return 'bytes'
    return HASH.test(value.keyId) ? 'keyId' : undefined
  },

  explain: (value) => {
    const problem = problemOf(value)
    const told = [...DEMANDED, ...TOLD].flatMap(({ label, name }) => {
      const text = printableText(value.annotations[name])
      return text === undefined ? [] : [{ label, value: text }]
    })
    return {
      fields: [
        {
          label: 'key',
          value:
            value.keyId === undefined
              ? 'not stored by v1'
              : `SHA-256 of its URL with version: ${printableText(value.keyId) ?? 'not readable'}`,
        },
        ...(value.keyId === undefined ? [{ label: 'algorithm', value: 'RSA1_5' }] : told),
        { label: 'ciphertext', value: `${bytesIn(value.ciphertext)?.length ?? 0} bytes` },
      ],
      ...(problem !== undefined && { problem }),
    }
  },

  plan: (value) => {
    const problem = problemOf(value)
    const bytes = bytesIn(value.ciphertext)
    if (problem !== undefined || bytes === undefined) {
      const text = `the value is none of Azure's kubernetes-kms: ${problem ?? 'it holds no ciphertext'}`
      throw new KmsError('ERR_MALFORMED_ENVELOPE', text)
    }
    const { keyId } = value
    if (keyId !== undefined) {
      const question: NativeCiphertext = { bytes, algorithm: 'RSA-OAEP-256', keyName: keyId }
      return { questions: [question], finish: ([plaintext]) => Buffer.from(plaintext ?? []) }
    }
    return {
      questions: [{ bytes, algorithm: 'RSA1_5' }],
      opensUnderAnyKey: true,
      finish: ([plaintext]) => dekOf(plaintext),
    }
  },
}

/**
 * A padding of RSA1_5 comes out right by chance about once in 65,536 tries; with the right length it hardly ever does. But
 * a device may hide wrong padding behind random bytes of a random length, as NSS does: then one value in about 250 opens
 * under a wrong key. And who tries values learns from a wrong length what they learn from a wrong padding.
 */
function dekOf(plaintext: Uint8Array | undefined): Buffer {
  if (plaintext?.length === V1_PLAINTEXT_BYTES) return Buffer.from(plaintext)
  throw new KmsError(
    'ERR_DECRYPTION_FAILED',
    'the key does not decrypt the value: it was altered, or is of another key or version',
  )
}

function problemOf({ ciphertext, keyId, annotations }: StoredValue): string | undefined {
  if (bytesIn(ciphertext) === undefined) {
    return 'it is not the base64url text of 256, 384 or 512 bytes'
  }
  if (keyId === undefined) return undefined
  if (!HASH.test(keyId)) return 'its key id is no SHA-256 in lower-case hexadecimal digits'
  const wrong = DEMANDED.find(({ name, value }) => printableText(annotations[name]) !== value)
  return wrong === undefined ? undefined : `its annotation ${wrong.name} is not ${wrong.value}`
}

/** Of the one way to write them; `undefined` for anything else. */
function bytesIn(ciphertext: Uint8Array): Buffer | undefined {
  if (!hasForm(ciphertext)) return undefined
  const text = Buffer.from(ciphertext).toString('latin1')
  const bytes = Buffer.from(text, 'base64url')
  return LENGTHS.includes(bytes.length) && bytes.toString('base64url') === text ? bytes : undefined
}

function hasForm(ciphertext: Uint8Array): boolean {
  return (
    TEXT_LENGTHS.includes(ciphertext.length) && BASE64URL.test(Buffer.from(ciphertext).toString('latin1'))
  )
}
