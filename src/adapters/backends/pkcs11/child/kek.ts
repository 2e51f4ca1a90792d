/** Which key on the token is the KEK, and what is its identity? */
import { copied } from '../shared/kek_identity.js'
import {
  CHECK_VALUE_BYTES,
  type KekIdentity,
  type KeyKind,
  type KeyQuery,
  type KeyType,
} from '../shared/messages.js'
import { keyName, printable } from '../shared/token_name.js'
import { checkValueOf } from './check_value.js'
import { HsmError } from './cryptoki.js'
import type { Handle, Template } from './pkcs11js.js'
import { rsaBits, rsaCheckValue } from './rsa.js'
import type { Kek } from './strategies/strategy.js'
import type { Token } from './token.js'

const KEK_BYTES = 32
const RSA_BITS: readonly number[] = [2048, 3072, 4096]
/** A search that looks at every match stops here, so that its answer fits into a message. */
const MAX_KEYS = 100
const MAX_NAMED_KEYS = 5
const LISTED_ID_MAX_BYTES = 256

/**
 * Finds the one AES or RSA private key that matches, refuses what cannot be a KEK, and reads its identity from the
 * token.
 *
 * @throws {HsmError} `ERR_KEY_NOT_FOUND`; `ERR_KEY_UNUSABLE` naming the attribute, or every key that matches; or
 * with recovery `login` when nobody is logged in, since a private key is invisible then.
 */
export function findKek(token: Token, session: Handle, query: KeyQuery): Kek {
  const handle = findHandle(token, session, query)
  return { handle, identity: identityOf(token, session, handle, `${keyName(query)} on ${token.name}`) }
}

/**
 * The one AES or RSA private key that matches, whatever its size and its uses.
 *
 * @throws {HsmError} as {@link findKek}.
 */
export function findHandle(token: Token, session: Handle, query: KeyQuery): Handle {
  const where = `${keyName(query)} on ${token.name}`
  const [handle, ...others] = candidates(token, session, templateOf(token, query), query.kind)
  if (handle === undefined) return missing(token, session, query, where)
  if (others.length > 0) {
    const all = [handle, ...others]
    const names = all.slice(0, MAX_NAMED_KEYS).map((key) => described(token, session, key))
    const more = all.length > names.length ? ' and more' : ''
    throw unusable(
      `${all.length} keys are ${where}: ${names.join('; ')}${more}; name one by ckaId, or give each its own`,
    )
  }
  return handle
}

/** The kind of each key that matches. */
export function kindsOf(token: Token, session: Handle, query: KeyQuery): KeyKind[] {
  const kinds: readonly KeyKind[] = ['AES', 'RSA']
  const named = templateOf(token, query)
  return kinds.flatMap((kind) => candidates(token, session, named, kind).map(() => kind))
}

/**
 * Finds the KEK with this identity, whatever its label: labels can be edited, and what it wrapped must open.
 *
 * @throws {HsmError} as {@link findKek}; `ERR_KEY_UNKNOWN` when only other keys have its CKA_ID.
 */
export function findKekById(token: Token, session: Handle, { keyType, ckaId, checkValue }: KekIdentity): Kek {
  const query: KeyQuery = { ckaId }
  const where = `${keyName(query)} on ${token.name}`
  const handles = candidates(token, session, templateOf(token, query))
  if (handles.length === 0) return missing(token, session, query, where)
  for (const handle of handles) {
    const identity = identityIfAny(token, session, handle)
    if (identity?.keyType !== keyType || Buffer.compare(identity.checkValue, checkValue) !== 0) continue
    return { handle, identity }
  }
  throw new HsmError('ERR_KEY_UNKNOWN', `the key ${where} is not the one that wrapped this DEK`)
}

/** The keys on the token that may have been a KEK, {@link MAX_KEYS} at most; in memory of their own. */
export function listKeks(token: Token, session: Handle): KekIdentity[] {
  refuseLoggedOut(token, session)
  const identities: KekIdentity[] = []
  for (const handle of candidates(token, session, [])) {
    const identity = identityIfAny(token, session, handle)
    if (identity === undefined || identity.ckaId.length > LISTED_ID_MAX_BYTES) continue
    identities.push(copied(identity))
  }
  refuseLoggedOut(token, session)
  return identities
}

function templateOf({ p11 }: Token, { label, ckaId }: KeyQuery): Template {
  return [
    ...(label === undefined ? [] : [{ type: p11.CKA_LABEL, value: label }]),
    ...(ckaId === undefined ? [] : [{ type: p11.CKA_ID, value: Buffer.from(ckaId) }]),
  ]
}

/** AES keys and RSA private keys; an HMAC key is neither. */
function candidates(token: Token, session: Handle, named: Template, wanted?: KeyKind): Handle[] {
  const { p11 } = token
  const kinds = [
    ['AES', p11.CKO_SECRET_KEY, p11.CKK_AES],
    ['RSA', p11.CKO_PRIVATE_KEY, p11.CKK_RSA],
  ] as const
  return kinds.flatMap(([name, keyClass, keyType]) => {
    if (wanted !== undefined && name !== wanted) return []
    const kind = [
      { type: p11.CKA_CLASS, value: keyClass },
      { type: p11.CKA_KEY_TYPE, value: keyType },
    ]
    return token.find(session, [...kind, ...named], MAX_KEYS)
  })
}

