/** A new DEK for every value: two backend calls per value, and nothing sealed shares a key. */
import { KmsError } from '../ports/errors.js'
import type { CallOptions } from '../ports/key_wrapper.js'
import type { Dek } from './dek.js'
import type { DekMaker } from './dek_maker.js'
import type { Publication } from './publication.js'
import type { SealingDeks } from './sealing_deks.js'

/** How often a DEK is made anew because the KEK rotated while it was made. */
const MAX_TRIES = 3

export class FreshDeks implements SealingDeks {
  readonly #maker: DekMaker
  readonly #publication: Publication

  constructor(maker: DekMaker, publication: Publication) {
    this.#maker = maker
    this.#publication = publication
  }

  /** None: each value has its own. */
  held(): undefined {
    return undefined
  }

  async forSealing(plaintextBytes: number, options: CallOptions): Promise<Dek> {
    for (let attempt = 0; attempt < MAX_TRIES; attempt += 1) {
      const dek = await this.#makePublished(options)
      if (dek === undefined) continue
      dek.countSeal(plaintextBytes)
      return dek
    }
    throw new KmsError(
      'ERR_BACKEND_RESPONSE',
      `the primary key changed ${MAX_TRIES} times during one request`,
    )
  }

  async renew(options: CallOptions): Promise<void> {
    await this.#makePublished(options)
  }

  /** `undefined` when another key id was published meanwhile: this DEK may stand under the older one. */
  async #makePublished(options: CallOptions): Promise<Dek | undefined> {
    const before = this.#publication.keyId
    const dek = await this.#maker.make(options)
    const now = this.#publication.keyId
    if (dek.wrapped.keyId !== now && now !== before) return undefined
    this.#publication.publish(dek)
    return dek
  }
}
