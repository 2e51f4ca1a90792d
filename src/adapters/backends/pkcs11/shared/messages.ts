/**
 * What do the plugin and its HSM process say to each other?
 *
 * Both sides share this file, the channel and the table of return values, and nothing else. Bytes are never text, so that no
 * secret becomes a string; the PIN is in no message.
 */
import type { KmsErrorCode } from '../../../../ports/errors.js'
import type { NativeAlgorithm } from '../../../../ports/foreign.js'
import type { MechanismName, WeaknessName } from './mechanisms.js'

/** Descriptors that the HSM process inherits. */
export const CHANNEL_FD = 3
export const PIN_FD = 4

/** First bytes of AES-ECB over 16 zero bytes (PKCS#11 v2.40, section 4.8.2). */
export const CHECK_VALUE_BYTES = 3
/** SHA-256 over modulus ‖ public exponent, each a big-endian number without leading zeros. */
export const RSA_CHECK_VALUE_BYTES = 32

/** First bytes of SHA-256 over an HMAC of a text that nothing else is an HMAC of. */
export const MAC_CHECK_VALUE_BYTES = 8

export type KeyType = 'AES-256' | 'RSA-2048' | 'RSA-3072' | 'RSA-4096'

/** What tells one KEK from another and changes with the key only. */
export interface KekIdentity {
  readonly keyType: KeyType
  /** CKA_ID; not empty. */
  readonly ckaId: Uint8Array
  /** {@link CHECK_VALUE_BYTES} bytes, or {@link RSA_CHECK_VALUE_BYTES} of an RSA key. */
  readonly checkValue: Uint8Array
}

/** One piece of work for the token. */
export type HsmRequest =
  /** `seals`: also whether and how the KEK wraps. What only opens must not fail for want of that. */
  | { readonly op: 'identify'; readonly seals: boolean }
  | { readonly op: 'inspect' | 'keygen' | 'list' }
  | { readonly op: 'wrap'; readonly dek: Uint8Array }
  | { readonly op: 'unwrap'; readonly wrapped: Uint8Array; readonly identity: KekIdentity }
  | DecryptRequest

/** Work with the KEK and for our own wrapped DEKs. */
export type KekRequest = Exclude<HsmRequest, DecryptRequest>

/**
 * To decrypt what another program had a key of this token encrypt, or for `HMAC-SHA256` to make the MAC of `bytes`.
 */
export interface DecryptRequest {
  readonly op: 'decrypt'
  readonly algorithm: NativeAlgorithm
  /** Of AES-GCM: ciphertext and, behind it, the tag. May be empty for `HMAC-SHA256` alone. */
  readonly bytes: Uint8Array
  /** Of AES-GCM and AES-CBC. */
  readonly iv?: Uint8Array
  /** Of AES-GCM; empty where there is none. */
  readonly aad?: Uint8Array
  /**
   * Of `HMAC-SHA256`: which secret key of the token. Of all others: what the key of the settings has to be called, or
   * to have as its CKA_ID; anything when it names nothing.
   */
  readonly key: NativeKeyQuery
}

/** What a program may have called a key; at most one of the two. */
export interface NativeKeyQuery {
  readonly label?: string
  readonly ckaId?: Uint8Array
}

/** What the token did; `identity` is that of the KEK which did it. */
export interface HsmResult {
  readonly identity: KekIdentity
  /** What `list` saw beside `identity`: the keys on the token that may have been a KEK, whatever their labels. */
  readonly others?: readonly KekIdentity[]
  /** The wrapped DEK of `wrap`, the DEK of `unwrap`; else empty. */
  readonly bytes: Uint8Array
  /** What `identify` saw if it was asked, and `inspect` and `keygen`. */
  readonly sealing?: Sealing
  /** What `inspect` saw. */
  readonly inspection?: Inspection
}

/** What `decrypt` gave. The key that did it need not be one that could be a KEK of ours. */
export interface HsmPlaintext {
  readonly identity?: undefined
  readonly bytes: Uint8Array
}

export type HsmAnswer = HsmResult | HsmPlaintext

/** How the KEK wraps DEKs. */
export interface Sealing {
  /** `none`: it cannot or may not; it may still unwrap. */
  readonly mechanism: MechanismName | 'none'
  /** One line. */
  readonly why: string
  /** Of aes-cbc-hmac: {@link MAC_CHECK_VALUE_BYTES} bytes that tell one HMAC key from another. */
  readonly companionCheck?: Uint8Array
}

