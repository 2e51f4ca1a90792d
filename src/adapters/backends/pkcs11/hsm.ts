/** What does the key wrapper need of what stands behind it, be it one token or several that hold one KEK? */
import type { CallOptions } from '../../../ports/key_wrapper.js'
import type { DecryptRequest, HsmResult, KekRequest } from './shared/messages.js'

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
  call(request: KekRequest, options: CallOptions): Promise<HsmResult>
  /**
   * Has a key of the token decrypt what another program had it encrypt.
   *
   * @returns What the token answered, of whatever length; the caller owns and wipes it.
   * @throws {KmsError} as {@link call}; `ERR_KEY_UNKNOWN` when the key of the settings is not the one that is asked for.
   */
  decrypt(request: DecryptRequest, options: CallOptions): Promise<Uint8Array>
  /** Ends what serves it; calls that still wait fail with `ERR_SHUTTING_DOWN`. Safe to call twice. */
  close(): Promise<void>
}
