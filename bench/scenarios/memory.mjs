/** How much memory does the plugin hold after a million Decrypts? */
import { METHOD } from '../lib/kms_messages.mjs'
import { spread } from '../lib/statistics.mjs'
import { plaintexts } from '../lib/values.mjs'
import { localConfig } from './start.mjs'

export const title = 'Memory'

const STEPS = [1000, 100_000, 500_000, 1_000_000]

export async function run(bench) {
  const { rounds, isQuick, say, subjects, load } = bench
  const steps = isQuick ? STEPS.slice(0, 1) : STEPS
  const config = localConfig(bench)
  const starts = {
    kmsplugin: async () => subjects.plugin(config),
    'null envelope': async () => subjects.null('null_envelope', 'null envelope'),
  }
  const rssMb = {}
  for (const [name, start] of Object.entries(starts)) {
    for (let round = 0; round < rounds.memory; round++) {
      say(`${name}, round ${round + 1} of ${rounds.memory}`)
      const subject = await start()
      const own = await load.sealed(subject, { path: METHOD.v2Encrypt, plaintexts: plaintexts(1000) })
      let done = 0
      for (const step of steps) {
        await load.run(subject, METHOD.v2Decrypt, own, { inFlight: 64, calls: step - done })
        done = step
        const all = (rssMb[name] ??= {})
        all[step] = [...(all[step] ?? []), subject.process.rssMb()]
      }
      await subject.stop()
    }
  }
  const last = steps.at(-1)
  const figures = isQuick ? {} : { 'rss.afterMillionMb': spread(rssMb.kmsplugin[last]) }
  return {
    figures,
    table: {
      head: ['process', ...steps.map((step) => `RSS MB after ${step.toLocaleString('en')} Decrypts`)],
      rows: Object.entries(rssMb).map(([name, all]) => [
        name,
        ...steps.map((step) => spread(all[step]).median.toFixed(0)),
      ]),
    },
  }
}
