/** How is a module initialised, and in which of its slots is the token? */
import { CKR_ARGUMENTS_BAD, CKR_CRYPTOKI_ALREADY_INITIALIZED } from '../shared/ckr.js'
import type { TokenQuery } from '../shared/messages.js'
import { printable, tokenName } from '../shared/token_name.js'
import { call, HsmError } from './cryptoki.js'
import type { Cryptoki, Handle, Pkcs11js, TokenInfo } from './pkcs11js.js'
import { ulong } from './token.js'

/** Initialises the module for use by several threads; only one thread does it. */
export function initialise(p11: Pkcs11js, module: Cryptoki, libraryParameters: string | undefined): void {
  // Without the flag a module may turn its locks off.
  const flags = p11.CKF_OS_LOCKING_OK
  // pkcs11js cuts the last character off.
  const more = libraryParameters === undefined ? {} : { libraryParameters: `${libraryParameters} ` }
  try {
    call('C_Initialize', () => module.C_Initialize({ flags, ...more }))
  } catch (error) {
    if (!(error instanceof HsmError)) throw error
    const { rv, message } = error
    if (rv === CKR_CRYPTOKI_ALREADY_INITIALIZED) return
    const advice =
      libraryParameters === undefined
        ? "check the library's own configuration; some, as NSS, want libraryParameters"
        : 'check libraryParameters; most libraries take none'
    // What it is told is what an operator wrote.
    const code = rv === CKR_ARGUMENTS_BAD ? 'ERR_CONFIG_INVALID' : error.code
    throw new HsmError(code, `the module cannot be initialised (${message}); ${advice}`, error.recovery, rv)
  }
}

/** The module forgets all: sessions, logins, handles. Never fails: what follows shows whether it helped. */
export function finalise(module: Cryptoki): void {
  try {
    module.C_Finalize()
  } catch {
    // It had lost its state already.
  }
}

interface SeenToken {
  readonly slot: Handle
  readonly slotId: number
  readonly info: TokenInfo
}

/**
 * The slot of the one token that matches.
 *
 * @throws {HsmError} `ERR_BACKEND_UNAVAILABLE` when none does (an HSM that is out shows no token), and
 * `ERR_CONFIG_INVALID` when several do or the one has not been initialised.
 */
export function findSlot(p11: Pkcs11js, module: Cryptoki, query: TokenQuery): Handle {
  const seen = call('C_GetSlotList', () => module.C_GetSlotList(true)).flatMap((slot): SeenToken[] => {
    const info = infoOf(module, slot)
    return info === undefined ? [] : [{ slot, slotId: ulong(slot), info }]
  })
  const [match, second] = seen.filter((token) => matches(token, query))
  const wanted = tokenName(query).replace(/^token /, '')
  if (match === undefined) {
    const list = seen.map((token) => described(p11, token)).join(', ')
    throw new HsmError(
      'ERR_BACKEND_UNAVAILABLE',
      `no token matches ${wanted}; the module shows ${list === '' ? 'no token at all' : list}; check the setting and the HSM`,
      'replace',
    )
  }
  if (second !== undefined) {
    const list = seen.filter((token) => matches(token, query)).map((token) => described(p11, token))
    throw new HsmError(
      'ERR_CONFIG_INVALID',
      `${list.length} tokens match ${wanted}: ${list.join(', ')}; add tokenSerial or slot to name one`,
    )
  }
  if ((match.info.flags & p11.CKF_TOKEN_INITIALIZED) === 0) {
    throw new HsmError(
      'ERR_CONFIG_INVALID',
      `the ${tokenName(query)} is not initialised; initialise it with its vendor's tool and set its user PIN`,
    )
  }
  return match.slot
}

function matches(
  { slotId, info }: SeenToken,
  { label, serial, manufacturer, model, slot }: TokenQuery,
): boolean {
  return (
    (slot === undefined || slot === slotId) &&
    (label === undefined || label === unpadded(info.label)) &&
    (serial === undefined || serial === unpadded(info.serialNumber)) &&
    (manufacturer === undefined || manufacturer === unpadded(info.manufacturerID)) &&
    (model === undefined || model === unpadded(info.model))
  )
}

function described(p11: Pkcs11js, { slotId, info }: SeenToken): string {
  if ((info.flags & p11.CKF_TOKEN_INITIALIZED) === 0) return `a token not initialised (slot ${slotId})`
  const serial = unpadded(info.serialNumber)
  return printable(`"${unpadded(info.label)}" (slot ${slotId}${serial === '' ? '' : `, serial ${serial}`})`)
}

/** `undefined` for a slot whose token cannot be asked: it is not the one. */
function infoOf(module: Cryptoki, slot: Handle): TokenInfo | undefined {
  try {
    return module.C_GetTokenInfo(slot)
  } catch {
    return undefined
  }
}

/** Modules pad with spaces or zero bytes. */
export function unpadded(text: string): string {
  return text.replace(/[ \0]+$/, '')
}
