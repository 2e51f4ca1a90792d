/** What do the main thread of the HSM process and its working threads say to each other? */
import type {
  HsmAnswer,
  HsmFailure,
  HsmRequest,
  HsmTarget,
  LoginGrant,
  LoginVerdict,
} from '../shared/messages.js'
import type { Known } from './sealer.js'

/** What a thread is born with. */
export interface ThreadData {
  readonly target: HsmTarget
  /** The token's slot as the keeper found it; absent for the keeper itself. */
  readonly slot?: Uint8Array
}

export type ToThread =
  /** `known`: what another thread found out since the last work. */
  | { readonly type: 'work'; readonly id: number; readonly request: HsmRequest; readonly known?: Known }
  /** To the keeper alone. */
  | { readonly type: 'grant'; readonly grant: LoginGrant }
  /** To the keeper alone, while no other thread works: C_Finalize, C_Initialize and the token found again. */
  | { readonly type: 'renew' }
  /** To the others after that: the token's slot now. */
  | { readonly type: 'move'; readonly slot: Uint8Array }

export type FromThread =
  /** It has a session: at its start, after `renew` and after `move`. `tokenIdentity`: from the keeper alone. */
  | { readonly type: 'ready'; readonly slot: Uint8Array; readonly tokenIdentity?: string }
  /** From the keeper alone. */
  | { readonly type: 'loginStarted' }
  | { readonly type: 'loginRefused'; readonly text: string }
  | { readonly type: 'verdict'; readonly verdict: LoginVerdict }
  /** The thread cannot serve. */
  | { readonly type: 'failed'; readonly failure: HsmFailure }
  | { readonly type: 'done'; readonly id: number; readonly result: HsmAnswer; readonly known?: Known }
  | { readonly type: 'error'; readonly id: number; readonly failure: HsmFailure }
  /** Not done, for want of a login. */
  | { readonly type: 'loggedOut'; readonly id: number; readonly failure: HsmFailure }
