/** A LIST over v1: kube-apiserver opens value after value, each when the one before is there. */
import { METHOD } from '../../lib/kms_messages.mjs'
import { median, ratio } from '../../lib/statistics.mjs'
import { withUnwraps } from './exact.mjs'

const LATENCIES_MS = [0, 1, 5, 20]

/** Enough of the slow ones: each takes as long as the other. */
const EVERY_CALL_MS = 2500

export const list = {
  /** For each latency the values of one DEK that the plugin has not met. */
  async prepare(bench, valuesOf) {
    const count = bench.isQuick ? 1000 : 10_000
    const values = []
    for (const latencyMs of bench.isQuick ? [5] : LATENCIES_MS) {
      values.push({ latencyMs, ...(await valuesOf(bench, { api: 'v1', count, perDek: count })) })
    }
    return values
  },

  async measure({ load, kms, isQuick }, { plugin, everyCall }, values) {
    const sample = {}
    for (const { latencyMs, count, path, ...requests } of values) {
      // The code of v1 is in use, its values are not known.
      await load.run(plugin, METHOD.v1Decrypt, plugin.ownV1, { inFlight: 64, calls: 3000 })
      await kms.setLatency(latencyMs)
      const pace = { inFlight: 1, calls: count }
      const ours = await withUnwraps(kms, 1, async () => load.run(plugin, path, requests, pace))
      const durationMs = isQuick ? 1000 : EVERY_CALL_MS
      const theirs = await load.run(everyCall, METHOD.v1Decrypt, everyCall.ownV1, { inFlight: 1, durationMs })
      sample[latencyMs] = { count, ours, theirs }
    }
    return sample
  },

  figures: (samples) =>
    Object.fromEntries(
      Object.keys(samples[0]).map((latencyMs) => [
        `list.${latencyMs}ms`,
        ratio(
          samples.map((sample) => sample[latencyMs].ours.perSecond),
          samples.map((sample) => sample[latencyMs].theirs.perSecond),
        ),
      ]),
    ),

  rows: (samples) =>
    Object.entries(samples[0]).map(([latencyMs, { count }]) => {
      const seconds = (whose) => median(samples.map((sample) => count / sample[latencyMs][whose].perSecond))
      return [
        `serial LIST of ${count} v1 values, KMS ${latencyMs} ms`,
        `${seconds('ours').toFixed(2)} s`,
        `${seconds('theirs').toFixed(1)} s`,
        `1 instead of ${count}`,
      ]
    }),
}
