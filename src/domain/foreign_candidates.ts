/** Whose value is it: which one format knows it, and which keys list that format? Asks nobody. */
import { signsOf, type ForeignDecoder, type StoredValue } from '../ports/foreign.js'
import type { KeyWrapper } from '../ports/key_wrapper.js'

/** A key of the configuration and the formats that it decodes. */
export interface DecodingKey {
  readonly name: string
  readonly wrapper: KeyWrapper
  readonly decoders: readonly ForeignDecoder[]
}

/** One key with the decoder that fits a value. */
export interface Candidate {
  readonly key: DecodingKey
  readonly decoder: ForeignDecoder
}

/** What opens a value: found by looking at it, before anybody is asked. */
export interface FoundForeign {
  readonly format: string
  readonly value: StoredValue
  readonly candidates: readonly Candidate[]
}

/** By the surest sign; `undefined` where no format that a key lists knows it. */
export function findForeign(keys: readonly DecodingKey[], value: StoredValue): FoundForeign | undefined {
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

/** Whether nothing in the value, nor in its answer, tells one key from another. */
export function opensUnderAnyKey(decoder: ForeignDecoder, value: StoredValue): boolean {
  try {
    return decoder.plan(value).opensUnderAnyKey === true
  } catch {
    return false
  }
}
