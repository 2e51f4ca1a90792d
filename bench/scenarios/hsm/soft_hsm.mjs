/** SoftHSM as fast as it is: what is left is our own cost. */
import { compared } from './compared.mjs'
import { IN_FLIGHT } from './device.mjs'

export async function onSoftHsm(bench, hsm) {
  return compared(bench, hsm, async ({ limit, plugin, cold, warm, idleMb }) => {
    const durationMs = bench.isQuick ? 300 : 2000
    const sample = { idleMb }
    for (const inFlight of [1, IN_FLIGHT]) {
      const alone = await limit.run({ threads: inFlight, durationMs })
      sample[inFlight] = { alone, ours: await plugin.decrypt(cold, { inFlight, durationMs }) }
    }
    sample.cached = await plugin.decrypt(warm, { inFlight: 1, durationMs })
    return { ...sample, afterMb: plugin.rssMb() }
  })
}
