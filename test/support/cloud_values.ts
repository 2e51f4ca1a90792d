/** Values that a cloud plugin of others made (test/vectors/foreign), and every way to damage one of them a little. */
import type { KeyWrapper, CallOptions } from '../../src/ports/key_wrapper.js'
import type { ForeignDecoder, StoredValue } from '../../src/ports/foreign.js'
import type { Outcome } from '../../src/ports/metrics.js'
import { outcomeOf } from '../doubles/outcome.js'
import { foreignFixture, storedValue, type ForeignFixture } from './foreign_fixture.js'

export interface RecordedValue {
  readonly api: 'v1' | 'v2'
  readonly stored: StoredValue
  readonly plaintext: Buffer
  readonly note: string
  /** All that stands in the file. */
  readonly raw: Readonly<Record<string, unknown>>
}

export interface Recording<Key> {
  readonly madeBy: string
  readonly key: Key
  readonly values: readonly RecordedValue[]
}

export function recordingOf<Key>(format: string): Recording<Key> {
  const fixture = foreignFixture<ForeignFixture<Key, Readonly<Record<string, unknown>>>>(format)
  const values = fixture.values.map((raw) => ({
    api: raw.api,
    stored: storedValue(raw),
    plaintext: Buffer.from(raw.plaintext, 'base64'),
    note: raw.note,
    raw,
  }))
  return { ...fixture, values }
}

/** As the core does it. */
export async function open(
  decoder: ForeignDecoder,
  wrapper: KeyWrapper,
  stored: StoredValue,
  options: CallOptions,
): Promise<Uint8Array> {
  const plan = decoder.plan(stored)
  const answers: Uint8Array[] = []
  for (const question of plan.questions) {
    if ('ciphertext' in question || wrapper.decryptNative === undefined)
      throw new Error('no backend can answer this')
    answers.push(await wrapper.decryptNative(question, options))
  }
  return plan.finish(answers)
}

/** Each truncation, each byte with one bit flipped, and garbage behind the end. */
export function damagedCiphertexts({ ciphertext }: StoredValue): readonly Uint8Array[] {
  const at = Array.from({ length: ciphertext.length }, (_, index) => index)
  return [
    ...at.map((length) => ciphertext.subarray(0, length)),
    ...at.map((index) => flipped(ciphertext, index)),
    Buffer.concat([ciphertext, Buffer.of(0)]),
    Buffer.concat([ciphertext, ciphertext]),
  ]
}

/** `text` with one bit of each of its characters flipped. */
export function damagedTexts(text: string): readonly string[] {
  return Array.from(text, (_, index) => flipped(Buffer.from(text, 'latin1'), index).toString('latin1'))
}

/** Each annotation without it, cut by a byte, and with each byte flipped. */
export function damagedAnnotations({
  annotations,
}: StoredValue): ReadonlyMap<string, StoredValue['annotations'][]> {
  const all = Object.entries(annotations).map(([name, value]): [string, StoredValue['annotations'][]] => {
    const others = Object.fromEntries(Object.entries(annotations).filter(([other]) => other !== name))
    const bytes = [
      value.subarray(0, -1),
      Buffer.concat([value, Buffer.from('0')]),
      ...Array.from(value, (_, index) => flipped(value, index)),
    ]
    return [name, [others, ...bytes.map((one) => ({ ...annotations, [name]: one }))]]
  })
  return new Map(all)
}

function flipped(bytes: Uint8Array, index: number): Buffer {
  const copy = Buffer.from(bytes)
  copy.writeUInt8(copy.readUInt8(index) ^ 1, index)
  return copy
}

const AT_ONCE = 32

/** What becomes of each, and how often; `WRONG` where it opens to other bytes than `plaintext`. */
export async function tally(
  values: readonly StoredValue[],
  plaintext: Buffer,
  opening: (value: StoredValue) => Promise<Uint8Array>,
): Promise<Partial<Record<Outcome | 'WRONG', number>>> {
  const counts: Partial<Record<Outcome | 'WRONG', number>> = {}
  const left = [...values]
  const judged = async (value: StoredValue): Promise<Outcome | 'WRONG'> => {
    const opened = opening(value)
    const outcome = await outcomeOf(opened)
    return outcome !== 'OK' || plaintext.equals(await opened) ? outcome : 'WRONG'
  }
  const work = async (): Promise<void> => {
    for (let value = left.pop(); value !== undefined; value = left.pop()) {
      const outcome = await judged(value)
      counts[outcome] = (counts[outcome] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return counts
}
