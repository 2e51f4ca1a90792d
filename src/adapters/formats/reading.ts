/** What becomes of bytes that turn out not to be of a format: a refusal when they are opened, a remark when they are explained. */
import { KmsError } from '../../ports/errors.js'
import type { ForeignExplanation } from '../../ports/foreign.js'

/** The message completes "the value …" and quotes nothing of the value. */
export class NotOfFormat extends Error {
  override readonly name = 'NotOfFormat'
}

/** @throws {KmsError} `ERR_MALFORMED_ENVELOPE` in place of {@link NotOfFormat}. */
export function readOrRefuse<T>(format: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof NotOfFormat)) throw error
    throw new KmsError('ERR_MALFORMED_ENVELOPE', `the value of ${format} ${error.message}`)
  }
}

/** @param read Values by their labels, in the order of the bytes. */
export function explainedBy(
  read: () => Readonly<Record<string, string | number>>,
): Pick<ForeignExplanation, 'fields' | 'problem'> {
  try {
    const fields = Object.entries(read()).map(([label, value]) => ({ label, value: String(value) }))
    return { fields }
  } catch (error) {
    return { fields: [], problem: error instanceof NotOfFormat ? `it ${error.message}` : 'it cannot be read' }
  }
}
