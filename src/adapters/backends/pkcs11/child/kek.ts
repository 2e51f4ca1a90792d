/** Which key on the token is the KEK, may it be used, and what is its identity? */
import { CHECK_VALUE_BYTES, type KekIdentity } from '../messages.js'
import { HsmError } from './cryptoki.js'
import type { Handle, Template } from './pkcs11js.js'
import type { Token } from './token.js'

const AES_BLOCK_BYTES = 16
const KEK_BYTES = 32
/** A search that looks at every match stops here, so that its answer fits into a message. */
const MAX_KEYS = 100
const LISTED_ID_MAX_BYTES = 256

export interface Kek {
  readonly handle: Handle
  readonly identity: KekIdentity
}

/**
 * Finds the one AES key with this label, refuses what is no KEK, and reads its identity from the token.
 *
 * @throws {HsmError} `ERR_KEY_NOT_FOUND`; `ERR_KEY_UNUSABLE` naming the attribute; or with recovery `login` when
 * nobody is logged in, since a private key is invisible then.
 */
export function findKek(token: Token, session: Handle, label: string): Kek {
  const named: Template = [{ type: token.p11.CKA_LABEL, value: label }]
  const [handle, second] = token.find(session, [...aesKey(token), ...named])
  const where = `"${label}" on token "${token.label}"`
  if (handle === undefined) return missing(token, session, named, where)
  if (second !== undefined)
    throw unusable(`several AES keys are called ${where}; give the KEK a label of its own`)
  refuseUnfit(token, session, handle, where)
  return { handle, identity: identityOf(token, session, handle, where) }
}

/**
 * Finds the KEK with this identity, whatever its label: labels can be edited, and what it wrapped must open.
 *
 * @throws {HsmError} as {@link findKek}; `ERR_KEY_UNKNOWN` when only other keys have its CKA_ID.
 */
export function findKekById(token: Token, session: Handle, { ckaId, checkValue }: KekIdentity): Kek {
  const named: Template = [{ type: token.p11.CKA_ID, value: Buffer.from(ckaId) }]
  const where = `with CKA_ID ${Buffer.from(ckaId).toString('hex')} on token "${token.label}"`
  const handles = token.find(session, [...aesKey(token), ...named], MAX_KEYS)
  if (handles.length === 0) return missing(token, session, named, where)
  for (const handle of handles) {
    const identity = identityIfAny(token, session, handle)
    if (identity === undefined || Buffer.compare(identity.checkValue, checkValue) !== 0) continue
    refuseUnfit(token, session, handle, `the key ${where}`)
    return { handle, identity }
  }
  throw new HsmError('ERR_KEY_UNKNOWN', `the key ${where} is not the one that wrapped this DEK`)
}

/** The AES keys on the token that have an identity, {@link MAX_KEYS} at most; in memory of their own. */
export function listKeks(token: Token, session: Handle): KekIdentity[] {
  refuseLoggedOut(token, session)
  const identities: KekIdentity[] = []
  for (const handle of token.find(session, aesKey(token), MAX_KEYS)) {
    const identity = identityIfAny(token, session, handle)
    if (identity === undefined || identity.ckaId.length > LISTED_ID_MAX_BYTES) continue
    const { ckaId, checkValue } = identity
    identities.push({ ckaId: Uint8Array.from(ckaId), checkValue: Uint8Array.from(checkValue) })
  }
  return identities
}

const kekFlagNames = ['CKA_SENSITIVE', 'CKA_EXTRACTABLE', 'CKA_WRAP', 'CKA_UNWRAP', 'CKA_MODIFIABLE'] as const

/** Attributes that tell a good KEK from one that merely works. */
export function kekFlags(token: Token, session: Handle, handle: Handle): Record<string, boolean> {
  const flags: Record<string, boolean> = {}
  for (const name of kekFlagNames) {
    const flag = token.flag(session, handle, token.p11[name])
    if (flag !== undefined) flags[name] = flag
  }
  return flags
}

