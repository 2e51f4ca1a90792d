/** What does every scheme of stored values get, and what do they share? */
import type { DescribeForeign, StoredValue } from '../../ports/foreign.js'
import type { DescribeEnvelope, Explanation } from '../../ports/operations.js'
import { NAME_MAX_BYTES, splitName, type Split } from './prefix.js'
import type { Report } from './report.js'

export interface SchemeContext {
  readonly describeEnvelope: DescribeEnvelope
  readonly describeForeign: DescribeForeign
  readonly keyNames: ReadonlyMap<string, string> | undefined
}

/**
 * Explains what stands behind the prefix of one scheme.
 *
 * @param nameAt Offset of the provider's or key's name.
 * @param report Has the fields of the prefix already.
 */
export type ExplainScheme = (
  value: Uint8Array,
  nameAt: number,
  report: Report,
  context: SchemeContext,
) => Explanation

/** Nonce (12) and tag (16) that AES-GCM adds in every provider of kube-apiserver. */
export const GCM_OVERHEAD_BYTES = 28

/** The part behind the name, unparsed. */
export interface Payload {
  readonly bytes: Uint8Array
  /** Counted from the start of the value. */
  readonly at: number
}

/** Splits at the first colon, whatever follows; says so in the report where there is no name. */
export function splitAnyway(
  value: Uint8Array,
  nameAt: number,
  what: string,
  report: Report,
): Split<Payload> | undefined {
  const split = splitName(value, nameAt, (bytes, at) => ({ bytes, at }))
  if (split === undefined) {
    report.problem(
      `no ${what} of 1 to ${NAME_MAX_BYTES} bytes of text ends with a colon after byte ${nameAt}`,
    )
  }
  return split
}

/**
 * Explains what a plugin made: an envelope of ours, or a value of another.
 *
 * @returns Who made it, for the summary.
 */
export function addPlugin(
  what: string,
  stored: StoredValue,
  report: Report,
  { describeEnvelope, describeForeign, keyNames }: SchemeContext,
): string {
  const envelope = describeEnvelope(stored.ciphertext)
  if (envelope !== undefined) {
    report.addEnvelope(envelope, keyNames)
    return 'kmsplugin'
  }
  const foreign = describeForeign(stored)
  if (foreign !== undefined) {
    report.addForeign(foreign)
    return foreign.writtenBy
  }
  report.note(`${what} is no envelope of kmsplugin: another plugin made it, or it is damaged`)
  return 'a plugin other than kmsplugin, or damaged'
}
