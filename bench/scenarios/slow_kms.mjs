/** What is the DEK cache worth when the KMS takes its time? Against a plugin that asks the KMS for each value. */
import { METHOD } from '../lib/kms_messages.mjs'
import { plaintexts, valuesOf } from '../lib/values.mjs'
import { coldStart } from './slow_kms/cold_start.mjs'
import { list } from './slow_kms/list.mjs'
import { openLoop } from './slow_kms/open_loop.mjs'
import { status } from './slow_kms/status.mjs'
import { storm } from './slow_kms/storm.mjs'

export const title = 'A KMS that takes its time'

const WARM_UP_CALLS = 100_000

const parts = [list, storm, coldStart, openLoop, status]

export async function run(bench) {
  const { rounds, say } = bench
  const prepared = []
  for (const part of parts) prepared.push({ part, values: await part.prepare(bench, valuesOf) })
  const samples = parts.map(() => [])
  for (let round = 0; round < rounds.slowKms; round++) {
    say(`round ${round + 1} of ${rounds.slowKms}`)
    await bench.kms.setLatency(0)
    const plugin = await bench.subjects.plugin(bench.kms.config())
    const everyCall = await bench.subjects.null('every_call', 'every call', bench.kms.url)
    try {
      const subjects = { plugin: await warm(bench, plugin), everyCall: await warm(bench, everyCall) }
      for (const [index, { part, values }] of prepared.entries()) {
        samples[index].push(await part.measure(bench, subjects, values))
      }
    } finally {
      await bench.kms.setLatency(0)
      await plugin.stop()
      await everyCall.stop()
    }
  }
  const figures = Object.assign({}, ...parts.map((part, index) => part.figures(samples[index])))
  const rows = parts.flatMap((part, index) => part.rows(samples[index]))
  return {
    figures,
    table: { head: ['scenario', 'kmsplugin', 'every call to the KMS', 'requests to the KMS'], rows },
  }
}

/** Warm, with values of its own to open: `subject.own`. */
async function warm({ load, isQuick }, subject) {
  subject.own = await load.sealed(subject, {
    path: METHOD.v2Encrypt,
    plaintexts: plaintexts(1000),
    inFlight: 64,
  })
  subject.ownV1 = await load.sealed(subject, {
    path: METHOD.v1Encrypt,
    api: 'v1',
    plaintexts: plaintexts(1000),
    inFlight: 64,
  })
  const calls = isQuick ? 5000 : WARM_UP_CALLS / 2
  await load.run(subject, METHOD.v2Decrypt, subject.own, { inFlight: 64, calls })
  await load.run(subject, METHOD.v1Decrypt, subject.ownV1, { inFlight: 64, calls })
  return subject
}
