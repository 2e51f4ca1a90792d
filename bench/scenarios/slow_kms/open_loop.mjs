/** A thousand Decrypts a second, whether the ones before are answered or not. */
import { METHOD } from '../../lib/kms_messages.mjs'
import { median, ratio } from '../../lib/statistics.mjs'
import { withUnwraps } from './exact.mjs'

const LATENCY_MS = 20
const RATE_PER_SECOND = 1000

export const openLoop = {
  prepare: async () => undefined,

  async measure({ load, kms, isQuick }, { plugin, everyCall }) {
    await kms.setLatency(0)
    for (const subject of [plugin, everyCall]) {
      await load.run(subject, METHOD.v2Decrypt, subject.own, { inFlight: 64, calls: isQuick ? 500 : 10_000 })
    }
    await kms.setLatency(LATENCY_MS)
    const pace = { ratePerSecond: RATE_PER_SECOND, calls: isQuick ? 1000 : 6000 }
    const ours = await withUnwraps(kms, 0, async () => load.run(plugin, METHOD.v2Decrypt, plugin.own, pace))
    const theirs = await load.run(everyCall, METHOD.v2Decrypt, everyCall.own, pace)
    return { ours, theirs }
  },

  figures: (samples) =>
    Object.fromEntries(
      ['p50', 'p99', 'p999'].map((quantile) => [
        `openLoop.${quantile}`,
        ratio(
          samples.map(({ ours }) => ours.latencyMs[quantile]),
          samples.map(({ theirs }) => theirs.latencyMs[quantile]),
        ),
      ]),
    ),

  rows: (samples) => {
    const text = (whose) => {
      const at = (quantile) => median(samples.map((sample) => sample[whose].latencyMs[quantile])).toFixed(2)
      return `p50 ${at('p50')}, p99 ${at('p99')}, p99.9 ${at('p999')} ms`
    }
    return [
      [
        `${RATE_PER_SECOND} Decrypts/s, open loop, KMS ${LATENCY_MS} ms`,
        text('ours'),
        text('theirs'),
        '0 instead of 1 each',
      ],
    ]
  },
}