/**
 * The check value, made by the token itself: the first bytes of AES over a block of zeros (PKCS#11 v2.40, section
 * 4.8.2). CBC with a zero IV is the same block, for tokens that keep ECB off.
 */
export function computedCheckValue(token: Token, handle: Handle, where: string): Buffer {
  const iv = Buffer.alloc(AES_BLOCK_BYTES)
  const mechanisms = [
    { mechanism: token.p11.CKM_AES_ECB },
    { mechanism: token.p11.CKM_AES_CBC, parameter: iv },
  ]
  const reasons: string[] = []
  for (const mechanism of mechanisms) {
    try {
      return token.inSession('read', (session) => {
        const zeros = Buffer.alloc(AES_BLOCK_BYTES)
        const block = token.encrypt(session, mechanism, handle, zeros, AES_BLOCK_BYTES)
        if (block.length !== AES_BLOCK_BYTES) throw unusable('the token encrypts a block to another length')
        const checkValue = Buffer.from(block.subarray(0, CHECK_VALUE_BYTES))
        // The block is the hash subkey of GCM under the same key.
        block.fill(0)
        return checkValue
      })
    } catch (error) {
      if (!(error instanceof HsmError && error.code === 'ERR_KEY_UNUSABLE')) throw error
      reasons.push(error.message)
    }
  }
  throw unusable(`${where} has no CKA_CHECK_VALUE and none can be made: ${reasons.join('; ')}`)
}

function aesKey({ p11 }: Token): Template {
  return [
    { type: p11.CKA_CLASS, value: p11.CKO_SECRET_KEY },
    { type: p11.CKA_KEY_TYPE, value: p11.CKK_AES },
  ]
}

function refuseLoggedOut(token: Token, session: Handle): void {
  if (token.isLoggedIn(session)) return
  throw new HsmError('ERR_BACKEND_UNAVAILABLE', `token "${token.label}" has logged us out`, 'login')
}

function missing(token: Token, session: Handle, named: Template, where: string): never {
  refuseLoggedOut(token, session)
  // A token that went away still finds nothing without an error; asking for its label does fail.
  token.info()
  if (token.find(session, named).length > 0) {
    throw unusable(`${where} is no AES secret key (CKA_CLASS, CKA_KEY_TYPE); name another keyLabel`)
  }
  throw new HsmError(
    'ERR_KEY_NOT_FOUND',
    `there is no AES key ${where}; check keyLabel, or make the key with kmsplugin keygen`,
  )
}

function refuseUnfit(token: Token, session: Handle, handle: Handle, where: string): void {
  const bytes = token.number(session, handle, token.p11.CKA_VALUE_LEN)
  if (bytes !== KEK_BYTES) {
    throw unusable(`${where} has CKA_VALUE_LEN ${bytes ?? 'not known'}, not ${KEK_BYTES}`)
  }
  for (const name of ['CKA_ENCRYPT', 'CKA_DECRYPT'] as const) {
    if (token.flag(session, handle, token.p11[name]) !== true) {
      throw unusable(`${where} does not have ${name} true`)
    }
  }
}

function identityOf(token: Token, session: Handle, handle: Handle, where: string): KekIdentity {
  const ckaId = token.attribute(session, handle, token.p11.CKA_ID)
  if (ckaId === undefined || ckaId.length === 0) {
    throw unusable(
      `${where} has no CKA_ID; make a key with \`kmsplugin keygen\`, or set its CKA_ID once, before its first use`,
    )
  }
  const told = token.attribute(session, handle, token.p11.CKA_CHECK_VALUE)
  const checkValue = told?.length === CHECK_VALUE_BYTES ? told : computedCheckValue(token, handle, where)
  return { ckaId, checkValue }
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

function unusable(text: string): HsmError {
  return new HsmError('ERR_KEY_UNUSABLE', text)
}
