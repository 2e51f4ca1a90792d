/** The plugin and the program that makes the device's calls alone, side by side. */
import { METHOD } from '../../lib/kms_messages.mjs'
import { Pkcs11Limit } from '../../lib/pkcs11_limit.mjs'
import { childrenOf, cpuMsOf, rssMbOf } from '../../lib/processes.mjs'
import { plaintexts } from '../../lib/values.mjs'

/** More values, one after the other, than DEKs are kept: each Decrypt is an unwrap. Fewer: none is. */
const KEPT_DEKS = 50
const COLD_VALUES = 400
const WARM_VALUES = 40

const MOST_IN_FLIGHT = 8

/**
 * Starts both, warms them up, and ends them after `measure`.
 *
 * @param key More settings of the key.
 */
export async function compared({ subjects, load, isQuick }, hsm, measure, key = {}) {
  const limit = await Pkcs11Limit.start(hsm, MOST_IN_FLIGHT)
  const plugin = await Plugin.start({ subjects, load }, hsm, key)
  try {
    const warm = await plugin.sealed(WARM_VALUES)
    const idleMb = plugin.rssMb()
    const cold = await plugin.sealed(isQuick ? COLD_VALUES / 4 : COLD_VALUES)
    await plugin.decrypt(warm, { inFlight: 64, calls: isQuick ? 1000 : 20_000 })
    await plugin.decrypt(cold, { inFlight: MOST_IN_FLIGHT, calls: isQuick ? 200 : 2500 })
    await limit.run({ threads: MOST_IN_FLIGHT, durationMs: isQuick ? 100 : 500 })
    return await measure({ limit, plugin, cold, warm, idleMb })
  } finally {
    await plugin.stop()
    await limit.close()
  }
}

/** The plugin with its HSM child. */
class Plugin {
  #subject
  #load

  static async start({ subjects, load }, hsm, key) {
    const plugin = new Plugin()
    const config = hsm.config({ dek: 'fresh', dekCacheSize: KEPT_DEKS }, key)
    plugin.#subject = await subjects.plugin(config, { env: hsm.env })
    plugin.#load = load
    return plugin
  }

  /** Requests that open so many values, each under a DEK of its own. */
  async sealed(count) {
    return this.#load.sealed(this.#subject, { path: METHOD.v2Encrypt, plaintexts: plaintexts(count) })
  }

  /** As `Load.run`, with the processor time of the child beside that of the plugin. */
  async decrypt(requests, pace) {
    const [child] = childrenOf(this.#subject.process.pid)
    const cpuBeforeMs = cpuMsOf(child)
    const result = await this.#load.run(this.#subject, METHOD.v2Decrypt, requests, pace)
    return { ...result, childCpuUsPerCall: ((cpuMsOf(child) - cpuBeforeMs) * 1000) / result.calls }
  }

  rssMb() {
    const [child] = childrenOf(this.#subject.process.pid)
    return { plugin: this.#subject.process.rssMb(), child: rssMbOf(child) }
  }

  async stop() {
    await this.#subject.stop()
  }
}
