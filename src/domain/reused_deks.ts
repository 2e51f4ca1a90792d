/** One DEK for many values, until an age, a count or a volume retires it or the KEK rotates. */
import type { Clock } from '../ports/clock.js'
import { KmsError } from '../ports/errors.js'
import type { CallOptions } from '../ports/key_wrapper.js'
import type { Metrics } from '../ports/metrics.js'
import type { Dek } from './dek.js'
import type { DekMaker } from './dek_maker.js'
import type { Publication } from './publication.js'
import type { SealingDeks } from './sealing_deks.js'
import { SingleFlight } from './single_flight.js'

/** Upper bounds; the first one reached retires the DEK. A DEK never outlives the process that made it. */
export interface ReusePolicy {
  readonly maxAgeMs: number
  readonly maxSeals: number
  readonly maxBytes: number
}

export class ReusedDeks implements SealingDeks {
  readonly #maker: DekMaker
  readonly #publication: Publication
  readonly #policy: ReusePolicy
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #renewal: SingleFlight<undefined>

  /** @param timeoutMs How long one renewal may take, retries included. */
  constructor(
    maker: DekMaker,
    publication: Publication,
    policy: ReusePolicy,
    clock: Clock,
    timeoutMs: number,
    metrics: Metrics,
  ) {
    this.#maker = maker
    this.#publication = publication
    this.#policy = policy
    this.#clock = clock
    this.#metrics = metrics
    this.#renewal = new SingleFlight(clock, timeoutMs)
  }

  held(plaintextBytes: number): Dek | undefined {
    return this.#take(plaintextBytes)
  }

  async forSealing(plaintextBytes: number, options: CallOptions): Promise<Dek> {
    if (plaintextBytes > this.#policy.maxBytes) {
      throw new KmsError('ERR_REQUEST_TOO_LARGE', 'the value alone is larger than envelope.dekMaxBytes')
    }
    // More than one turn only when others use up a new DEK before this request gets to it.
    for (;;) {
      const dek = this.#take(plaintextBytes)
      if (dek !== undefined) return dek
      await this.renew(options)
    }
  }

  async renew(options: Partial<CallOptions>): Promise<void> {
    await this.#renewal.join('renewal', options, async (flight) => {
      this.#publication.publish(await this.#maker.make(flight))
      return undefined
    })
  }

  /** The published DEK, counted, while it is within its bounds. */
  #take(plaintextBytes: number): Dek | undefined {
    const { dek } = this.#publication
    if (dek === undefined || !this.#mayStillSeal(dek, plaintextBytes)) return undefined
    dek.countSeal(plaintextBytes)
    this.#metrics.dekSeals(dek.seals)
    return dek
  }

  #mayStillSeal(dek: Dek, plaintextBytes: number): boolean {
    return (
      this.#clock.nowMs() - dek.createdAtMs < this.#policy.maxAgeMs &&
      dek.seals < this.#policy.maxSeals &&
      dek.sealedBytes + plaintextBytes <= this.#policy.maxBytes
    )
  }
}
