/** kube-apiserver starts and opens what it finds in etcd: many values, fewer DEKs, all of them cold. */
import { METHOD } from '../../lib/kms_messages.mjs'
import { median, ratio } from '../../lib/statistics.mjs'
import { withUnwraps } from './exact.mjs'

const LATENCY_MS = 20
const IN_FLIGHT = 13

export const storm = {
  async prepare(bench, valuesOf) {
    const [count, perDek] = bench.isQuick ? [1000, 100] : [10_000, 100]
    return valuesOf(bench, { api: 'v2', count, perDek })
  },

  async measure({ load, kms }, { plugin, everyCall }, { dekCount, count, path, ...requests }) {
    await kms.setLatency(LATENCY_MS)
    const pace = { inFlight: IN_FLIGHT, calls: count }
    const ours = await withUnwraps(kms, dekCount, async () => load.run(plugin, path, requests, pace))
    const rssMb = plugin.process.rssMb()
    const some = { inFlight: IN_FLIGHT, calls: count / 10 }
    const theirs = await load.run(everyCall, METHOD.v2Decrypt, everyCall.own, some)
    return { count, dekCount, ours, theirs, rssMb }
  },

  figures: (samples) => ({
    'storm.time': ratio(
      samples.map(({ ours }) => 1 / ours.perSecond),
      samples.map(({ theirs }) => 1 / theirs.perSecond),
    ),
  }),

  rows: (samples) => {
    const [{ count, dekCount }] = samples
    const seconds = (whose) => median(samples.map((sample) => count / sample[whose].perSecond))
    return [
      [
        `start storm: ${count} cold Decrypts, ${dekCount} DEKs, ${IN_FLIGHT} in flight, KMS ${LATENCY_MS} ms`,
        `${seconds('ours').toFixed(2)} s, RSS then ${median(samples.map(({ rssMb }) => rssMb)).toFixed(0)} MB`,
        `${seconds('theirs').toFixed(1)} s`,
        `${dekCount} instead of ${count}`,
      ],
    ]
  },
}
