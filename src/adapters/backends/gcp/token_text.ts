/** Can this be an access token? */

/** One that no header can carry would be held for an hour, and no call would get through. */
export function isTokenText(value: unknown): value is string {
  return typeof value === 'string' && /^[\x21-\x7e]{1,32768}$/.test(value)
}
