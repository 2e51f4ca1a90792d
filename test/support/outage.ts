/** How does the HSM go away and come back, and what does kube-apiserver see of it? */
import type { StreamedCall } from './call_stream.js'
import type { OutageBench } from './outage_bench.js'
import { until } from './plugin.js'
import type { Seeded } from './seeded.js'

export interface OutageKind {
  readonly name: string
  /** It begins; the number rises from round to round. */
  readonly begin: (bench: OutageBench, round: number) => void
  /**
   * When it ends: `seen`: a random 0.2 to 3 s after the first call that failed; `timed`: a random 0.3 to 3 s after its
   * beginning; `at once`: it is over before the next call.
   */
  readonly ends: 'seen' | 'timed' | 'at once'
  /** It closes all sessions or logs out: one C_Login more than there are of C_Initialize. */
  readonly logsOut?: true
  /** Calls that were under way never return, so that a bound has to pass first. */
  readonly isEndless?: true
}

const rule = (line: string) => (bench: OutageBench) => bench.token.set([line])
const rising = (name: string) => (bench: OutageBench, round: number) => bench.token.set([`${name}=${round}`])

export const outageKinds: readonly OutageKind[] = [
  { name: 'hang', begin: rule('* hang'), ends: 'seen' },
  { name: 'device-error', begin: rule('* rv=0x30'), ends: 'seen' },
  { name: 'dead-sessions', begin: rising('generation'), ends: 'at once', logsOut: true },
  { name: 'forced-logout', begin: rising('logout'), ends: 'at once', logsOut: true },
  { name: 'token-gone', begin: rule('removed=1'), ends: 'timed', logsOut: true },
  { name: 'child-killed', begin: killChild, ends: 'at once' },
  { name: 'library-abort', begin: rule('* abort'), ends: 'seen' },
  { name: 'needs-initialize', begin: rising('needinit'), ends: 'at once' },
  { name: 'stuck', begin: rule('* stuck'), ends: 'seen', isEndless: true },
]

/** What one round showed; times from the moment when the HSM was there again. */
export interface Round {
  readonly outageMs: number
  /** Until the end of the first call that began afterwards and succeeded. */
  readonly recoveryMs: number
  /** From when on Status was ok, and stayed so; 0 or little when it never told of the outage. */
  readonly statusOkMs: number
  /** The same of /readyz. */
  readonly readyMs: number
  readonly failedCalls: number
  /** Of those, the ones that began when the HSM was there again. */
  readonly failedAfterwards: number
  readonly wrongPlaintexts: number
}

/** Far beyond every bound of the plugin, on a machine that does much else. */
const GIVE_UP_MS = 60_000
/** No call fails within this time: the plugin rides it through. */
const SEEN_WITHIN_MS = 6000

/** Plays one outage to its end; the plugin must be well, and is afterwards. */
export async function playRound(
  bench: OutageBench,
  kind: OutageKind,
  number: number,
  random: Seeded,
): Promise<Round> {
  const values = await bench.seal(4)
  const before = bench.stream(values)
  await until(() => before.ended.length > 2)
  kind.begin(bench, number)
  const begunMs = performance.now()
  if (kind.ends === 'seen')
    await until(() => before.failures.length > 0, SEEN_WITHIN_MS).catch(() => undefined)
  if (kind.ends !== 'at once')
    await pause(kind.ends === 'seen' ? 200 + random.below(2800) : 300 + random.below(2700))
  const settled = before.stop()
  if (kind.ends !== 'at once') bench.token.heal()
  const healedMs = performance.now()

  // Calls under way wait for what hung: others must not wait for them.
  const after = bench.stream(values)
  const worked = (): StreamedCall | undefined => after.ended.find(({ error }) => error === undefined)
  const recovered = until(() => worked() !== undefined, GIVE_UP_MS, `${kind.name}: a call works again`)
  const steady = async (isFine: () => Promise<boolean>, what: string): Promise<number> => {
    let sinceMs: number | undefined
    const look = async (): Promise<boolean> => {
      const isNow = await isFine().catch(() => false)
      sinceMs = isNow ? (sinceMs ?? performance.now()) : undefined
      return isNow && worked() !== undefined
    }
    await until(look, GIVE_UP_MS, `${kind.name}: ${what}`)
    return sinceMs! - healedMs
  }
  const [statusOkMs, readyMs] = await Promise.all([
    steady(async () => (await bench.observer.v2Status()).healthz === 'ok', 'Status is ok again'),
    steady(async () => bench.get('/readyz').then(() => true), '/readyz is 200 again'),
    recovered,
  ])
  await Promise.all([settled, after.stop()])
  await bench.isWell()
  return {
    outageMs: healedMs - begunMs,
    recoveryMs: worked()!.endedMs - healedMs,
    statusOkMs,
    readyMs,
    failedCalls: before.failures.length + after.failures.length,
    failedAfterwards: after.failures.length,
    wrongPlaintexts: before.wrongPlaintexts + after.wrongPlaintexts,
  }
}

function killChild(bench: OutageBench): void {
  const pid = bench.child
  if (pid === undefined) throw new Error('there is no HSM process')
  process.kill(pid, 'SIGKILL')
}

async function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
