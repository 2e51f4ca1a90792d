/** SoftHSM as fast as it is: what is left is our own cost. */
import { median } from '../../lib/statistics.mjs'
import { compared } from './compared.mjs'
import { IN_FLIGHT } from './device.mjs'

export async function onSoftHsm(bench, hsm) {
  return compared(bench, hsm, async ({ limit, plugin, cold, warm, idleMb }) => {
    // Short ones in turn: what is subtracted below must be of the same moment.
    const slices = []
    for (let slice = 0; slice < (bench.isQuick ? 1 : 6); slice++)
      slices.push(await measured(limit, plugin, cold, warm))
    return {
      1: {
        alone: middle(slices.map(({ one }) => one.alone)),
        ours: middle(slices.map(({ one }) => one.ours)),
      },
      [IN_FLIGHT]: {
        alone: middle(slices.map(({ many }) => many.alone)),
        ours: middle(slices.map(({ many }) => many.ours)),
      },
      cached: middle(slices.map(({ cached }) => cached)),
      ipcMs: median(slices.map(ipcMsOf)),
      idleMb,
      afterMb: plugin.rssMb(),
    }
  })
}

const SLICE_MS = 200

async function measured(limit, plugin, cold, warm) {
  const both = async (inFlight) => ({
    alone: await limit.run({ threads: inFlight, durationMs: SLICE_MS }),
    ours: await plugin.decrypt(cold, { inFlight, durationMs: 2 * SLICE_MS }),
  })
  const one = await both(1)
  const cached = await plugin.decrypt(warm, { inFlight: 1, durationMs: SLICE_MS })
  return { one, cached, many: await both(IN_FLIGHT) }
}

/** What an unwrap takes over a Decrypt without one and over the token's own part. */
function ipcMsOf({ one: { alone, ours }, cached }) {
  return ours.latencyMs.p50 - cached.latencyMs.p50 - alone.latencyMs.p50
}

/** Each figure's median. */
function middle(results) {
  const of = (read) => median(results.map(read))
  return {
    perSecond: of(({ perSecond }) => perSecond),
    latencyMs: { p50: of(({ latencyMs }) => latencyMs.p50), p99: of(({ latencyMs }) => latencyMs.p99) },
    cpuUsPerCall: of(({ cpuUsPerCall }) => cpuUsPerCall),
    ...(results[0].childCpuUsPerCall === undefined
      ? {}
      : { childCpuUsPerCall: of(({ childCpuUsPerCall }) => childCpuUsPerCall) }),
  }
}
