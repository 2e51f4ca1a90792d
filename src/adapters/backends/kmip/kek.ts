/** What is known of a KEK, what names it, and may it be used? */
import { KmsError } from '../../../ports/errors.js'
import type { KeyId } from '../../../ports/key_id.js'
import { keyIdOf } from '../identity.js'
import { all, optional, required, type Fields } from './fields.js'
import { ALGORITHM_AES, NAME_TYPE_TEXT, OBJECT_TYPE_SYMMETRIC_KEY, states, tags, usages } from './tags.js'

/** The attributes of a key, as far as the server tells them. Dates are seconds since 1970. */
export interface Kek {
  readonly uid: string
  readonly names: readonly string[]
  readonly objectType: number | undefined
  readonly state: number | undefined
  readonly algorithm: number | undefined
  readonly lengthBits: number | undefined
  readonly usageMask: number | undefined
  readonly initialDate: bigint | undefined
  readonly activationDate: bigint | undefined
  readonly deactivationDate: bigint | undefined
  readonly protectStopDate: bigint | undefined
}

const KEK_BITS = 256

/** @param attributes Each under its own tag. */
export function kekIn(uid: string, attributes: Fields): Kek {
  return {
    uid,
    names: all(attributes, tags.NAME, 'structure')
      .filter((name) => optional(name, tags.NAME_TYPE, 'enumeration') === NAME_TYPE_TEXT)
      .map((name) => required(name, tags.NAME_VALUE, 'text')),
    objectType: optional(attributes, tags.OBJECT_TYPE, 'enumeration'),
    state: optional(attributes, tags.STATE, 'enumeration'),
    algorithm: optional(attributes, tags.CRYPTOGRAPHIC_ALGORITHM, 'enumeration'),
    lengthBits: optional(attributes, tags.CRYPTOGRAPHIC_LENGTH, 'integer'),
    usageMask: optional(attributes, tags.CRYPTOGRAPHIC_USAGE_MASK, 'integer'),
    initialDate: optional(attributes, tags.INITIAL_DATE, 'dateTime'),
    activationDate: optional(attributes, tags.ACTIVATION_DATE, 'dateTime'),
    deactivationDate: optional(attributes, tags.DEACTIVATION_DATE, 'dateTime'),
    protectStopDate: optional(attributes, tags.PROTECT_STOP_DATE, 'dateTime'),
  }
}

/**
 * The unique identifier and the Initial Date, which a server sets once when a key comes into being and nobody can edit.
 * Identifiers of some servers are small numbers, so they alone would name keys of two servers alike; the name of the
 * server is not used, since DNS and load balancers change it under a key that stays. A key has no versions: a rotated
 * one has another identifier.
 */
export function keyIdOfKek({ uid, initialDate }: Kek): KeyId {
  return keyIdOf('kmip', [uid, initialDate?.toString() ?? ''])
}

/**
 * Whether the KEK made a key id, also one of a time when the server did not tell the date; `undefined` where it does
 * not tell the date now, so that only an unwrap says: a tag decides, not a name.
 */
export function made(kek: Kek, keyId: KeyId): boolean | undefined {
  const isNamed = [kek, { ...kek, initialDate: undefined }].some((one) => keyIdOfKek(one) === keyId)
  return isNamed || kek.initialDate !== undefined ? isNamed : undefined
}

/** What a state means for an operator. Active is not here. */
const stateRows: Readonly<Record<number, readonly [KmsError['code'], string]>> = {
  [states.PRE_ACTIVE]: ['ERR_KEY_DISABLED', 'is pre-active; activate it'],
  [states.DEACTIVATED]: [
    'ERR_KEY_DISABLED',
    'is deactivated: it may open old values, where the server lets it, and seals no new ones; have a new key as primary, and keep this one beside it',
  ],
  [states.COMPROMISED]: [
    'ERR_KEY_DISABLED',
    'is marked as compromised; have a new key as primary, and have everything under this one rewritten',
  ],
  [states.DESTROYED]: ['ERR_KEY_NOT_FOUND', 'is destroyed; restore it from its backup'],
  [states.DESTROYED_COMPROMISED]: ['ERR_KEY_NOT_FOUND', 'is destroyed, and was marked as compromised'],
}

