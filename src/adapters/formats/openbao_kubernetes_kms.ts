/**
 * What does dc-tec/openbao-kubernetes-kms store?
 *
 * A ciphertext of Transit, seven annotations, and a key id. All but the version of the plugin are bound to the
 * ciphertext as associated data, with three names that stand in its configuration alone.
 */
import * as z from 'zod'
import { asKmsError } from '../../ports/errors.js'
import type { StoredValue } from '../../ports/foreign.js'
import type { Format } from './format.js'
import {
  assertOurs,
  associatedData,
  isOfOpenBao,
  readAnnotations,
  shownAnnotations,
  type OpenBaoAnnotations,
  type OpenBaoNames,
} from './openbao_annotations.js'
import {
  beginsAsTransit,
  malformed,
  parseTransit,
  transitFields,
  type TransitCiphertext,
} from './transit_ciphertext.js'

function name(setting: string) {
  return z
    .string()
    .regex(/^[^\p{Cc}\p{Cs}]+$/u, 'must be one line and not empty')
    .describe(`\`${setting}\` of its configuration, to the letter.`)
}

const options = () =>
  z.strictObject({
    providerName: name('transit.keyIdScope.providerName'),
    clusterId: name('transit.keyIdScope.clusterId'),
    instanceId: name('openbao.instanceId'),
    transitMountId: name('transit.keyIdScope.transitMountId'),
    keyLineageId: name('transit.keyIdScope.keyLineageId'),
  })

export const openbaoKubernetesKms: Format<OpenBaoNames> = {
  name: 'openbao-kubernetes-kms',
  writtenBy: 'openbao-kubernetes-kms',
  backends: ['vault'],
  authenticated: 'all',
  options,
  recognize(value) {
    if (isOfOpenBao(value)) return 'annotation'
    return value.keyId?.startsWith('obk2.') === true && beginsAsTransit(value.ciphertext)
      ? 'keyId'
      : undefined
  },
  explain(value) {
    try {
      return { fields: [...transitFields(parse(value).transit), ...shownAnnotations(value)] }
    } catch (thrown) {
      return { fields: shownAnnotations(value), problem: asKmsError(thrown).message }
    }
  },
  plan(value, names) {
    const { annotations } = parse(value)
    assertOurs(annotations, names)
    return {
      questions: [{ bytes: value.ciphertext, aad: associatedData(annotations, names) }],
      finish: ([plaintext]) => Uint8Array.from(plaintext ?? []),
    }
  },
}

/** @throws {KmsError} `ERR_MALFORMED_ENVELOPE`, `ERR_KEY_ID_MISMATCH`. */
function parse(value: StoredValue): {
  readonly transit: TransitCiphertext
  readonly annotations: OpenBaoAnnotations
} {
  const transit = parseTransit(value.ciphertext)
  const annotations = readAnnotations(value)
  if (annotations['transit-key-version'] !== String(transit.version)) {
    throw malformed('the ciphertext is of another key version than the annotations')
  }
  return { transit, annotations }
}
