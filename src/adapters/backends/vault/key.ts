/** What does Vault say about a Transit key, and which key id has each of its versions? */
import { KmsError } from '../../../ports/errors.js'
import { kekPart, type KeyId } from '../../../ports/key_id.js'
import { keyIdOf, type IdentityTuple } from '../identity.js'
import { isObject, malformed, objectAt, textAt, type JsonObject } from '../remote/json_answer.js'
import type { VaultSettings } from './settings.js'

/** A key as it was read. */
export interface TransitKey {
  /** `aes256-gcm96`. */
  readonly type: string
  readonly isDerived: boolean
  readonly isSoftDeleted: boolean
  readonly canBeExported: boolean
  readonly canBeDeleted: boolean
  readonly minDecryptionVersion: number
  readonly latestVersion: number
  readonly currentKeyId: KeyId
  /** Those that Vault still opens; older ones are in its archive and not listed. */
  readonly versions: ReadonlyMap<KeyId, number>
}

/**
 * Names the KEK. `context` and `associatedData` make another KEK of the same key, since what was wrapped with one pair
 * opens with no other; without them the tuple is namespace, mount and key alone.
 */
function identityOf({
  namespace = '',
  mount,
  keyName,
  context,
  associatedData,
}: VaultSettings): IdentityTuple {
  const kek = [namespace, mount, keyName]
  if (context === undefined && associatedData === undefined) return kek
  return [
    ...kek,
    context === undefined ? '' : `=${context}`,
    associatedData === undefined ? '' : `=${associatedData}`,
  ]
}

/** The part of the key id that all versions share; known before the key was ever read. */
export function kekPartOf(settings: VaultSettings): string {
  return kekPart(keyIdOf('vault', identityOf(settings)))
}

/** `the key kek in the Transit engine at transit/`, for messages. */
export function kekName({ namespace, mount, keyName }: VaultSettings): string {
  const where = namespace === undefined ? '' : ` in the namespace ${namespace}`
  return `the key ${keyName} in the Transit engine at ${mount}/${where}`
}

/**
 * @param body The answer to `GET keys/<name>`.
 * @throws {KmsError} `ERR_BACKEND_RESPONSE` when it is not of the documented form; `ERR_KEY_UNUSABLE`: of a type that
 * cannot encrypt.
 */
export function readKey(body: JsonObject, settings: VaultSettings, service: string): TransitKey {
  const data = objectAt(body, 'data')
  const type = textAt(data, 'type')
  const latestVersion = numberAt(data, 'latest_version')
  if (type === undefined || latestVersion === undefined)
    throw malformed(service, 'a key without type and version')
  // Keys for MACs have no versions to look at.
  if (data['supports_encryption'] === false || data['supports_decryption'] === false) {
    throw cannotEncrypt(type, kekName(settings))
  }
  const kek = identityOf(settings)
  const versions = new Map<KeyId, number>()
  let currentKeyId: KeyId | undefined
  for (const [name, entry] of Object.entries(objectAt(data, 'keys'))) {
    const number = Number(name)
    const created = creationSecond(entry)
    if (!Number.isSafeInteger(number) || created === undefined) {
      throw malformed(service, 'a key version without its creation time')
    }
    const keyId = keyIdOf('vault', kek, [String(number), String(created)])
    versions.set(keyId, number)
    if (number === latestVersion) currentKeyId = keyId
  }
  if (currentKeyId === undefined) throw malformed(service, 'a key without its latest version')
  return {
    type,
    isDerived: data['derived'] === true,
    isSoftDeleted: data['soft_deleted'] === true,
    canBeExported: data['exportable'] === true || data['allow_plaintext_backup'] === true,
    canBeDeleted: data['deletion_allowed'] === true,
    minDecryptionVersion: numberAt(data, 'min_decryption_version') ?? 1,
    latestVersion,
    currentKeyId,
    versions,
  }
}

function cannotEncrypt(type: string, kek: string): KmsError {
  const text = `${kek} is of type ${type}, which cannot encrypt; make an aes256-gcm96 key`
  return new KmsError('ERR_KEY_UNUSABLE', text)
}

/** @throws {KmsError} `ERR_KEY_DISABLED`: soft-deleted. */
export function assertUsable({ isSoftDeleted }: TransitKey, kek: string): void {
  if (isSoftDeleted) {
    throw new KmsError('ERR_KEY_DISABLED', `${kek} is soft-deleted; restore it (soft-delete-restore)`)
  }
}

/**
 * Seconds since 1970. Symmetric keys have that number, others a text of RFC 3339 with a fraction that both servers
 * cut in their own ways and, for old keys, in the time zone of the node that was asked.
 */
function creationSecond(entry: unknown): number | undefined {
  if (typeof entry === 'number') return Number.isFinite(entry) ? Math.floor(entry) : undefined
  const text = isObject(entry) ? textAt(entry, 'creation_time') : undefined
  const ms = text === undefined ? NaN : Date.parse(text.replace(/\.[0-9]+/, ''))
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1000)
}

function numberAt(parent: JsonObject, name: string): number | undefined {
  const value = parent[name]
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined
}
