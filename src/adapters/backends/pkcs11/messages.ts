/**
 * What do the plugin and its HSM process say to each other?
 *
 * Both sides share this file, the channel and the table of return values, and nothing else. Bytes are never text, so that no
 * secret becomes a string; the PIN is in no message.
 */
import type { KmsErrorCode } from '../../../ports/errors.js'

/** Format byte of a DEK wrapped with AES-GCM under a 12-byte IV: format 1 ‖ IV 12 ‖ ciphertext 32 ‖ tag 16. */
export const GCM96_FORMAT = 0x01
export const GCM96_BYTES = 61

/** Descriptors that the HSM process inherits. */
export const CHANNEL_FD = 3
export const PIN_FD = 4

/** First bytes of AES-ECB over 16 zero bytes (PKCS#11 v2.40, section 4.8.2). */
export const CHECK_VALUE_BYTES = 3

/** What tells one KEK from another and changes with the key only. */
export interface KekIdentity {
  /** CKA_ID; not empty. */
  readonly ckaId: Uint8Array
  /** {@link CHECK_VALUE_BYTES} bytes. */
  readonly checkValue: Uint8Array
}

/** One piece of work for the token. */
export type HsmRequest =
  | { readonly op: 'identify' | 'inspect' | 'keygen' | 'list' }
  | { readonly op: 'wrap'; readonly dek: Uint8Array }
  | { readonly op: 'unwrap'; readonly wrapped: Uint8Array; readonly identity: KekIdentity }

/** What the token did; `identity` is that of the KEK which did it. */
export interface HsmResult {
  readonly identity: KekIdentity
  /** What `list` saw beside `identity`: the AES keys on the token, whatever their labels. */
  readonly others?: readonly KekIdentity[]
  /** The wrapped DEK of `wrap`, the DEK of `unwrap`; else empty. */
  readonly bytes: Uint8Array
  /** What `inspect` saw: boolean attributes by name, and one line on the token under `token`. */
  readonly facts: Readonly<Record<string, string | boolean>>
}

export interface HsmFailure {
  readonly code: KmsErrorCode
  /** One line, nothing secret. */
  readonly text: string
  /** The process can no longer serve: only a new one brings the device back. */
  readonly replace: boolean
}

/** What the token needs to be found. */
export interface HsmTarget {
  readonly module: string
  readonly tokenLabel: string
  readonly keyLabel: string
  /** Salt of the fingerprints of refused PINs. */
  readonly salt: Uint8Array
}

/** Leave to try the PIN once, if it has none of the `refused` fingerprints. */
export interface LoginGrant {
  readonly refused: readonly string[]
  /** An earlier try of this PIN ended without an answer: do not try again if the token counts a failed login. */
  readonly cautious: boolean
  /** A command asks: it takes no try from a plugin that runs beside it. */
  readonly oneShot: boolean
}

export type ToHsm =
  | { readonly type: 'start'; readonly target: HsmTarget }
  | { readonly type: 'grant'; readonly grant: LoginGrant }
  | { readonly type: 'call'; readonly id: number; readonly request: HsmRequest }

/** How a login ended. */
export type LoginVerdict =
  | { readonly type: 'loggedIn' }
  /** The PIN must never be tried again. */
  | { readonly type: 'pinRefused'; readonly fingerprint: string; readonly text: string }
  /** The token lets in nobody, whatever the PIN, until somebody mends that. */
  | { readonly type: 'barred'; readonly text: string }
  /** The token is locked or about to be, or the tries left are not ours: nothing was tried. */
  | { readonly type: 'notTried'; readonly text: string }

export type FromHsm =
  /** Nobody calls C_Login without the {@link LoginGrant} that answers this. */
  | { readonly type: 'askLogin' }
  /** C_Login is called now. */
  | { readonly type: 'loginStarted' }
  | LoginVerdict
  /** So many calls may be under way at once from now on; the first one ends the start. */
  | { readonly type: 'capacity'; readonly calls: number }
  /** The process cannot serve at all. */
  | { readonly type: 'failed'; readonly failure: HsmFailure }
  | { readonly type: 'done'; readonly id: number; readonly result: HsmResult }
  | { readonly type: 'error'; readonly id: number; readonly failure: HsmFailure }
