import type { CallOptions } from '../ports/key_wrapper.js'
import type { Dek } from './dek.js'

/** Decides which DEK seals the next value. */
export interface SealingDeks {
  /**
   * The published DEK, already counted for one value of `plaintextBytes`, where it may seal that one too; no I/O.
   * `undefined`: {@link forSealing} has to be asked, and may ask the backend.
   */
  held(plaintextBytes: number): Dek | undefined

  /**
   * A proved DEK for one value of `plaintextBytes`, already counted on it. Its key id was published when it was
   * handed out.
   */
  forSealing(plaintextBytes: number, options: CallOptions): Promise<Dek>

  /** Proves the primary KEK by a new DEK and publishes it. Fails as the port `KeyWrapper` does. */
  renew(options: Partial<CallOptions>): Promise<void>
}
