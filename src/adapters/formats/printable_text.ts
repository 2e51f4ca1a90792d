/** What of a stranger's bytes may stand in a line on a terminal? */

/** ASCII of at most 1,024 characters; `undefined` for anything else, and for nothing. */
export function printableText(value: Uint8Array | string | undefined): string | undefined {
  if (value === undefined) return undefined
  const text = typeof value === 'string' ? value : Buffer.from(value).toString('latin1')
  return /^[\x20-\x7e]{1,1024}$/.test(text) ? text : undefined
}
