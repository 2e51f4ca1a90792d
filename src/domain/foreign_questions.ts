/** Which questions of a plan have an answer that is kept, and under which name? */
import { createHash } from 'node:crypto'
import type { NativeCiphertext, OpeningPlan, StoredValue } from '../ports/foreign.js'

/** The only question of a plan, where its answer opens many values. */
export function reusableQuestion(plan: OpeningPlan): NativeCiphertext | StoredValue | undefined {
  const [only, ...others] = plan.questions
  return plan.isReusable === true && others.length === 0 ? only : undefined
}

/** Attackers choose the parts, so each stands behind its length. */
export function nameOfQuestion(key: string, question: NativeCiphertext | StoredValue): string {
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
