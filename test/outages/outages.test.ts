/** How long does the plugin take to be back when the HSM is? scripts/outages.mjs says how often, and shows the answers. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { faultModuleMissing } from '../support/fault_module.js'
import { outageKinds, playRound, type OutageKind, type Round } from '../support/outage.js'
import { OutageBench } from '../support/outage_bench.js'
import { machineFigures, settledFiguresOf } from '../support/process_figures.js'
import { seeded } from '../support/seeded.js'
import { onSoftHsm, softHsmMissing } from '../support/softhsm.js'

const env = process.env
const rounds = Number(env['OUTAGE_ROUNDS'] ?? 10)
const seed = Number(env['OUTAGE_SEED'] ?? Date.now() % 2 ** 32)
const kinds = env['OUTAGE_KINDS']?.split(',') ?? outageKinds.map(({ name }) => name)
const folder = resolve(env['OUTAGE_FOLDER'] ?? join(import.meta.dirname, '../../.measured'))

/** Until all threads and sessions of the HSM process are there, and the plugin's memory has grown to its size. */
const WARM_UP_ROUNDS = 3

/** Told with what the plugin said about its HSM meanwhile. */
const SLOW_MS = 1000

const missing = softHsmMissing ?? faultModuleMissing

async function measure(kind: OutageKind) {
  const bench = await OutageBench.open()
  try {
    const { plugin, token } = bench
    const { pid } = plugin
    const random = seeded(seed)
    for (let round = 1; round <= WARM_UP_ROUNDS; round += 1) await playRound(bench, kind, round, random)
    const state = async () => ({
      plugin: await settledFiguresOf(pid),
      child: await settledFiguresOf(bench.child!),
      load: machineFigures().load,
      respawns: (await bench.metrics()).sum('kmsplugin_hsm_child_restarts_total'),
    })
    const before = await state()
    const callsBefore = token.calls().length
    const saidBefore = plugin.log().length
    const played: Round[] = []
    for (let round = 1; round <= rounds; round += 1) {
      const from = plugin.stderr().length
      const one = await playRound(bench, kind, WARM_UP_ROUNDS + round, random)
      played.push(one)
      if (one.recoveryMs > SLOW_MS) {
        const said = plugin.stderr().slice(from).split('\n')
        const about = said.filter((line) => !line.includes('"request '))
        console.log([`${kind.name}, round ${round}: ${JSON.stringify(one)}`, ...about].join('\n'))
      }
    }
    const calls = token.calls().slice(callsBefore)
    const count = (name: string) => calls.filter((call) => call.name === name).length
    return {
      kind: kind.name,
      isEndless: kind.isEndless === true,
      seed,
      machine: machineFigures(),
      before,
      after: await state(),
      logins: count('C_Login'),
      initialises: count('C_Initialize'),
      wrongPins: token.loginFailures(),
      startMs: plugin
        .log()
        .slice(saidBefore)
        .filter(({ msg }) => msg === 'HSM process ready')
        .map((line) => line['startMs']),
      isSamePlugin: plugin.isRunning,
      rounds: played,
    }
  } finally {
    await bench.close()
  }
}

describe.skipIf(missing !== undefined)(onSoftHsm('outages of the HSM'), () => {
  mkdirSync(folder, { recursive: true })
  for (const kind of outageKinds.filter(({ name }) => kinds.includes(name))) {
    test(`${kind.name}: ${rounds} of ${rounds} times it is back, in the same process (seed ${seed})`, async () => {
      const measured = await measure(kind)
      writeFileSync(join(folder, `outage-${kind.name}.json`), `${JSON.stringify(measured)}\n`)
      expect(measured.isSamePlugin).toBe(true)
      expect(measured.rounds.filter(({ wrongPlaintexts }) => wrongPlaintexts > 0)).toEqual([])
      expect(measured.wrongPins).toBe(0)
    })
  }
})
