/**
 * How does an explanation come together, field by field?
 *
 * Rule: a value is well formed as long as no problem was found, and nothing that stands in etcd reaches a terminal
 * unescaped or without a bound.
 */
import type { ForeignExplanation } from '../../ports/foreign.js'
import type { EnvelopeFields, ExplainedField, Explanation } from '../../ports/operations.js'
import { isKeyId, kekPart } from '../../ports/key_id.js'

/** Longest text from etcd that is shown whole; the key id that kube-apiserver allows fits (kmsv2/envelope.go). */
const SHOWN_MAX_CHARS = 1024

/** Collects fields in the order of their discovery. */
export class Report {
  readonly #fields: ExplainedField[] = []
  readonly #problems: string[] = []

  add(label: string, value: string | number): void {
    this.#fields.push({ label, value: String(value) })
  }

  /** Worth knowing, once; the value is still well formed. */
  note(text: string): void {
    if (!this.#fields.some(({ label, value }) => label === 'note' && value === text)) this.add('note', text)
  }

  /** Why the value is not well formed: one sentence, with the byte where there is one. */
  problem(text: string): void {
    this.#problems.push(text)
  }

  /** The key id and, where the configuration is known, the name of its key there. */
  addKeyId(label: string, keyId: string, keyNames: ReadonlyMap<string, string> | undefined): void {
    this.add(label, printable(keyId))
    if (keyNames === undefined) return
    const name = isKeyId(keyId) ? keyNames.get(kekPart(keyId)) : undefined
    this.add(`${label} is of key`, name ?? 'none in this configuration')
  }

  /** What an envelope of ours says about itself. */
  addEnvelope(envelope: EnvelopeFields, keyNames: ReadonlyMap<string, string> | undefined): void {
    this.add('envelope format', `kmsplugin ${envelope.formatVersion}`)
    this.add('envelope cipher', envelope.cipher)
    this.addKeyId('envelope key id', envelope.keyId, keyNames)
    this.add('envelope wrapped DEK bytes', envelope.wrappedDekBytes)
    this.add('envelope ciphertext bytes', envelope.ciphertextBytes)
    this.add('envelope bytes', envelope.totalBytes)
  }

  /** What a value of another plugin says about itself. */
  addForeign({ format, fields, problem }: ForeignExplanation): void {
    this.add('foreign format', format)
    for (const { label, value } of fields) this.add(`${format} ${label}`, printable(value))
    if (problem !== undefined) this.problem(`it is not of the format ${format} to its end: ${problem}`)
  }

  /** @param summary What the value is, without its full stop; the first problem is added to it. */
  finish(summary: string): Explanation {
    const first = this.#problems[0]
    return {
      summary: first === undefined ? `${summary}.` : `${summary}; not well formed: ${first}.`,
      fields: [...this.#fields, ...this.#problems.map((value) => ({ label: 'problem', value }))],
      wellFormed: first === undefined,
    }
  }
}

/** The text as printable ASCII on one line, cut where it is longer than anything that kube-apiserver writes. */
export function printable(text: string): string {
  const shown = text.slice(0, SHOWN_MAX_CHARS).replace(/[^ -~]/gu, escaped)
  return text.length > SHOWN_MAX_CHARS ? `${shown}... (${text.length} characters)` : shown
}

/** UTF-8 as text; `undefined` for bytes that are not UTF-8. */
export function utf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function escaped(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
}
