/** Which key on the token is the KEK, may it be used, and what is its identity? */
import { CHECK_VALUE_BYTES, type KekIdentity } from '../messages.js'
import { HsmError } from './cryptoki.js'
import type { Handle, Template } from './pkcs11js.js'
import type { Token } from './token.js'

const AES_BLOCK_BYTES = 16
const KEK_BYTES = 32

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
  const { CKA_CLASS, CKO_SECRET_KEY, CKA_KEY_TYPE, CKK_AES, CKA_LABEL } = token.p11
  const named: Template = [{ type: CKA_LABEL, value: label }]
  const [handle, second] = token.find(session, [
    { type: CKA_CLASS, value: CKO_SECRET_KEY },
    { type: CKA_KEY_TYPE, value: CKK_AES },
    ...named,
  ])
  const where = `"${label}" on token "${token.label}"`
  if (handle === undefined) return missing(token, session, named, where)
  if (second !== undefined) throw unusable(`several AES keys are called ${where}`)
  refuseUnfit(token, session, handle, where)
  return { handle, identity: identityOf(token, session, handle, where) }
}

/** Attributes that tell a good KEK from one that merely works. */
export function kekFlags(token: Token, session: Handle, handle: Handle): Record<string, boolean> {
  const flags: Record<string, boolean> = {}
  for (const name of ['CKA_SENSITIVE', 'CKA_EXTRACTABLE', 'CKA_WRAP', 'CKA_UNWRAP'] as const) {
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

function missing(token: Token, session: Handle, named: Template, where: string): never {
  if (!token.isLoggedIn(session)) {
    throw new HsmError('ERR_BACKEND_UNAVAILABLE', `token "${token.label}" has logged us out`, 'login')
  }
  // A token that went away still finds nothing without an error; asking for its label does fail.
  token.info()
  if (token.find(session, named).length > 0) {
    throw unusable(`${where} is no AES secret key (CKA_CLASS, CKA_KEY_TYPE)`)
  }
  throw new HsmError('ERR_KEY_NOT_FOUND', `there is no AES key ${where}`)
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
    throw unusable(`${where} has no CKA_ID; make a key with \`kmsplugin keygen\` or set its CKA_ID`)
  }
  const told = token.attribute(session, handle, token.p11.CKA_CHECK_VALUE)
  const checkValue = told?.length === CHECK_VALUE_BYTES ? told : computedCheckValue(token, handle, where)
  return { ckaId, checkValue }
}

function unusable(text: string): HsmError {
  return new HsmError('ERR_KEY_UNUSABLE', text)
}
