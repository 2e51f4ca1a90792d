/** A device that takes its time, and takes as many calls at once as there are. */
import { compared } from './compared.mjs'

export const DEVICE_MS = 20
export const IN_FLIGHT = 8

/** Decrypts that are an unwrap each: the count of the calls is exact. */
export async function onDevice(bench, device) {
  device.delay(0)
  return compared(
    bench,
    device,
    async ({ limit, plugin, cold }) => {
      const durationMs = bench.isQuick ? 400 : 3000
      device.delay(DEVICE_MS)
      const alone = await limit.run({ threads: IN_FLIGHT, durationMs })
      device.takeDecryptCount()
      const ours = await plugin.decrypt(cold, { inFlight: IN_FLIGHT, durationMs })
      const asked = device.takeDecryptCount()
      if (asked !== ours.calls) throw new Error(`${ours.calls} Decrypts asked the device ${asked} times`)
      return { alone, ours }
    },
    { parallelCalls: IN_FLIGHT },
  )
}
