/**
 * How does this process log in without ever locking a token?
 *
 * Rule: C_Login is called here only, by one thread, after the plugin granted it; never with a PIN that the token
 * refused before, never while the token says that the next wrong PIN locks it, and while it says that a login failed
 * only where somebody would know if it had been with this PIN. docs/adr/0008-pin-guard.md has the reasons.
 */
import { isUtf8 } from 'node:buffer'
import { scryptSync } from 'node:crypto'
import { readSync } from 'node:fs'
import {
  CKR_PIN_INCORRECT,
  CKR_PIN_INVALID,
  CKR_PIN_LEN_RANGE,
  CKR_USER_ALREADY_LOGGED_IN,
  CKR_USER_PIN_NOT_INITIALIZED,
} from '../shared/ckr.js'
import { PIN_FD, type FromHsm, type LoginGrant, type LoginVerdict } from '../shared/messages.js'
import { call, HsmError } from './cryptoki.js'
import type { Handle } from './pkcs11js.js'
import type { Token } from './token.js'

const PIN_FILE_MAX_BYTES = 4096
const FINGERPRINT_BYTES = 32
/** 64 MiB and some 0.2 s for each guess at a PIN, which is short (RFC 7914). */
const SCRYPT = { N: 2 ** 16, r: 8, p: 1, maxmem: 2 ** 27 } as const

/** Answers that are about this PIN; the others of a refused login would be the same for the right one. */
const wrongPin: readonly (number | undefined)[] = [CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE]

/** What is told before the verdict. */
type LoginStep = Extract<FromHsm, { type: 'loginStarted' | 'loginRefused' }>

/** Why a login is not tried while the token counts a failed one. Whatever works clears the count. */
const failedBefore = {
  spare: 'failed recently, and a command takes no try from the plugin',
  unanswered: 'failed, and an earlier one of ours ended without an answer: it may have been with this PIN',
  unremembered: 'failed, and nothing here would know if it was with this PIN; server.stateDir would',
} as const

const BY_HAND =
  'log in to it once by hand with the right PIN, as with `pkcs11-tool --login --list-objects`; the plugin then goes on by itself'

/**
 * @param session An open session; closing the last one would log out.
 * @param report Told when C_Login is about to be called, and at once when the PIN was refused.
 * @throws {HsmError} when the token's answer says nothing about the PIN.
 */
export function login(
  token: Token,
  session: Handle,
  grant: LoginGrant,
  report: (step: LoginStep) => void,
): LoginVerdict {
  if (token.isLoggedIn(session)) return { type: 'loggedIn', untried: true }
  const { name } = token
  const { flags } = token.info()
  const { CKF_USER_PIN_LOCKED, CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_COUNT_LOW, CKU_USER } = token.p11
  if ((flags & CKF_USER_PIN_LOCKED) !== 0) {
    const text = `the user PIN of ${name} is locked; unlock it as its security officer; the plugin then goes on by itself`
    return { type: 'notTried', text }
  }
  if ((flags & CKF_USER_PIN_FINAL_TRY) !== 0) {
    return { type: 'notTried', text: `the next wrong PIN locks ${name}; ${BY_HAND}` }
  }
  const { pin, flaw } = readPin()
  if (flaw !== undefined) return { type: 'noPin', text: flaw }
  // Slow to compute, so only where it is needed.
  const known = knownFingerprint(pin, grant.refused)
  if (known !== undefined) {
    const text = `${name} refused this PIN before and was not asked again`
    return { type: 'pinRefused', fingerprint: known, text }
  }
  if ((flags & CKF_USER_PIN_COUNT_LOW) !== 0 && grant.ifCountLow !== 'try') {
    const text = `a login to ${name} ${failedBefore[grant.ifCountLow]}; ${BY_HAND}`
    return { type: 'notTried', text }
  }
  report({ type: 'loginStarted' })
  try {
    call('C_Login', () => token.module.C_Login(session, CKU_USER, pin))
  } catch (error) {
    if (!(error instanceof HsmError)) throw error
    if (error.rv === CKR_USER_ALREADY_LOGGED_IN) return { type: 'loggedIn', untried: true }
    if (error.code !== 'ERR_LOGIN_REFUSED') throw error
    // Costs no try, so that it can be repeated until there is one.
    if (error.rv === CKR_USER_PIN_NOT_INITIALIZED) {
      const text = `the user PIN of ${name} is not set; set it as its security officer, to what the PIN file holds; the plugin then goes on by itself`
      return { type: 'notTried', text }
    }
    if (!wrongPin.includes(error.rv)) {
      return { type: 'barred', text: `${name} refused the login (${error.message})` }
    }
    const text = `${name} refused the PIN (${error.message})`
    report({ type: 'loginRefused', text })
    return { type: 'pinRefused', fingerprint: newFingerprint(pin, grant.salt), text }
  }
  return { type: 'loggedIn' }
}

/**
 * By position: the descriptor's offset is shared with every process that inherited it. pkcs11js wants a string.
 *
 * @returns `flaw` where no token could have this PIN: a try must not be spent on it.
 */
function readPin(): { readonly pin: string; readonly flaw?: string } {
  const bytes = Buffer.allocUnsafeSlow(PIN_FILE_MAX_BYTES)
  try {
    const content = bytes.subarray(0, readSync(PIN_FD, bytes, 0, bytes.length, 0))
    if (!isUtf8(content)) return { pin: '', flaw: 'is no UTF-8 text; write the PIN as plain text' }
    const pin = content.toString('utf8').replace(/\r?\n$/, '')
    if (pin === '') return { pin, flaw: 'holds no PIN; write it into the file' }
    if (pin.startsWith('\uFEFF')) return { pin: '', flaw: 'begins with a byte order mark; save it without' }
    if (/\p{Cc}/u.test(pin)) {
      const flaw = 'holds a second line, a NUL or another control character; it holds the PIN alone'
      return { pin: '', flaw }
    }
    return { pin }
  } finally {
    bytes.fill(0)
  }
}

/** The one of these fingerprints that is the PIN's. @throws where it cannot be told: then nothing is tried. */
function knownFingerprint(pin: string, refused: readonly string[]): string | undefined {
  const salts = [...new Set(refused.map((fingerprint) => fingerprint.split(':')[0] ?? ''))]
  return salts.map((salt) => fingerprintOf(pin, salt)).find((fingerprint) => refused.includes(fingerprint))
}

/** Empty where this machine cannot compute it: a refusal is told in any case. */
function newFingerprint(pin: string, salt: string): string {
  try {
    return fingerprintOf(pin, salt)
  } catch {
    return ''
  }
}

/** @param salt In hexadecimal; new fingerprints take that of the others, so that one computation is enough. */
function fingerprintOf(pin: string, salt: string): string {
  return `${salt}:${scryptSync(pin, Buffer.from(salt, 'hex'), FINGERPRINT_BYTES, SCRYPT).toString('hex')}`
}
