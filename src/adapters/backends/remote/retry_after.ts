/** How long does the service want to be left alone? */

/** A header that says more than this is taken for this. */
const MAX_RETRY_AFTER_MS = 3_600_000

/**
 * `Retry-After` (RFC 9110 section 10.2.3) in milliseconds from now; `undefined` where there is none or it is no
 * number of seconds and no date.
 */
export function retryAfterMs(header: string | undefined, wallMs = Date.now()): number | undefined {
  if (header === undefined) return undefined
  const seconds = /^[0-9]{1,9}$/.test(header.trim()) ? Number(header) : undefined
  const ms = seconds === undefined ? Date.parse(header) - wallMs : seconds * 1000
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS)
}
