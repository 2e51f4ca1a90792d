/** What another plugin wrote (test/vectors/foreign), and the same values with something changed. */
import { readFileSync } from 'node:fs'
import type { StoredValue } from '../../src/ports/foreign.js'

interface Entry {
  readonly api: 'v1' | 'v2'
  /** Base64, as are the annotations and the plaintext. */
  readonly ciphertext: string
  readonly keyId?: string
  readonly annotations?: Readonly<Record<string, string>>
  readonly plaintext: string
  readonly note: string
}

export interface ForeignFixture<Key, Extra = unknown> {
  readonly format: string
  readonly madeBy: string
  readonly key: Key
  readonly values: readonly (Entry & Extra)[]
}

/** @param format As its file is named; the type is what that file has. */
export function foreignFixture<Fixture extends ForeignFixture<unknown>>(format: Fixture['format']): Fixture {
  const file = new URL(`../vectors/foreign/${format}.json`, import.meta.url)
  return JSON.parse(readFileSync(file, 'utf8')) as Fixture
}

/** As kube-apiserver hands it to us. */
export function storedValue({ ciphertext, keyId, annotations = {} }: Entry): StoredValue {
  const decoded = Object.entries(annotations).map(
    ([name, text]) => [name, Buffer.from(text, 'base64')] as const,
  )
  return { ciphertext: Buffer.from(ciphertext, 'base64'), keyId, annotations: Object.fromEntries(decoded) }
}

/** Each beginning of it but the whole. */
export function truncations(bytes: Uint8Array): readonly Uint8Array[] {
  return Array.from(bytes, (_, length) => bytes.subarray(0, length))
}

/** One bit changed in each byte by turns: not only in the lowest, which leaves a letter a letter. */
export function flips(bytes: Uint8Array, bits: readonly number[] = [0, 1, 5]): readonly Uint8Array[] {
  return bits.flatMap((bit) =>
    Array.from(bytes, (byte, index) => {
      const changed = Uint8Array.from(bytes)
      changed[index] = byte ^ (1 << bit)
      return changed
    }),
  )
}

/** A value with one annotation changed, or without it. */
export function withAnnotation(value: StoredValue, name: string, bytes: Uint8Array | undefined): StoredValue {
  const others = Object.entries(value.annotations).filter(([one]) => one !== name)
  const kept = bytes === undefined ? others : [...others, [name, bytes] as const]
  return { ...value, annotations: Object.fromEntries(kept) }
}
