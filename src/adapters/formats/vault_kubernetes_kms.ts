/**
 * What do FalcoSuessgott/vault-kubernetes-kms, kleidi with Vault and HashiCorp's vault-kube-kms store?
 *
 * What Transit answered to encrypt, as it is. No associated data: neither key id nor annotations are bound to it.
 * (pkg/vault/transit.go of the first at c3bc385, internal/providers/hvault.go of the second at d63ae4a.)
 */
import * as z from 'zod'
import { asKmsError } from '../../ports/errors.js'
import type { StoredValue } from '../../ports/foreign.js'
import type { Format } from './format.js'
import { isOfOpenBao } from './openbao_annotations.js'
import {
  beginsAsTransit,
  malformed,
  parseTransit,
  transitFields,
  type TransitCiphertext,
} from './transit_ciphertext.js'

/** kleidi's only annotation; its other backend, SoftHSM, writes it as well. */
const KLEIDI = 'v2.kleidi.beezy.dev'
const KLEIDI_VERSION = '1'

/** Below it a number is a version, from it on a time: no key was rotated ten million times, and none made before 1971. */
const FIRST_TIME_S = 31_536_000

export const vaultKubernetesKms: Format<Record<string, never>> = {
  name: 'vault-kubernetes-kms',
  writtenBy: 'vault-kubernetes-kms, kleidi or vault-kube-kms',
  backends: ['vault'],
  authenticated: 'all',
  options: () => z.strictObject({}),
  recognize(value) {
    // What is bound to its annotations would not open without them.
    if (!beginsAsTransit(value.ciphertext) || isOfOpenBao(value)) return undefined
    return Object.hasOwn(value.annotations, KLEIDI) ? 'annotation' : 'bytes'
  },
  explain(value) {
    try {
      return { fields: [...transitFields(parse(value)), ...keyIdFields(value.keyId)] }
    } catch (thrown) {
      return { fields: keyIdFields(value.keyId), problem: asKmsError(thrown).message }
    }
  },
  plan(value) {
    parse(value)
    return {
      questions: [{ bytes: value.ciphertext }],
      finish: ([plaintext]) => Uint8Array.from(plaintext ?? []),
    }
  },
}

function parse({ ciphertext, annotations }: StoredValue): TransitCiphertext {
  const version = annotations[KLEIDI]
  if (version !== undefined && Buffer.from(version).toString('latin1') !== KLEIDI_VERSION) {
    throw malformed(`the annotation ${KLEIDI} is not ${KLEIDI_VERSION}`)
  }
  return parseTransit(ciphertext)
}

/** The key id is told, not believed: it is bound to nothing. */
function keyIdFields(keyId: string | undefined): { label: string; value: string }[] {
  const number = /^[0-9]{1,10}$/.test(keyId ?? '') ? Number(keyId) : undefined
  if (number === undefined) return []
  if (number < FIRST_TIME_S)
    return [{ label: 'latest key version when it was written', value: String(number) }]
  return [{ label: 'key version made at', value: new Date(number * 1000).toISOString() }]
}
