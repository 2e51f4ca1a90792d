/**
 * Opens what another plugin sealed: finds the one format of a value, asks the key that lists it, never tries all.
 */
import { createSecretKey, type KeyObject } from 'node:crypto'
import type { Clock } from '../ports/clock.js'
import { asKmsError, KmsError } from '../ports/errors.js'
import type { NativeCiphertext, OpeningPlan, StoredValue } from '../ports/foreign.js'
import type { CallOptions } from '../ports/key_wrapper.js'
import type { Metrics } from '../ports/metrics.js'
import { ExpiringCache, type CachePolicy } from './expiring_cache.js'
import {
  findForeign,
  opensUnderAnyKey,
  type Candidate,
  type DecodingKey,
  type FoundForeign,
} from './foreign_candidates.js'
import { agreed, worstOf } from './foreign_outcomes.js'
import { nameOfQuestion, reusableQuestion } from './foreign_questions.js'
import { inTurn } from './in_turn.js'
import { SingleFlight } from './single_flight.js'

export class ForeignValues {
  readonly #keys: readonly DecodingKey[]
  readonly #clock: Clock
  readonly #metrics: Metrics
  /** Answers that open many values, as long as a DEK would be held. */
  readonly #answers: ExpiringCache<KeyObject>
  readonly #flights: SingleFlight<KeyObject>

  /** @param timeoutMs How long the question behind a reusable answer may take, retries included. */
  constructor(
    keys: readonly DecodingKey[],
    policy: CachePolicy,
    clock: Clock,
    timeoutMs: number,
    metrics: Metrics,
  ) {
    this.#keys = keys
    this.#clock = clock
    this.#metrics = metrics
    this.#answers = new ExpiringCache(policy, clock)
    this.#flights = new SingleFlight(clock, timeoutMs)
  }

  /** The format of `value`, by the surest sign; `undefined` where no configured format knows it. */
  find(value: StoredValue): FoundForeign | undefined {
    return findForeign(this.#keys, value)
  }

  /**
   * Opens. Where several keys list the format, the next is asked when the one before has not opened the value.
   *
   * @returns The plaintext, which the caller owns and wipes.
   */
  async open(found: FoundForeign, options: CallOptions): Promise<Uint8Array> {
    try {
      const plaintext = await this.#open(found, options)
      this.#metrics.foreignDecoded(found.format, 'OK')
      return plaintext
    } catch (thrown) {
      const error = asKmsError(thrown)
      this.#metrics.foreignDecoded(found.format, error.code)
      throw error
    }
  }

  sweep(): void {
    this.#answers.sweep()
  }

  close(): void {
    this.#answers.clear()
  }

  async #open({ format, value, candidates }: FoundForeign, options: CallOptions): Promise<Uint8Array> {
    const held = candidates.length > 1 ? this.#openHeld(value, candidates) : undefined
    if (held !== undefined) return held
    const ways = candidates.map(
      ({ key, decoder }) =>
        async () =>
          this.#openWith(key, decoder.plan(value), options),
    )
    if (ways.length > 1 && candidates.some(({ decoder }) => opensUnderAnyKey(decoder, value))) {
      return agreed(format, await Promise.allSettled(ways.map(async (way) => way())))
    }
    try {
      return await inTurn(this.#clock, options.deadlineMs, ways)
    } catch (thrown) {
      throw worstOf(thrown instanceof AggregateError ? (thrown.errors as unknown[]) : [thrown])
    }
  }

  /** By an answer that is held, whosever it is: no other key is asked before. What fails here fails again in its turn. */
  #openHeld(value: StoredValue, candidates: readonly Candidate[]): Uint8Array | undefined {
    for (const { key, decoder } of candidates) {
      try {
        const plan = decoder.plan(value)
        const question = reusableQuestion(plan)
        const held =
          question === undefined ? undefined : this.#answers.get(nameOfQuestion(key.name, question))
        if (held !== undefined) return finished(plan, held)
      } catch {
        continue
      }
    }
    return undefined
  }

  async #openWith(key: DecodingKey, plan: OpeningPlan, options: CallOptions): Promise<Uint8Array> {
    const reusable = reusableQuestion(plan)
    if (reusable !== undefined) return this.#openReusing(key, reusable, plan, options)
    const answers: Uint8Array[] = []
    try {
      for (const question of plan.questions) answers.push(await this.#ask(key, question, options))
      return plan.finish(answers)
    } finally {
      for (const answer of answers) answer.fill(0)
    }
  }

  async #openReusing(
    key: DecodingKey,
    question: NativeCiphertext | StoredValue,
    plan: OpeningPlan,
    options: CallOptions,
  ): Promise<Uint8Array> {
    const name = nameOfQuestion(key.name, question)
    const held = this.#answers.get(name)
    if (held !== undefined) return finished(plan, held)
    const answer = await this.#flights.join(name, options, async (flight) => {
      const secret = await this.#ask(key, question, flight)
      try {
        return createSecretKey(secret)
      } finally {
        secret.fill(0)
      }
    })
    const plaintext = finished(plan, answer)
    // Only what has opened a value is kept.
    this.#answers.put(name, answer)
    return plaintext
  }

  async #ask(
    key: DecodingKey,
    question: NativeCiphertext | StoredValue,
    options: CallOptions,
  ): Promise<Uint8Array> {
    if ('ciphertext' in question) return this.#openNested(key, question, options)
    if (key.wrapper.decryptNative === undefined) {
      throw new KmsError('ERR_CONFIG_INVALID', `keys.${key.name}: its backend decrypts no foreign data`)
    }
    return key.wrapper.decryptNative(question, options)
  }

  /** One level deep: what is nested in a nested value is no stored value of anyone. */
  async #openNested(key: DecodingKey, value: StoredValue, options: CallOptions): Promise<Uint8Array> {
    const [candidate] = findForeign([key], value)?.candidates ?? []
    const plan = candidate?.decoder.plan(value)
    const [question] = plan?.questions ?? []
    if (plan?.questions.length !== 1 || question === undefined || 'ciphertext' in question) {
      throw new KmsError(
        'ERR_VALUE_FOREIGN',
        `the key inside the value has a format that "decode" of keys.${key.name} does not list`,
      )
    }
    return this.#openWith(key, { ...plan, isReusable: false }, options)
  }
}

/** Each gets a copy of its own, which nobody else still needs when it is wiped. */
function finished(plan: OpeningPlan, held: KeyObject): Uint8Array {
  const answer = held.export()
  try {
    return plan.finish([answer])
  } finally {
    answer.fill(0)
  }
}
