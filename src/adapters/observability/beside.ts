/** How do two listeners hear the same events? */
import type { Metrics } from '../../ports/metrics.js'

type Listeners = Readonly<Record<string, (...event: readonly unknown[]) => void>>

/** Each event goes to `own`, then to `other` where it listens to it. */
export function beside(own: Metrics, other: Partial<Metrics>): Metrics {
  const [firsts, seconds] = [own, other] as unknown as readonly [Listeners, Listeners]
  const both = Object.keys(other).map((event) => [
    event,
    (...words: readonly unknown[]) => {
      firsts[event]?.(...words)
      seconds[event]?.(...words)
    },
  ])
  return { ...own, ...(Object.fromEntries(both) as Partial<Metrics>) }
}
