/**
 * Opens what another plugin sealed: finds the one format of a value, asks the key that lists it, never tries all.
 */
import { createHash, createSecretKey, type KeyObject } from 'node:crypto'
import type { Clock } from '../ports/clock.js'
import { asKmsError, KmsError } from '../ports/errors.js'
import {
  signsOf,
  type ForeignDecoder,
  type NativeCiphertext,
  type OpeningPlan,
  type StoredValue,
} from '../ports/foreign.js'
import type { CallOptions, KeyWrapper } from '../ports/key_wrapper.js'
import type { Metrics } from '../ports/metrics.js'
import { ExpiringCache, type CachePolicy } from './expiring_cache.js'
import { inTurn } from './in_turn.js'
import { SingleFlight } from './single_flight.js'

/** A key of the configuration and the formats that it decodes. */
export interface DecodingKey {
  readonly name: string
  readonly wrapper: KeyWrapper
  readonly decoders: readonly ForeignDecoder[]
}

/** One key with the decoder that fits a value. */
interface Candidate {
  readonly key: DecodingKey
  readonly decoder: ForeignDecoder
}

/** What opens a value: found by looking at it, before anybody is asked. */
export interface FoundForeign {
  readonly format: string
  readonly value: StoredValue
  readonly candidates: readonly Candidate[]
}

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
    return find(this.#keys, value)
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
        const held = question === undefined ? undefined : this.#answers.get(nameOf(key.name, question))
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
    const name = nameOf(key.name, question)
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
    const [candidate] = find([key], value)?.candidates ?? []
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

/** The only question of a plan, where its answer opens many values. */
function reusableQuestion(plan: OpeningPlan): NativeCiphertext | StoredValue | undefined {
  const [only, ...others] = plan.questions
  return plan.isReusable === true && others.length === 0 ? only : undefined
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

function find(keys: readonly DecodingKey[], value: StoredValue): FoundForeign | undefined {
  const all = keys.flatMap((key) =>
    key.decoders.map((decoder) => ({ key, decoder, sign: decoder.recognize(value) })),
  )
  for (const sign of signsOf(value)) {
    const first = all.find((candidate) => candidate.sign === sign)
    if (first === undefined) continue
    const { format } = first.decoder
    const candidates = all.filter(
      (candidate) => candidate.sign === sign && candidate.decoder.format === format,
    )
    return { format, value, candidates }
  }
  return undefined
}

function opensUnderAnyKey(decoder: ForeignDecoder, value: StoredValue): boolean {
  try {
    return decoder.plan(value).opensUnderAnyKey === true
  } catch {
    return false
  }
}

/** What all keys that can open the value agree on. One that could not be asked might not have agreed. */
function agreed(format: string, outcomes: readonly PromiseSettledResult<Uint8Array>[]): Uint8Array {
  const opened = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  const thrown = outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [outcome.reason as unknown] : [],
  )
  const [first, ...others] = opened
  if (first === undefined) throw worstOf(thrown)
  const outage = thrown.map(asKmsError).find(({ fault }) => fault === 'backend')
  const isClear = others.every((other) => Buffer.compare(first, other) === 0)
  for (const other of others) other.fill(0)
  if (outage === undefined && isClear) return first
  first.fill(0)
  if (outage !== undefined) throw outage
  const text = `${opened.length} keys open the value to different bytes, and nothing in it tells whose it is; list ${format} under one of them`
  throw new KmsError('ERR_CONFIG_INVALID', text)
}

/** That of the key whose value it is, if one could not look; else the last word on the value. */
function worstOf(thrown: readonly unknown[]): KmsError {
  const failures = thrown.map(asKmsError)
  const isUnknown = ({ code }: KmsError) => code === 'ERR_KEY_UNKNOWN'
  return (
    failures.find((error) => error.fault !== 'data' && !isUnknown(error)) ??
    failures.find(({ fault }) => fault === 'data') ??
    failures[0] ??
    new KmsError('ERR_INTERNAL', 'a value without a key that decodes it')
  )
}

/** Attackers choose the parts, so each stands behind its length. */
function nameOf(key: string, question: NativeCiphertext | StoredValue): string {
  const hash = createHash('sha256')
  const parts =
    'ciphertext' in question
      ? ['stored', question.keyId ?? '', question.ciphertext, ...annotationParts(question)]
      : ['native', question.algorithm ?? '', question.keyName ?? '', question.bytes, ...extraParts(question)]
  for (const part of [key, ...parts]) {
    const bytes = typeof part === 'string' ? Buffer.from(part, 'utf8') : part
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    hash.update(length).update(bytes)
  }
  return hash.digest('base64')
}

const NOTHING = new Uint8Array()

function extraParts({ iv = NOTHING, tag = NOTHING, aad = NOTHING }: NativeCiphertext): Uint8Array[] {
  return [iv, tag, aad]
}

function annotationParts({ annotations }: StoredValue): (string | Uint8Array)[] {
  return Object.entries(annotations).flat()
}
