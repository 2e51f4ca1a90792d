/** Is Status answered in time when everything else is not? kube-apiserver asks it every minute and at each health check. */
import { METHOD } from '../../lib/kms_messages.mjs'
import { median, spread } from '../../lib/statistics.mjs'

const RATE_PER_SECOND = 50

/** Shorter than the plugin waits for the KMS (`retry` of lib/kms.mjs); with twice the calls a second, as many answers. */
const HUNG_SECONDS = 2

export const status = {
  /** Values under a DEK that the plugin has not met, for calls that hang. */
  prepare: async (bench, valuesOf) => valuesOf(bench, { api: 'v2', count: 200, perDek: 1 }),

  async measure({ load, statusLoad, kms, isQuick }, { plugin }, { path, ...unmet }) {
    const asked = statusLoad.save([Buffer.alloc(0)])
    const during = async (work, seconds, ratePerSecond) => {
      const pace = { ratePerSecond, calls: ratePerSecond * seconds }
      const [{ latencyMs }, worked] = await Promise.all([
        statusLoad.run(plugin, METHOD.v2Status, asked, pace),
        work,
      ])
      if (worked.seconds < seconds)
        throw new Error(`the Decrypts ended after ${worked.seconds} s of ${seconds}`)
      return latencyMs
    }
    await kms.setLatency(0)
    const seconds = isQuick ? 1 : 4
    const durationMs = seconds * 1000 + 200
    const decrypts = load.run(plugin, METHOD.v2Decrypt, plugin.own, { inFlight: 64, durationMs })
    const underLoad = await during(decrypts, seconds, RATE_PER_SECOND)
    await kms.setLatency('hang')
    const waiting = load.run(plugin, path, unmet, { inFlight: 64, calls: 64, mayFail: true })
    const hung = await during(waiting, isQuick ? 1 : HUNG_SECONDS, 2 * RATE_PER_SECOND)
    await kms.setLatency(0)
    return { underLoad, hung }
  },

  figures: (samples) => ({
    'status.underLoad.p99Ms': spread(samples.map(({ underLoad }) => underLoad.p99)),
    'status.hung.p99Ms': spread(samples.map(({ hung }) => hung.p99)),
  }),

  rows: (samples) =>
    [
      ['Status under full load of Decrypts', 'underLoad'],
      ['Status while the KMS hangs and 64 Decrypts wait', 'hung'],
    ].map(([text, name]) => {
      const at = (quantile) => median(samples.map((sample) => sample[name][quantile])).toFixed(1)
      return [text, `p50 ${at('p50')}, p99 ${at('p99')} ms`, '-', '-']
    }),
}
