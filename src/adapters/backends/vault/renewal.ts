/** Can a token be prolonged, and does that still help? */
import type { VaultClient } from './client.js'
import { errorOf } from './errors.js'
import { tokenIn } from './login.js'
import type { VaultToken } from './token.js'

const PATH = 'auth/token/renew-self'

/** Leases are whole seconds: two ends within one are the same. */
const ROUNDING_MS = 1000

/** Answers that say nothing about the token. */
const OUTAGE: readonly number[] = [412, 429, 472, 473, 502, 503, 504]

/**
 * The same token with its new end; `undefined`: it cannot be renewed, or its end does not move any more, since it has
 * reached its maximum.
 *
 * @throws {KmsError} The server is out: the token may be fine. As `VaultClient.ask`.
 */
export async function renew(
  client: VaultClient,
  held: VaultToken,
  nowMs: () => number,
  signal: AbortSignal,
): Promise<VaultToken | undefined> {
  if (!held.facts.isRenewable) return undefined
  const askedMs = nowMs()
  const reply = await client.ask({ method: 'POST', path: PATH, body: {}, token: held }, signal)
  if (OUTAGE.includes(reply.status)) {
    throw errorOf({ service: client.service, path: PATH, kek: 'the token' }, reply)
  }
  // A change of the role's policies is a 500: a login takes them up.
  const said =
    reply.status === 200 ? tokenIn(reply, client.service, askedMs, held.facts.isOursToRevoke) : undefined
  const renewed = said === undefined ? undefined : held.with(said.facts)
  return renewed !== undefined && endsLater(held, renewed) ? renewed : undefined
}

/** Whether `now` ends later than `before` did. */
export function endsLater(before: VaultToken, now: VaultToken): boolean {
  return endMs(now) > endMs(before) + ROUNDING_MS
}

function endMs({ facts: { askedMs, lifetimeMs = Infinity } }: VaultToken): number {
  return askedMs + lifetimeMs
}
