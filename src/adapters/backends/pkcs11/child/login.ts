/**
 * How does this process log in without ever locking a token?
 *
 * Rule: C_Login is called here only, by one thread, after the plugin granted it; never with a PIN that the token
 * refused before, and never while the token says that the next wrong PIN locks it.
 */
import { scryptSync } from 'node:crypto'
import { readSync } from 'node:fs'
import { CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE, CKR_USER_ALREADY_LOGGED_IN } from '../ckr.js'
import { PIN_FD, type LoginGrant, type LoginVerdict } from '../messages.js'
import { call, HsmError } from './cryptoki.js'
import type { Handle } from './pkcs11js.js'
import type { Token } from './token.js'

const PIN_FILE_MAX_BYTES = 4096
const FINGERPRINT_BYTES = 32

/** Answers that are about this PIN; the others of a refused login would be the same for the right one. */
const wrongPin: readonly (number | undefined)[] = [CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE]

/**
 * @param session An open session; closing the last one would log out.
 * @param onTry Called when C_Login is about to be called.
 * @throws {HsmError} when the token's answer says nothing about the PIN.
 */
export function login(
  token: Token,
  session: Handle,
  salt: Uint8Array,
  grant: LoginGrant,
  onTry: () => void,
): LoginVerdict {
  if (token.isLoggedIn(session)) return { type: 'loggedIn' }
  const name = `token "${token.label}"`
  const { flags } = token.info()
  const { CKF_USER_PIN_LOCKED, CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_COUNT_LOW, CKU_USER } = token.p11
  if ((flags & CKF_USER_PIN_LOCKED) !== 0) {
    return { type: 'notTried', text: `the user PIN of ${name} is locked; unlock it as its security officer` }
  }
  if ((flags & CKF_USER_PIN_FINAL_TRY) !== 0) {
    return {
      type: 'notTried',
      text: `the next wrong PIN locks ${name}; log in once by hand with the right PIN`,
    }
  }
  if (grant.oneShot && (flags & CKF_USER_PIN_COUNT_LOW) !== 0) {
    return {
      type: 'notTried',
      text: `a login to ${name} failed recently, and a command takes no try from the plugin; run it again with the right PIN after one successful login, by hand or by the plugin`,
    }
  }
  const pin = readPin()
  const fingerprint = (): string => fingerprintOf(pin, salt)
  // Slow to compute, so only where it is needed.
  if (grant.refused.length > 0) {
    const known = fingerprint()
    if (grant.refused.includes(known)) {
      const text = `${name} refused this PIN before and was not asked again`
      return { type: 'pinRefused', fingerprint: known, text }
    }
  }
  if (grant.cautious && (flags & CKF_USER_PIN_COUNT_LOW) !== 0) {
    const text = `an earlier login to ${name} ended without an answer, and it counts a failed login since`
    return { type: 'pinRefused', fingerprint: fingerprint(), text }
  }
  onTry()
  try {
    call('C_Login', () => token.module.C_Login(session, CKU_USER, pin))
  } catch (error) {
    if (!(error instanceof HsmError)) throw error
    if (error.rv === CKR_USER_ALREADY_LOGGED_IN) return { type: 'loggedIn' }
    if (error.code !== 'ERR_LOGIN_REFUSED') throw error
    if (!wrongPin.includes(error.rv)) {
      return { type: 'barred', text: `${name} refused the login (${error.message})` }
    }
    return {
      type: 'pinRefused',
      fingerprint: fingerprint(),
      text: `${name} refused the PIN (${error.message})`,
    }
  }
  return { type: 'loggedIn' }
}

/** By position: the descriptor's offset is shared with every process that inherited it. pkcs11js wants a string. */
function readPin(): string {
  const bytes = Buffer.allocUnsafeSlow(PIN_FILE_MAX_BYTES)
  try {
    const length = readSync(PIN_FD, bytes, 0, bytes.length, 0)
    const pin = bytes.toString('utf8', 0, length).replace(/\r?\n$/, '')
    if (pin === '')
      throw new HsmError('ERR_CONFIG_INVALID', 'the PIN file holds no PIN; write it into the file')
    return pin
  } finally {
    bytes.fill(0)
  }
}

/** Slow to compute, since a PIN is short; the salt is the plugin's, made at its start. */
function fingerprintOf(pin: string, salt: Uint8Array): string {
  return scryptSync(pin, salt, FINGERPRINT_BYTES).toString('hex')
}
