/** What is the key that the settings name, and can it be used? */
import { KmsError } from '../../../ports/errors.js'
import { isObject, malformed, objectAt, textAt, type JsonObject } from '../remote/json_answer.js'

/** As the service's API and NIST SP 800-57 number them. */
export const states: Readonly<Record<number, string>> = {
  0: 'pre-active',
  1: 'active',
  2: 'suspended',
  3: 'deactivated',
  5: 'destroyed',
}

const ACTIVE = 1
const DEACTIVATED = 3

export interface KeyMetadata {
  /** The real id, whatever the settings name it by. */
  readonly id: string
  readonly state: number
  readonly isDeleted: boolean
  /** A standard key: its material can be fetched, and it wraps nothing. */
  readonly isExtractable: boolean
  /** The version that wraps now; `undefined` where the service tells no versions. */
  readonly versionId: string | undefined
  readonly keyRing: string | undefined
  /** Deleting it takes two people. */
  readonly hasDualAuthDelete: boolean
  /** One of the two has asked for it. */
  readonly isSetForDeletion: boolean
  /** ISO 8601; the key stops sealing then. */
  readonly expirationDate: string | undefined
}

/** @throws {KmsError} `ERR_BACKEND_RESPONSE` when it is no metadata of one key. */
export function keyMetadataIn(body: JsonObject, service: string): KeyMetadata {
  const list = body['resources']
  const resource: unknown = Array.isArray(list) && list.length === 1 ? list[0] : undefined
  if (!isObject(resource)) throw malformed(service, 'metadata of not exactly one key')
  const id = idAt(resource, 'id')
  const { state } = resource
  if (id === undefined || typeof state !== 'number') throw malformed(service, 'metadata without id or state')
  const dualAuth = objectAt(resource, 'dualAuthDelete')
  return {
    id,
    state,
    isDeleted: resource['deleted'] === true,
    isExtractable: resource['extractable'] === true,
    versionId: versionIdIn(resource),
    keyRing: idAt(resource, 'keyRingID'),
    hasDualAuthDelete: dualAuth['enabled'] === true,
    isSetForDeletion: dualAuth['keySetForDeletion'] === true,
    expirationDate: dateAt(resource, 'expirationDate'),
  }
}

/** `keyVersion.id`; `undefined` where there is none. */
export function versionIdIn(answer: JsonObject): string | undefined {
  return idAt(objectAt(answer, 'keyVersion'), 'id')
}

/**
 * The version that has wrapped what an answer to `unwrap` opened; `undefined` where the answer does not tell it: a
 * rotated key adds the DEK as wrapped anew, and one version for both is the newer one's.
 */
export function openedVersionIn(answer: JsonObject): string | undefined {
  const id = versionIdIn(answer)
  if (textAt(answer, 'ciphertext') === undefined) return id
  const rewrapped = idAt(objectAt(answer, 'rewrappedKeyVersion'), 'id')
  return rewrapped === undefined || rewrapped === id ? undefined : id
}

interface Row {
  readonly when: (key: KeyMetadata, mustWrap: boolean) => boolean
  readonly error: (key: KeyMetadata, what: string) => KmsError
}

const rows: readonly Row[] = [
  {
    when: ({ isDeleted, state }) => isDeleted || state === 5,
    error: (_key, what) =>
      new KmsError(
        'ERR_KEY_PENDING_DELETION',
        `${what} is deleted; restore it at once with \`ibmcloud kp key restore\`: that works for 30 days, afterwards every value under the key is lost`,
      ),
  },
  {
    when: ({ isExtractable }) => isExtractable,
    error: (_key, what) =>
      new KmsError('ERR_KEY_UNUSABLE', `${what} is a standard key; make a root key, only those wrap`),
  },
  {
    when: ({ state }) => state === 2,
    error: (_key, what) =>
      new KmsError('ERR_KEY_DISABLED', `${what} is disabled; enable it with \`ibmcloud kp key enable\``),
  },
  {
    when: ({ state }, mustWrap) => state === DEACTIVATED && mustWrap,
    error: (_key, what) =>
      new KmsError(
        'ERR_KEY_UNUSABLE',
        `${what} has expired: it opens old values and seals no new ones; make a new root key and let \`primary\` name it`,
      ),
  },
  {
    when: ({ state }) => state !== ACTIVE && state !== DEACTIVATED,
    error: ({ state }, what) =>
      new KmsError('ERR_KEY_UNUSABLE', `${what} is in the state ${states[state] ?? state}, not active`),
  },
]

/**
 * @param mustWrap Not only open what was wrapped before: an expired key still does that.
 * @throws {KmsError} `ERR_KEY_PENDING_DELETION`, `ERR_KEY_UNUSABLE` or `ERR_KEY_DISABLED`, unless the key can be used.
 */
export function assertUsable(key: KeyMetadata, service: string, mustWrap: boolean): void {
  const row = rows.find(({ when }) => when(key, mustWrap))
  if (row !== undefined) throw row.error(key, `root key ${key.id} of ${service}`)
}

/** A UUID in practice; whatever it is, it fits a message and a URL. */
function idAt(parent: JsonObject, name: string): string | undefined {
  const text = textAt(parent, name)
  return text !== undefined && /^[A-Za-z0-9._:-]{1,128}$/.test(text) ? text : undefined
}

function dateAt(parent: JsonObject, name: string): string | undefined {
  const text = textAt(parent, name)
  return text !== undefined && /^[0-9TZ:.+-]{10,40}$/.test(text) ? text : undefined
}
