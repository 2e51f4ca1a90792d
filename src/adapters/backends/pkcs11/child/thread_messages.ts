/** What do the main thread of the HSM process and its working threads say to each other? */
import type { HsmFailure, HsmRequest, HsmResult, HsmTarget, LoginGrant, LoginVerdict } from '../messages.js'

/** What a thread is born with. */
export interface ThreadData {
  readonly target: HsmTarget
  /** The token's slot as the keeper found it; absent for the keeper itself. */
  readonly slot?: Uint8Array
}

export type ToThread =
  | { readonly type: 'work'; readonly id: number; readonly request: HsmRequest }
  /** To the keeper alone. */
  | { readonly type: 'grant'; readonly grant: LoginGrant }

export type FromThread =
  | { readonly type: 'ready'; readonly slot: Uint8Array }
  /** From the keeper alone. */
  | { readonly type: 'loginStarted' }
  | { readonly type: 'verdict'; readonly verdict: LoginVerdict }
  /** The thread cannot serve. */
  | { readonly type: 'failed'; readonly failure: HsmFailure }
  | { readonly type: 'done'; readonly id: number; readonly result: HsmResult }
  | { readonly type: 'error'; readonly id: number; readonly failure: HsmFailure }
  /** Not done, for want of a login. */
  | { readonly type: 'loggedOut'; readonly id: number; readonly failure: HsmFailure }
