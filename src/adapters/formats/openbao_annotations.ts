/**
 * What do the annotations of openbao-kubernetes-kms say, and what does it bind to a ciphertext?
 * (dc-tec/openbao-kubernetes-kms, internal/aad and internal/keyregistry: the key id `obk2.…`, AAD `v1`.)
 */
import { createHash } from 'node:crypto'
import { KmsError } from '../../ports/errors.js'
import type { StoredValue } from '../../ports/foreign.js'
import { goJson } from './go_json.js'
import { malformed } from './transit_ciphertext.js'

const DOMAIN = '.kms.openbao.org'
const PROVIDER = 'openbao-transit'
const PURPOSE = 'kubernetes-etcd-kms-v2'
const AAD_VERSION = 'v1'

/** Longer than any that the plugin writes. */
const SHOWN_LENGTH = 100

/** SHA-256 in base64url without padding. */
const HASH = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/
const KEY_ID = /^obk2\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/

/** The seven annotations that it always writes, before {@link DOMAIN}, each with what its value looks like. */
const forms = {
  provider: new RegExp(`^${PROVIDER}$`),
  'key-id-hash': HASH,
  'transit-key-version': /^[1-9][0-9]{0,9}$/,
  'transit-mount-hash': HASH,
  'transit-key-hash': HASH,
  // Not bound: believed for nothing.
  'plugin-version': /^[^]+$/,
  'aad-version': new RegExp(`^${AAD_VERSION}$`),
} as const

/** Only there, and then bound, where `openbao.namespace` of its configuration is set. */
const NAMESPACE_HASH = 'openbao-namespace-hash'

export type OpenBaoAnnotations = Readonly<
  Record<keyof typeof forms, string> & Partial<Record<typeof NAMESPACE_HASH, string>>
>

/** What its configuration says and no value does, to the letter. */
export interface OpenBaoNames {
  readonly providerName: string
  readonly clusterId: string
  readonly instanceId: string
  readonly transitMountId: string
  readonly keyLineageId: string
}

/** Whether any annotation is of its domain. */
export function isOfOpenBao({ annotations }: StoredValue): boolean {
  return Object.keys(annotations).some((key) => key.endsWith(DOMAIN))
}

/** Those that are there, by the name before the domain, whatever they say; one line each. */
export function shownAnnotations(value: StoredValue): { label: string; value: string }[] {
  return [...Object.keys(forms), NAMESPACE_HASH].flatMap((label) => {
    const text = textAt(value, label)
    return text === undefined ? [] : [{ label, value: printable(text) }]
  })
}

/**
 * All seven and that of the namespace, in their form; others are not looked at, as the plugin does not.
 *
 * @throws {KmsError} `ERR_MALFORMED_ENVELOPE`; `ERR_KEY_ID_MISMATCH`: they belong to another key id.
 */
export function readAnnotations(value: StoredValue): OpenBaoAnnotations {
  if (value.keyId === undefined || !KEY_ID.test(value.keyId))
    throw malformed('the key id is not obk2. and a hash')
  const optional = textAt(value, NAMESPACE_HASH) === undefined ? {} : { [NAMESPACE_HASH]: HASH }
  const read = Object.entries<RegExp>({ ...forms, ...optional }).map(([label, form]) => {
    const text = textAt(value, label)
    if (text === undefined || !form.test(text)) {
      throw malformed(`the annotation ${label}${DOMAIN} is missing or not of its form`)
    }
    return [label, text] as const
  })
  const annotations = Object.fromEntries(read) as OpenBaoAnnotations
  if (annotations['key-id-hash'] !== hashOf(value.keyId)) {
    throw new KmsError('ERR_KEY_ID_MISMATCH', 'the key id is not the one that the annotations are of')
  }
  return annotations
}

/** @throws {KmsError} `ERR_KEY_UNKNOWN`: the value says that it is under another key than the options name. */
export function assertOurs(
  annotations: OpenBaoAnnotations,
  { transitMountId, keyLineageId }: OpenBaoNames,
): void {
  const isOurs =
    annotations['transit-mount-hash'] === hashOf(transitMountId) &&
    annotations['transit-key-hash'] === hashOf(keyLineageId)
  if (isOurs) return
  const text =
    'another openbao-kubernetes-kms made this: transitMountId or keyLineageId is another in `decode`'
  throw new KmsError('ERR_KEY_UNKNOWN', text)
}

/** JSON in this order, as Go writes it. */
export function associatedData(annotations: OpenBaoAnnotations, names: OpenBaoNames): Uint8Array {
  const { [NAMESPACE_HASH]: namespaceHash } = annotations
  return goJson({
    aad_version: AAD_VERSION,
    purpose: PURPOSE,
    provider: PROVIDER,
    provider_name: names.providerName,
    cluster_id_hash: hashOf(names.clusterId),
    openbao_instance_hash: hashOf(names.instanceId),
    ...(namespaceHash !== undefined && { openbao_namespace_hash: namespaceHash }),
    transit_mount_hash: annotations['transit-mount-hash'],
    transit_key_hash: annotations['transit-key-hash'],
    key_id_hash: annotations['key-id-hash'],
    key_version: annotations['transit-key-version'],
  })
}

function textAt({ annotations }: StoredValue, label: string): string | undefined {
  const key = label + DOMAIN
  return Object.hasOwn(annotations, key) ? Buffer.from(annotations[key] ?? []).toString('utf8') : undefined
}

/** For a terminal: whoever can write to etcd chooses the text. */
function printable(text: string): string {
  const escaped = text.slice(0, SHOWN_LENGTH).replace(/[\p{C}\u2028\u2029\\]/gu, (character) => {
    return character === '\\' ? '\\\\' : `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`
  })
  return text.length > SHOWN_LENGTH ? `${escaped}…` : escaped
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}
