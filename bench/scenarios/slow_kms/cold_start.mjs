/** A thousand values under one DEK that nobody has asked for since the plugin started. */
import { METHOD } from '../../lib/kms_messages.mjs'
import { median, ratio } from '../../lib/statistics.mjs'
import { withUnwraps } from './exact.mjs'

const LATENCY_MS = 20
const COUNT = 1000

export const coldStart = {
  async prepare(bench, valuesOf) {
    const values = []
    for (const inFlight of [1, 13, 64]) {
      values.push({ inFlight, ...(await valuesOf(bench, { api: 'v2', count: COUNT, perDek: COUNT })) })
    }
    return values
  },

  async measure({ load, kms }, { plugin, everyCall }, values) {
    await kms.setLatency(LATENCY_MS)
    const sample = {}
    for (const { inFlight, path, count, ...requests } of values) {
      const pace = { inFlight, calls: count }
      const ours = await withUnwraps(kms, 1, async () => load.run(plugin, path, requests, pace))
      const some = { inFlight, calls: inFlight === 1 ? count / 10 : count }
      const theirs = await load.run(everyCall, METHOD.v2Decrypt, everyCall.own, some)
      sample[inFlight] = { ours, theirs }
    }
    return sample
  },

  figures: (samples) =>
    Object.fromEntries(
      Object.keys(samples[0]).map((inFlight) => [
        `coldStart.${inFlight}`,
        ratio(
          samples.map((sample) => 1 / sample[inFlight].ours.perSecond),
          samples.map((sample) => 1 / sample[inFlight].theirs.perSecond),
        ),
      ]),
    ),

  rows: (samples) =>
    Object.keys(samples[0]).map((inFlight) => {
      const ms = (whose) =>
        median(samples.map((sample) => (COUNT * 1000) / sample[inFlight][whose].perSecond))
      return [
        `${COUNT} cold Decrypts under one DEK, ${inFlight} in flight, KMS ${LATENCY_MS} ms`,
        `${ms('ours').toFixed(0)} ms`,
        `${ms('theirs').toFixed(0)} ms`,
        `1 instead of ${COUNT}`,
      ]
    }),
}
