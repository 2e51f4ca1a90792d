/** Every way in which the HSM goes away and comes back: the plugin comes back with it, by itself. npm run outages has the times. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { faultModuleMissing } from '../support/fault_module.js'
import { outageKinds, playRound } from '../support/outage.js'
import { OutageBench } from '../support/outage_bench.js'
import { seeded } from '../support/seeded.js'
import { onSoftHsm, softHsmMissing } from '../support/softhsm.js'

const ROUNDS = 2
const SEED = 20260

/** Each of a round's waits is bounded; this is for a machine that does much else. */
const TIMEOUT_MS = 180_000

const missing = softHsmMissing ?? faultModuleMissing

describe.skipIf(missing !== undefined)(onSoftHsm('after an outage of the HSM'), () => {
  let bench: OutageBench

  beforeEach(async () => {
    bench = await OutageBench.open()
  })
  afterEach(async () => bench.close())

  for (const kind of outageKinds) {
    const promise = `${kind.name}: it works again, what was sealed before opens, no C_Login was wasted (seed ${SEED})`
    test(promise, { timeout: TIMEOUT_MS }, async () => {
      const { plugin, token } = bench
      const callsBefore = token.calls().length
      const random = seeded(SEED)
      for (let round = 1; round <= ROUNDS; round += 1) {
        expect((await playRound(bench, kind, round, random)).wrongPlaintexts).toBe(0)
      }
      expect(plugin.isRunning).toBe(true)
      const calls = token.calls().slice(callsBefore)
      const count = (called: string) => calls.filter(({ name }) => name === called).length
      // Each outage costs a login, or it was none.
      expect(count('C_Login')).toBeGreaterThanOrEqual(ROUNDS)
      expect(count('C_Login')).toBeLessThanOrEqual(
        count('C_Initialize') + (kind.logsOut === true ? ROUNDS : 0),
      )
      expect(token.loginFailures()).toBe(0)
    })
  }
})