export const stateNames: Readonly<Record<number, string>> = {
  [states.PRE_ACTIVE]: 'Pre-Active',
  [states.ACTIVE]: 'Active',
  [states.DEACTIVATED]: 'Deactivated',
  [states.COMPROMISED]: 'Compromised',
  [states.DESTROYED]: 'Destroyed',
  [states.DESTROYED_COMPROMISED]: 'Destroyed Compromised',
}

/** Why the state of the key forbids its use; `undefined` where it does not, or the server does not tell it. */
export function stateRefusal(kek: Kek, service: string): KmsError | undefined {
  if (kek.state === undefined || kek.state === states.ACTIVE) return undefined
  const [code, text] = stateRows[kek.state] ?? ['ERR_KEY_UNUSABLE', `has the unknown state ${kek.state}`]
  return new KmsError(code, `the key ${kek.uid} of ${service} ${text}`)
}

/** Why it can never wrap and unwrap, whatever its state. */
export function kindRefusal(kek: Kek, service: string): KmsError | undefined {
  const differs = (is: number | undefined, wanted: number) => is !== undefined && is !== wanted
  const refused = (text: string) =>
    new KmsError(
      'ERR_KEY_UNUSABLE',
      `the key ${kek.uid} of ${service} ${text}; make an AES-256 key that may Encrypt and Decrypt`,
    )
  if (differs(kek.objectType, OBJECT_TYPE_SYMMETRIC_KEY)) return refused('is no symmetric key')
  if (differs(kek.algorithm, ALGORITHM_AES)) return refused('is no AES key')
  if (differs(kek.lengthBits, KEK_BITS)) return refused(`has ${kek.lengthBits ?? 0} bits`)
  const missing = [
    ...(mayUse(kek, usages.ENCRYPT) ? [] : ['Encrypt']),
    ...(mayUse(kek, usages.DECRYPT) ? [] : ['Decrypt']),
  ]
  return missing.length === 0 ? undefined : refused(`may not ${missing.join(' and ')} by its usage mask`)
}

/** A server that does not tell the mask says so when it is asked to encrypt. */
function mayUse({ usageMask }: Kek, usage: number): boolean {
  return usageMask === undefined || (usageMask & usage) !== 0
}

/** @throws {KmsError} When no new DEK may be wrapped with it. */
export function assertMayWrap(kek: Kek, service: string): void {
  const refusal = stateRefusal(kek, service) ?? kindRefusal(kek, service)
  if (refusal !== undefined) throw refusal
}

/** Standards let a key in these open what it sealed; whether the server does, it says when it is asked. */
const mayStillOpen: readonly number[] = [states.ACTIVE, states.DEACTIVATED, states.COMPROMISED]

/** @throws {KmsError} When it can open nothing, whatever the server lets it. */
export function assertMayOpen(kek: Kek, service: string): void {
  const mayByState = mayStillOpen.includes(kek.state ?? states.ACTIVE)
  const refusal = mayByState ? undefined : stateRefusal(kek, service)
  const wrong = refusal ?? (mayUse(kek, usages.DECRYPT) ? undefined : kindRefusal(kek, service))
  if (wrong !== undefined) throw wrong
}

const DAY_SECONDS = 86_400n
/** Before a key stops by itself, its successor must be at work. */
const SOON_DAYS = 30n

/** What stops by itself within 30 days, in words; empty where nothing does. */
export function endings(kek: Kek, wallMs: number): readonly string[] {
  const untilSeconds = BigInt(Math.floor(wallMs / 1000)) + SOON_DAYS * DAY_SECONDS
  const rows: readonly (readonly [bigint | undefined, string])[] = [
    [kek.protectStopDate, 'the server lets it seal nothing'],
    [kek.deactivationDate, 'it is deactivated'],
  ]
  return rows
    .filter(([date]) => date !== undefined && date < untilSeconds)
    .map(([date, what]) => `${what} from ${dateText(date) ?? ''} on`)
}

/** ISO 8601. */
export function dateText(seconds: bigint | undefined): string | undefined {
  if (seconds === undefined) return undefined
  const date = new Date(Number(seconds) * 1000)
  return Number.isNaN(date.getTime()) ? 'a date out of range' : date.toISOString()
}
