/**
 * Opens what another plugin sealed: finds the one format of a value, asks the key that lists it, never tries all.
 */
import { createHash } from 'node:crypto'
import type { Clock } from '../ports/clock.js'
import { asKmsError, KmsError } from '../ports/errors.js'
import type { ForeignDecoder, NativeCiphertext, OpeningPlan, Sign, StoredValue } from '../ports/foreign.js'
import type { CallOptions, KeyWrapper } from '../ports/key_wrapper.js'
import type { Metrics } from '../ports/metrics.js'
import { ExpiringCache, type CachePolicy } from './expiring_cache.js'
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

const SIGNS: readonly Sign[] = ['annotation', 'keyId', 'bytes']

export class ForeignValues {
  readonly #keys: readonly DecodingKey[]
  readonly #metrics: Metrics
  /** Answers that open many values, as long as a DEK would be held. */
  readonly #answers: ExpiringCache<Buffer>
  readonly #flights: SingleFlight<Buffer>

  /** @param timeoutMs How long the question behind a reusable answer may take, retries included. */
  constructor(
    keys: readonly DecodingKey[],
    policy: CachePolicy,
    clock: Clock,
    timeoutMs: number,
    metrics: Metrics,
  ) {
    this.#keys = keys
    this.#metrics = metrics
    this.#answers = new ExpiringCache(policy, clock)
    this.#flights = new SingleFlight(clock, timeoutMs)
  }

  /** The format of `value`, by the surest sign; `undefined` where no configured format knows it. */
  find(value: StoredValue): FoundForeign | undefined {
    return find(this.#keys, value)
  }

  /**
   * Opens. Where several keys list the format, the next is asked when the value is not of the one before.
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
    const failures: KmsError[] = []
    const opened: Uint8Array[] = []
    for (const { key, decoder } of candidates) {
      try {
        const plan = decoder.plan(value)
        const plaintext = await this.#openWith(key, plan, options)
        if (plan.opensUnderAnyKey !== true) return plaintext
        opened.push(plaintext)
      } catch (thrown) {
        failures.push(asKmsError(thrown))
      }
    }
    return onlyOne(format, opened, failures)
  }

  async #openWith(key: DecodingKey, plan: OpeningPlan, options: CallOptions): Promise<Uint8Array> {
    const [only, ...others] = plan.questions
    if (plan.isReusable === true && only !== undefined && others.length === 0) {
      return this.#openReusing(key, only, plan, options)
    }
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
    if (held !== undefined) return plan.finish([held])
    const answer = await this.#flights.join(name, options, async (flight) => {
      const secret = await this.#ask(key, question, flight)
      try {
        return Buffer.from(secret)
      } finally {
        secret.fill(0)
      }
    })
    const plaintext = plan.finish([answer])
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

function find(keys: readonly DecodingKey[], value: StoredValue): FoundForeign | undefined {
  // Whoever writes annotations is known by them: guessing by first bytes would ask a key about what is not its own.
  const signs = Object.keys(value.annotations).length === 0 ? SIGNS.slice(1) : SIGNS.slice(0, 1)
  const all = keys.flatMap((key) =>
    key.decoders.map((decoder) => ({ key, decoder, sign: decoder.recognize(value) })),
  )
  for (const sign of signs) {
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

/**
 * What all keys that can open the value agree on. One that could not be asked might not have agreed.
 *
 * @param opened Wiped, where nothing is returned.
 */
function onlyOne(format: string, opened: readonly Uint8Array[], failures: readonly KmsError[]): Uint8Array {
  const [first, ...others] = opened
  if (first === undefined) throw worstOf(failures)
  const outage = failures.find(({ fault }) => fault === 'backend')
  const isClear = others.every((other) => Buffer.compare(first, other) === 0)
  for (const other of others) other.fill(0)
  if (outage === undefined && isClear) return first
  first.fill(0)
  if (outage !== undefined) throw outage
  const text = `${opened.length} keys open the value to different bytes, and nothing in it tells whose it is; list ${format} under one of them`
  throw new KmsError('ERR_CONFIG_INVALID', text)
}

/** That of the key whose value it is, if one could not look; else the last word on the value. */
function worstOf(failures: readonly KmsError[]): KmsError {
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
