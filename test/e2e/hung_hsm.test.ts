/** While no call of the HSM returns, all else is answered and the plugin still ends when it is told. npm run hung has the times. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { faultModuleMissing } from '../support/fault_module.js'
import { endWhileHung, killWhileHung, watchHang } from '../support/hung_hsm.js'
import { CALL_TIMEOUT_MS, OutageBench } from '../support/outage_bench.js'
import { onSoftHsm, softHsmMissing } from '../support/softhsm.js'

const HUNG_MS = 5000
const TIMEOUT_MS = 120_000

/** Some ten times what a quiet machine takes: whoever waits for the HSM is far beyond. */
const ANSWERED_MS = 1000

const missing = softHsmMissing ?? faultModuleMissing

describe.skipIf(missing !== undefined)(onSoftHsm('while every call of the HSM hangs'), () => {
  let bench: OutageBench

  beforeEach(async () => {
    bench = await OutageBench.open()
  })
  afterEach(async () => bench.close())

  test(
    'every call is answered before kube-apiserver gives up; Status, /livez and the event loop do not wait',
    { timeout: TIMEOUT_MS },
    async () => {
      const { calls, statusMs, livezMs, loopMaxMs } = await watchHang(bench, HUNG_MS)
      expect(calls.filter(({ error }) => error !== undefined).length).toBeGreaterThan(8)
      // The client's own deadline ends no call: kube-apiserver gets our answer.
      for (const { beganMs, endedMs } of calls) expect(endedMs - beganMs).toBeLessThan(CALL_TIMEOUT_MS)
      expect(Math.max(...statusMs)).toBeLessThan(ANSWERED_MS)
      expect(Math.max(...livezMs)).toBeLessThan(ANSWERED_MS)
      expect(loopMaxMs).toBeLessThan(ANSWERED_MS)
    },
  )

  test('SIGTERM ends the plugin with exit code 0, and its HSM process', { timeout: TIMEOUT_MS }, async () => {
    const { exitMs, code } = await endWhileHung(bench, 'SIGTERM')
    expect(code).toBe(0)
    // `retry.totalTimeout` and `server.drainTimeout` bound it.
    expect(exitMs).toBeLessThan(10_000)
  })

  test('kill -9 of the plugin ends its hung HSM process, too', { timeout: TIMEOUT_MS }, async () => {
    expect((await endWhileHung(bench, 'SIGKILL')).code).toBeNull()
  })

  test('10 deaths of its hung HSM process leave nothing behind', { timeout: TIMEOUT_MS }, async () => {
    const { before, after } = await killWhileHung(bench, 10)
    // A descriptor or two belong to whatever is under way.
    expect(after.fds - before.fds).toBeLessThan(5)
    expect(after.threads - before.threads).toBeLessThan(5)
    expect(after.rssMiB - before.rssMiB).toBeLessThan(100)
  })
})