function missing(token: Token, session: Handle, query: KeyQuery, where: string): never {
  refuseLoggedOut(token, session)
  // A token that is gone shows no keys either, and that is an outage.
  token.info()
  // Another thread may have logged in since the search.
  if (candidates(token, session, templateOf(token, query), query.kind).length > 0) {
    throw new HsmError('ERR_BACKEND_UNAVAILABLE', 'the login came during the search', 'reopen')
  }
  const [other] = token.find(session, templateOf(token, query))
  if (other !== undefined) {
    throw unusable(
      `${where} is ${kindOf(token, session, other)}, neither an AES nor an RSA private key (CKA_CLASS, CKA_KEY_TYPE); name another key`,
    )
  }
  const isHex = query.ckaId !== undefined && /^[0-9a-f]+$/i.test(Buffer.from(query.ckaId).toString('latin1'))
  const hint = isHex ? ' (a uri writes bytes as id=%0f%3a)' : ''
  throw new HsmError(
    'ERR_KEY_NOT_FOUND',
    `there is no AES or RSA private key ${where}; check keyLabel and ckaId${hint}, or make the key with kmsplugin keygen`,
  )
}

/** @throws {HsmError} with recovery `login` when nobody is logged in: no key is seen then. */
export function refuseLoggedOut(token: Token, session: Handle): void {
  if (token.isLoggedIn(session)) return
  throw new HsmError('ERR_BACKEND_UNAVAILABLE', 'the HSM session is not logged in', 'login')
}

function identityOf(token: Token, session: Handle, handle: Handle, where: string): KekIdentity {
  const keyType = keyTypeOf(token, session, handle, where)
  const ckaId = token.attribute(session, handle, token.p11.CKA_ID)
  if (ckaId === undefined || ckaId.length === 0) {
    throw unusable(
      `${where} has no CKA_ID; make a key with \`kmsplugin keygen\`, or set its CKA_ID once, before its first use`,
    )
  }
  if (keyType !== 'AES-256') {
    const checkValue = rsaCheckValue(token, session, handle)
    if (checkValue === undefined) throw unusable(`${where} does not tell CKA_MODULUS and CKA_PUBLIC_EXPONENT`)
    return { keyType, ckaId, checkValue }
  }
  const told = token.attribute(session, handle, token.p11.CKA_CHECK_VALUE)
  const checkValue = told?.length === CHECK_VALUE_BYTES ? told : checkValueOf(token, session, handle, where)
  return { keyType, ckaId, checkValue }
}

function keyTypeOf(token: Token, session: Handle, handle: Handle, where: string): KeyType {
  const { CKA_CLASS, CKA_VALUE_LEN, CKO_PRIVATE_KEY } = token.p11
  if (token.number(session, handle, CKA_CLASS) === CKO_PRIVATE_KEY) {
    const bits = rsaBits(token, session, handle)
    if (RSA_BITS.includes(bits)) return `RSA-${bits}` as KeyType
    throw unusable(`${where} is an RSA key of ${bits} bits; a KEK has ${RSA_BITS.join(', ')}`)
  }
  const bytes = token.number(session, handle, CKA_VALUE_LEN)
  if (bytes === KEK_BYTES) return 'AES-256'
  const size = bytes === undefined ? 'a size that the token does not tell' : `${8 * bytes} bits`
  throw unusable(
    `${where} is an AES key of ${size} (CKA_VALUE_LEN ${bytes ?? 'not told'}, not ${KEK_BYTES}); make one of 256 bits with \`kmsplugin keygen\``,
  )
}

/** `undefined` for a key that cannot have been a KEK. */
function identityIfAny(token: Token, session: Handle, handle: Handle): KekIdentity | undefined {
  try {
    return identityOf(token, session, handle, 'a key')
  } catch (error) {
    if (error instanceof HsmError && error.code === 'ERR_KEY_UNUSABLE') return undefined
    throw error
  }
}

function described(token: Token, session: Handle, handle: Handle): string {
  const { CKA_CLASS, CKA_ID, CKA_LABEL, CKO_PRIVATE_KEY } = token.p11
  const kind = token.number(session, handle, CKA_CLASS) === CKO_PRIVATE_KEY ? 'RSA' : 'AES'
  const label = printable(token.attribute(session, handle, CKA_LABEL)?.toString('utf8').slice(0, 32) ?? '')
  const ckaId = token.attribute(session, handle, CKA_ID)?.toString('hex').slice(0, 64) ?? ''
  return `${kind} "${label}" with ${ckaId === '' ? 'no CKA_ID' : `CKA_ID ${ckaId}`}`
}

/** What an object is that is no KEK, as in `an EC private key`. */
function kindOf(token: Token, session: Handle, handle: Handle): string {
  const { p11 } = token
  const keyClass = token.number(session, handle, p11.CKA_CLASS)
  if (keyClass === p11.CKO_CERTIFICATE) return 'a certificate'
  const classes: readonly (readonly [keyClass: number, name: string])[] = [
    [p11.CKO_SECRET_KEY, 'secret key'],
    [p11.CKO_PRIVATE_KEY, 'private key'],
    [p11.CKO_PUBLIC_KEY, 'public key'],
  ]
  const name = classes.find(([each]) => each === keyClass)?.[1]
  if (name === undefined) return 'an object that is no key'
  const keyType = token.number(session, handle, p11.CKA_KEY_TYPE)
  const types: readonly (readonly [keyType: number, article: string])[] = [
    [p11.CKK_RSA, 'an RSA'],
    [p11.CKK_EC, 'an EC'],
    [p11.CKK_DES3, 'a triple DES'],
    [p11.CKK_GENERIC_SECRET, 'a generic'],
    [p11.CKK_SHA256_HMAC, 'an HMAC'],
  ]
  const article = types.find(([each]) => each === keyType)?.[1]
  return article === undefined ? `a ${name} of another type` : `${article} ${name}`
}

function unusable(text: string): HsmError {
  return new HsmError('ERR_KEY_UNUSABLE', text)
}
