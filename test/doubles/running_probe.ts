/** A core whose probe runs on its own until the test ends. */
import { onTestFinished } from 'vitest'
import { buildCore, buildProvedCore, type CoreParts, type CoreSettings } from './core.js'
import { FaultyKeyWrapper } from './faulty_key_wrapper.js'
import { ManualClock } from './manual_clock.js'

/** Without retries, so that rounds are as long as their calls; with the moments at which its rounds began. */
export async function run(settings: Partial<CoreSettings> = {}, parts: CoreParts = {}) {
  const core = buildCore({ maxRetries: 0, ...settings }, parts)
  onTestFinished(() => core.probe.stop())
  const roundsMs: number[] = []
  const startMs = core.clock.nowMs()
  const currentKeyId = core.primary.currentKeyId.bind(core.primary)
  core.primary.currentKeyId = async (options) => {
    roundsMs.push(core.clock.nowMs() - startMs)
    return currentKeyId(options)
  }
  void core.probe.run()
  await core.clock.advance(0)
  return { core, roundsMs }
}

/** Two keys that only open, each with a value of theirs, and a primary beside them. */
export async function migrating() {
  const clock = new ManualClock()
  const olds = [new FaultyKeyWrapper('old a', clock), new FaultyKeyWrapper('old b', clock)] as const
  const values = await Promise.all(
    olds.map(async (old) =>
      (await buildProvedCore({}, { clock, primary: old })).encrypt(Buffer.from('value')),
    ),
  )
  for (const old of olds) Object.assign(old.calls, { wrap: 0, unwrap: 0, currentKeyId: 0 })
  return { ...(await run({}, { clock, decryptOnly: olds })), olds, values }
}