export interface Inspection {
  /** One line on the token: who made it. */
  readonly token: string
  /** One text for one token; absent where it shows no serial number. */
  readonly tokenIdentity?: string
  /** What an operator should know of the token's state; one line each. */
  readonly tokenWarnings: readonly string[]
  readonly evidence: readonly Evidence[]
}

/** One attribute of the KEK, and what it means. */
export interface Evidence {
  /** As in `CKA_EXTRACTABLE`. */
  readonly attribute: string
  /** `true`, `false`, `not told` or a value. */
  readonly value: string
  readonly wanted: string
  /** `excepted`: `allowWeakKey` names it. `advised`: no reason to refuse the key. */
  readonly verdict: 'ok' | 'refused' | 'excepted' | 'advised'
}

export interface HsmFailure {
  readonly code: KmsErrorCode
  /** One line, nothing secret. */
  readonly text: string
  /** The process can no longer serve: only a new one brings the device back. */
  readonly replace: boolean
}

/** Which token: what is given must match, and exactly one token may. */
export interface TokenQuery {
  readonly label?: string
  readonly serial?: string
  readonly manufacturer?: string
  readonly model?: string
  /** The number of its slot. */
  readonly slot?: number
}

/** Which key on the token: what is given must match, and exactly one key may. */
export interface KeyQuery {
  readonly label?: string
  readonly ckaId?: Uint8Array
  readonly kind?: KeyKind
}

/** An AES key, or the private half of an RSA pair. */
export type KeyKind = 'AES' | 'RSA'

/** What the HSM process is for. */
export interface HsmTarget {
  readonly module: string
  /** For C_Initialize of NSS. */
  readonly libraryParameters?: string
  readonly token: TokenQuery
  readonly key: KeyQuery
  readonly mechanism: MechanismName | 'auto'
  readonly allowWeakKey: readonly WeaknessName[]
  /** Calls that the token works on at once, each in a thread with a session of its own. */
  readonly parallelCalls: number
}

/** Leave to try the PIN once, if it has none of the `refused` fingerprints. */
export interface LoginGrant {
  /** For the fingerprint of the PIN, should it be refused: 16 bytes in hexadecimal. */
  readonly salt: string
  /** `<salt>:<scrypt>`, each in hexadecimal. */
  readonly refused: readonly string[]
  /**
   * What to do when the token counts a failed login since the last one that worked. Nothing is tried by a command
   * (`spare`), after a login that got no answer (`unanswered`), and where nobody would know if that failed login was
   * with this PIN (`unremembered`).
   */
  readonly ifCountLow: 'try' | 'spare' | 'unanswered' | 'unremembered'
}

export type ToHsm =
  | { readonly type: 'start'; readonly target: HsmTarget }
  | { readonly type: 'grant'; readonly grant: LoginGrant }
  | { readonly type: 'call'; readonly id: number; readonly request: HsmRequest }

/** How a login ended. */
export type LoginVerdict =
  /** `untried`: somebody was logged in already, so it says nothing about the PIN. */
  | { readonly type: 'loggedIn'; readonly untried?: true }
  /** The PIN must never be tried again. An empty fingerprint: this machine cannot compute it. */
  | { readonly type: 'pinRefused'; readonly fingerprint: string; readonly text: string }
  /** The token lets in nobody, whatever the PIN, until somebody mends that. */
  | { readonly type: 'barred'; readonly text: string }
  /** The token is locked or about to be, or the tries left are not ours: nothing was tried. */
  | { readonly type: 'notTried'; readonly text: string }
  /** The PIN file holds what is no PIN: nothing was tried. `text` stands behind the path. */
  | { readonly type: 'noPin'; readonly text: string }

export type FromHsm =
  /**
   * Nobody calls C_Login without the {@link LoginGrant} that answers this. `tokenIdentity` is one text for one token,
   * whatever the settings call it.
   */
  | { readonly type: 'askLogin'; readonly tokenIdentity: string }
  /** C_Login is called now. */
  | { readonly type: 'loginStarted' }
  /** The token refused the PIN; the verdict follows when its fingerprint is computed, which takes a while. */
  | { readonly type: 'loginRefused'; readonly text: string }
  | LoginVerdict
  /** So many calls may be under way at once from now on; the first one ends the start. */
  | { readonly type: 'capacity'; readonly calls: number }
  /** The process cannot serve at all. */
  | { readonly type: 'failed'; readonly failure: HsmFailure }
  | { readonly type: 'done'; readonly id: number; readonly result: HsmAnswer }
  | { readonly type: 'error'; readonly id: number; readonly failure: HsmFailure }
