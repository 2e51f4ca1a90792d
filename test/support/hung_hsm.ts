/** What is still answered, and how soon, while no call of the HSM returns? */
import type { StreamedCall } from './call_stream.js'
import type { OutageBench } from './outage_bench.js'
import { figuresOf, isGone, type ProcessFigures } from './process_figures.js'
import { until } from './plugin.js'

export interface HungFigures {
  readonly calls: readonly StreamedCall[]
  /** Milliseconds of each Status, asked on an idle connection. */
  readonly statusMs: readonly number[]
  /** Milliseconds of each /livez; one that is not 200 throws. */
  readonly livezMs: readonly number[]
  /** Delay of the plugin's event loop, as its own metrics have it; some 10 ms of it are the clock. */
  readonly loopMaxMs: number
  readonly loopP99Ms: number
}

/** Hangs every call of the HSM for so long, with 8 calls of clients always waiting; then the HSM works again. */
export async function watchHang(bench: OutageBench, durationMs: number): Promise<HungFigures> {
  const values = await bench.seal(4)
  const delays = { maxMs: 0, p99Ms: 0 }
  const scrape = async (): Promise<void> => {
    const metrics = await bench.metrics()
    delays.maxMs = Math.max(delays.maxMs, 1000 * metrics.sum(`${LAG}_max_seconds`))
    delays.p99Ms = Math.max(delays.p99Ms, 1000 * metrics.sum(`${LAG}_p99_seconds`))
  }
  bench.token.set(['* hang'])
  // Each scrape begins a new count.
  await bench.metrics()
  const stream = bench.stream(values)
  const untilMs = performance.now() + durationMs
  const [statusMs, livezMs] = await Promise.all([
    repeat(untilMs, 20, async () => bench.observer.v2Status()),
    repeat(untilMs, 20, async () => bench.get('/livez')),
    repeat(untilMs, 1000, scrape),
  ])
  await stream.stop()
  await scrape()
  bench.token.heal()
  await bench.isWell()
  return { calls: stream.ended, statusMs, livezMs, loopMaxMs: delays.maxMs, loopP99Ms: delays.p99Ms }
}

const LAG = 'kmsplugin_nodejs_eventloop_lag'

/** Ends the plugin while every call hangs and clients wait. */
export async function endWhileHung(
  bench: OutageBench,
  signal: 'SIGTERM' | 'SIGKILL',
): Promise<{ readonly exitMs: number; readonly code: number | null; readonly childGoneMs: number }> {
  const values = await bench.seal(4)
  bench.token.set(['* hang'])
  const sinceMs = monotonicMs()
  const stream = bench.stream(values)
  // One that hangs for long is replaced while the plugin drains.
  const children = new Set([await hungChild(bench, sinceMs)])
  const { plugin } = bench
  const beganMs = performance.now()
  plugin.signal(signal)
  await until(() => {
    if (bench.child !== undefined) children.add(bench.child)
    return !plugin.isRunning
  }, 30_000)
  const { code } = await plugin.exited
  const exitMs = performance.now() - beganMs
  await until(() => [...children].every(isGone))
  const childGoneMs = performance.now() - beganMs
  bench.token.heal()
  await stream.stop()
  return { exitMs, code, childGoneMs }
}

/** Kills the HSM process so often, each time while it hangs, and answers what the plugin held before and after. */
export async function killWhileHung(
  bench: OutageBench,
  times: number,
): Promise<{ readonly before: ProcessFigures; readonly after: ProcessFigures }> {
  const { pid } = bench.plugin
  const before = figuresOf(pid)
  const values = await bench.seal(4)
  bench.token.set(['* hang'])
  const sinceMs = monotonicMs()
  const stream = bench.stream(values)
  for (let kill = 0; kill < times; kill += 1) {
    const child = await hungChild(bench, sinceMs)
    killIfThere(child)
    await until(() => isGone(child))
  }
  await stream.stop()
  bench.token.heal()
  await bench.isWell()
  return { before, after: figuresOf(pid) }
}

/** The HSM process, once a call hangs in it that began after `sinceMs` (CLOCK_MONOTONIC). */
async function hungChild(bench: OutageBench, sinceMs: number): Promise<number> {
  let child: number | undefined
  const isHung = (): boolean => {
    child = bench.child
    const calls = bench.token.calls()
    return calls.some(({ pid, beganMs, rv }) => pid === child && beganMs > sinceMs && rv === undefined)
  }
  await until(isHung, 30_000)
  return child!
}

function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** The plugin ends a process that hangs for long, too, and may have been faster. */
function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

async function repeat(untilMs: number, everyMs: number, work: () => Promise<unknown>): Promise<number[]> {
  const tookMs: number[] = []
  while (performance.now() < untilMs) {
    const beganMs = performance.now()
    await work()
    tookMs.push(performance.now() - beganMs)
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
  return tookMs
}
