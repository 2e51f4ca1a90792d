/**
 * What stands in the values of Google's plugin for Cloud KMS? The ciphertext as Cloud KMS gave it, made without additional
 * authenticated data. The key id of v2 is the resource name of the version that made it, and `:` with the flag
 * `--key-suffix` where that was set; there are no annotations. (GoogleCloudPlatform/k8s-cloudkms-plugin, plugin/v1 and v2.)
 */
import * as z from 'zod'
import { KmsError } from '../../ports/errors.js'
import type { Sign, StoredValue } from '../../ports/foreign.js'
import type { Format } from './format.js'
import { printableText } from './printable_text.js'

/** Project ids of old have a domain and a colon in them; a colon in the name of the key begins the suffix. */
const KEY_ID =
  /^(?<key>projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+\/cryptoKeys\/[^/:]+)(?:\/cryptoKeyVersions\/(?<version>[0-9]+))?(?::(?<suffix>.*))?$/s

/** Of protobuf, in which Cloud KMS begins: field 1 with a length. It names the version. */
const FIELD_1 = 0x0a
/** Cloud KMS makes none that is shorter than a nonce and a tag. */
const MIN_BYTES = 28

const options = () => z.strictObject({})

export const gcpCloudkmsPlugin: Format<z.infer<ReturnType<typeof options>>> = {
  name: 'gcp-cloudkms-plugin',
  writtenBy: "Google's k8s-cloudkms-plugin",
  backends: ['gcp'],
  authenticated: 'all',
  options,

  recognize: ({ ciphertext, keyId, annotations }): Sign | undefined => {
    if (Object.keys(annotations).length > 0) return undefined
    if (keyId !== undefined) return KEY_ID.test(keyId) ? 'keyId' : undefined
    const nameEnd = 2 + (ciphertext[1] ?? 0)
    return ciphertext[0] === FIELD_1 && ciphertext.length >= nameEnd + MIN_BYTES ? 'bytes' : undefined
  },

  explain: (value) => {
    const { version, suffix } = KEY_ID.exec(value.keyId ?? '')?.groups ?? {}
    return {
      fields: [
        { label: 'key', value: value.keyId === undefined ? 'not stored by v1' : readable(keyIn(value)) },
        ...(version === undefined ? [] : [{ label: 'version', value: version }]),
        ...(suffix === undefined ? [] : [{ label: 'key suffix', value: readable(suffix) }]),
        { label: 'ciphertext of Cloud KMS', value: `${value.ciphertext.length} bytes` },
      ],
      ...problemOf(value),
    }
  },

  plan: (value) => {
    const { problem } = problemOf(value)
    if (problem !== undefined) {
      throw new KmsError('ERR_MALFORMED_ENVELOPE', `the value is none of k8s-cloudkms-plugin: ${problem}`)
    }
    const keyName = keyIn(value)
    const question = { bytes: value.ciphertext, ...(keyName !== undefined && { keyName }) }
    return { questions: [question], finish: ([plaintext]) => Buffer.from(plaintext ?? []) }
  },
}

function keyIn({ keyId }: StoredValue): string | undefined {
  return KEY_ID.exec(keyId ?? '')?.groups?.['key']
}

function readable(text: string | undefined): string {
  return printableText(text) ?? 'not readable'
}

function problemOf(value: StoredValue): { readonly problem?: string } {
  if (value.ciphertext.length < MIN_BYTES) return { problem: 'it is too short for a ciphertext of Cloud KMS' }
  const isNamed = value.keyId === undefined || keyIn(value) !== undefined
  return isNamed ? {} : { problem: 'its key id is no resource name of Cloud KMS' }
}
