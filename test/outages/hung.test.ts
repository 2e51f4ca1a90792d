/** What does a hung HSM cost those who do not need it? scripts/hung.mjs says for how long, and shows the answers. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { faultModuleMissing } from '../support/fault_module.js'
import { endWhileHung, killWhileHung, watchHang } from '../support/hung_hsm.js'
import { CALL_TIMEOUT_MS, OutageBench } from '../support/outage_bench.js'
import { machineFigures } from '../support/process_figures.js'
import { onSoftHsm, softHsmMissing } from '../support/softhsm.js'

const seconds = Number(process.env['HUNG_SECONDS'] ?? 20)
const kills = Number(process.env['HUNG_KILLS'] ?? 30)
const folder = resolve(process.env['OUTAGE_FOLDER'] ?? join(import.meta.dirname, '../../.measured'))

const missing = softHsmMissing ?? faultModuleMissing

describe.skipIf(missing !== undefined)(onSoftHsm('a hung HSM'), () => {
  test(`for ${seconds} s, then ${kills} kills of its process, SIGTERM and kill -9 of the plugin`, async () => {
    const bench = await OutageBench.open()
    try {
      const { calls, ...others } = await watchHang(bench, seconds * 1000)
      const held = await killWhileHung(bench, kills)
      const term = await endWhileHung(bench, 'SIGTERM')
      await bench.start()
      const kill = await endWhileHung(bench, 'SIGKILL')
      const callMs = calls.map(({ beganMs, endedMs }) => endedMs - beganMs)
      const figures = { ...others, callMs, kills, held, term, kill, machine: machineFigures() }
      mkdirSync(folder, { recursive: true })
      writeFileSync(join(folder, 'hung.json'), `${JSON.stringify(figures)}\n`)
      expect(calls.length).toBeGreaterThan(0)
      expect(Math.max(...callMs)).toBeLessThan(CALL_TIMEOUT_MS)
      expect(term.code).toBe(0)
    } finally {
      await bench.close()
    }
  })
})
