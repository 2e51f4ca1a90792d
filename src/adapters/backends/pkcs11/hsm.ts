/** What does the key wrapper need of what stands behind it, be it one token or several that hold one KEK? */
import type { CallOptions } from '../../../ports/key_wrapper.js'
import type { HsmRequest, HsmResult } from './shared/messages.js'

export interface Hsm {
  /** Several tokens: what one of them cannot say, since it is out or lets nobody in, another one may. */
  readonly isGroup?: boolean
  /**
   * Has one piece of work done. Never retries on the same token.
   *
   * @returns What the token answered; the caller owns and wipes `bytes`.
   * @throws {KmsError} `ERR_DEADLINE_EXCEEDED`, `ERR_QUEUE_FULL`, `ERR_BACKEND_UNAVAILABLE`, `ERR_LOGIN_REFUSED`,
   * `ERR_CONFIG_INVALID`, `ERR_SHUTTING_DOWN` or what the token's answer means.
   */
  call(request: HsmRequest, options: CallOptions): Promise<HsmResult>
  /** Ends what serves it; calls that still wait fail with `ERR_SHUTTING_DOWN`. Safe to call twice. */
  close(): Promise<void>
}
