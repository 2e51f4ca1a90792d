/** How are several asked for one secret, one after another, so that none that hangs holds up the next? */
import type { Clock } from '../ports/clock.js'

/**
 * Begins the next when the one before has failed, or has used its part of the time until `deadlineMs`: then it may still
 * answer while the others are asked.
 *
 * @param ways Each ends by `deadlineMs` at the latest.
 * @returns The first secret that comes, which the caller wipes; what comes after it is wiped.
 * @throws {AggregateError} What each of them threw, in their order.
 */
export async function inTurn(
  clock: Clock,
  deadlineMs: number,
  ways: readonly (() => Promise<Uint8Array>)[],
): Promise<Uint8Array> {
  const begun: Promise<Uint8Array>[] = []
  for (const [index, way] of ways.entries()) {
    begun.push(way())
    const others = ways.length - index - 1
    if (others === 0) break
    const first = await firstWithin(clock, (deadlineMs - clock.nowMs()) / (others + 1), begun)
    if (first !== undefined) break
  }
  const secret = await Promise.any(begun)
  for (const other of begun) {
    other.then(
      (late) => {
        if (late !== secret) late.fill(0)
      },
      () => undefined,
    )
  }
  return secret
}

/** `undefined` where the last that was begun has failed, or the time is over. */
async function firstWithin(
  clock: Clock,
  partMs: number,
  begun: readonly Promise<Uint8Array>[],
): Promise<Uint8Array | undefined> {
  const known = new AbortController()
  const isOver = clock.sleep(partMs, known.signal).then(() => undefined)
  const any = Promise.any(begun).catch(() => undefined)
  const last = begun.at(-1)?.catch(() => undefined)
  try {
    return await Promise.race([any, last, isOver])
  } finally {
    known.abort()
  }
}
