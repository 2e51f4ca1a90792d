/** Makes DEKs that are proved: wrapped by the primary KEK and unwrapped again to the same bytes. */
import { randomFillSync, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../ports/clock.js'
import { KmsError } from '../ports/errors.js'
import { DEK_BYTES, WRAPPED_DEK_MAX_BYTES, type CallOptions, type WrappedDek } from '../ports/key_wrapper.js'
import { Dek } from './dek.js'
import type { KeyRing } from './key_ring.js'

export class DekMaker {
  readonly #keys: KeyRing
  readonly #clock: Clock

  constructor(keys: KeyRing, clock: Clock) {
    this.#keys = keys
    this.#clock = clock
  }

  /**
   * A new DEK that the KEK has opened again: what is sealed under it can be read back.
   *
   * Two calls to the backend. A wrapped DEK that does not verify is thrown away and made anew once, then
   * `ERR_WRAP_UNVERIFIED`.
   */
  async make(options: CallOptions): Promise<Dek> {
    // allocUnsafeSlow: not a slice of the pool that other buffers share.
    const raw = randomFillSync(Buffer.allocUnsafeSlow(DEK_BYTES))
    try {
      const wrapped = (await this.#wrapVerified(raw, options)) ?? (await this.#wrapVerified(raw, options))
      if (wrapped !== undefined) return new Dek(raw, wrapped, this.#clock.nowMs())
      throw new KmsError(
        'ERR_WRAP_UNVERIFIED',
        'a freshly wrapped DEK did not unwrap to the same bytes, twice',
      )
    } finally {
      raw.fill(0)
    }
  }

  async #wrapVerified(raw: Uint8Array, options: CallOptions): Promise<WrappedDek | undefined> {
    const wrapped = await this.#keys.wrap(raw, options)
    if (wrapped.bytes.length === 0 || wrapped.bytes.length > WRAPPED_DEK_MAX_BYTES) {
      throw new KmsError(
        'ERR_BACKEND_RESPONSE',
        `a wrapped DEK of ${wrapped.bytes.length} bytes does not fit`,
      )
    }
    try {
      const back = await this.#keys.unwrap(wrapped, options)
      const same = back.length === raw.length && timingSafeEqual(back, raw)
      back.fill(0)
      return same ? wrapped : undefined
    } catch (error) {
      if (error instanceof KmsError && error.code === 'ERR_DECRYPTION_FAILED') return undefined
      throw error
    }
  }
}
