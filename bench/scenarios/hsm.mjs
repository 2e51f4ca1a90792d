/** What does the child process between the plugin and the PKCS#11 library cost? Against the library's calls alone. */
import { METHOD } from '../lib/kms_messages.mjs'
import { Pkcs11Limit } from '../lib/pkcs11_limit.mjs'
import { childrenOf, cpuMsOf, rssMbOf } from '../lib/processes.mjs'
import { SoftHsm, softHsmMissing } from '../lib/softhsm.mjs'
import { median, ratio, spread } from '../lib/statistics.mjs'
import { plaintexts } from '../lib/values.mjs'

export const title = 'HSM'

const DEVICE_MS = 20
const IN_FLIGHT = 8

/** More values, one after the other, than DEKs are kept: each Decrypt is an unwrap. Fewer: none is. */
const KEPT_DEKS = 50
const COLD_VALUES = 400
const WARM_VALUES = 40

/** A value that the plugin has not met takes these calls to the token. */
const UNWRAP = 1

export async function run(bench) {
  const missing = softHsmMissing()
  if (missing !== undefined) return { figures: {}, skipped: missing }
  const { rounds, say, folder } = bench
  const hsm = SoftHsm.make(folder)
  const device = hsm.behindFaults()
  const samples = []
  for (let round = 0; round < rounds.hsm; round++) {
    say(`round ${round + 1} of ${rounds.hsm}`)
    samples.push({ device: await onDevice(bench, device), softHsm: await onSoftHsm(bench, hsm) })
  }
  return { figures: figuresOf(samples), table: tableOf(samples) }
}

/** A device that takes its time, and takes as many calls at once as there are. */
async function onDevice(bench, device) {
  device.delay(0)
  return compared(bench, device, async ({ limit, plugin, cold }) => {
    const durationMs = bench.isQuick ? 600 : 3000
    device.delay(DEVICE_MS)
    const alone = await limit.run({ threads: IN_FLIGHT, durationMs })
    device.takeDecryptCount()
    const ours = await plugin.decrypt(cold, { inFlight: IN_FLIGHT, durationMs })
    const asked = device.takeDecryptCount()
    if (asked !== ours.calls * UNWRAP)
      throw new Error(`${ours.calls} Decrypts asked the device ${asked} times`)
    return { alone, ours }
  })
}

/** SoftHSM as fast as it is: what is left is our own cost. */
async function onSoftHsm(bench, hsm) {
  return compared(bench, hsm, async ({ limit, plugin, cold, warm }) => {
    const durationMs = bench.isQuick ? 400 : 2000
    const idleMb = plugin.rssMb()
    const sample = {}
    // Once for the compiler.
    for (const isMeasured of [false, true]) {
      for (const inFlight of [1, IN_FLIGHT]) {
        const pace = { inFlight, durationMs: isMeasured ? durationMs : durationMs / 2 }
        const alone = await limit.run({ threads: inFlight, durationMs: pace.durationMs })
        sample[inFlight] = { alone, ours: await plugin.decrypt(cold, pace) }
      }
      const pace = { inFlight: 1, durationMs: isMeasured ? durationMs : durationMs / 2 }
      sample.cached = await plugin.decrypt(warm, pace)
    }
    return { ...sample, idleMb, afterMb: plugin.rssMb() }
  })
}

/** Starts the plugin and the program that makes the device's calls alone, and ends them after `measure`. */
async function compared(bench, hsm, measure) {
  const limit = await Pkcs11Limit.start(hsm, IN_FLIGHT)
  const plugin = await Plugin.start(bench, hsm)
  try {
    const cold = await plugin.sealed(COLD_VALUES)
    const warm = await plugin.sealed(WARM_VALUES)
    return await measure({ limit, plugin, cold, warm })
  } finally {
    await plugin.stop()
    await limit.close()
  }
}

/** The plugin with its HSM child. */
class Plugin {
  #subject
  #load

  static async start({ subjects, load }, hsm) {
    const plugin = new Plugin()
    const config = hsm.config({ dek: 'fresh', dekCacheSize: KEPT_DEKS })
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

function figuresOf(samples) {
  const of = (read) => samples.map(read)
  const faster = (read) =>
    ratio(
      of((sample) => read(sample).ours.perSecond),
      of((sample) => read(sample).alone.perSecond),
    )
  const ipcMs = ({ softHsm }) => {
    const { alone, ours } = softHsm[1]
    return ours.latencyMs.p50 - softHsm.cached.latencyMs.p50 - alone.latencyMs.p50
  }
  return {
    'hsm.device.ratio': faster(({ device }) => device),
    'hsm.softhsm.ratio.1': faster(({ softHsm }) => softHsm[1]),
    [`hsm.softhsm.ratio.${IN_FLIGHT}`]: faster(({ softHsm }) => softHsm[IN_FLIGHT]),
    'hsm.ipcP50Ms': spread(of(ipcMs)),
    'hsm.childRssIdleMb': spread(of(({ softHsm }) => softHsm.idleMb.child)),
    'hsm.childRssMb': spread(of(({ softHsm }) => softHsm.afterMb.child)),
    'hsm.pluginRssMb': spread(of(({ softHsm }) => softHsm.afterMb.plugin)),
  }
}

function tableOf(samples) {
  const row = (text, read) => {
    const of = (what) => median(samples.map((sample) => what(read(sample))))
    const numbers = [
      of(({ perSecond }) => perSecond).toFixed(0),
      of(({ latencyMs }) => latencyMs.p50).toFixed(3),
      of(({ latencyMs }) => latencyMs.p99).toFixed(2),
      of(({ cpuUsPerCall }) => cpuUsPerCall).toFixed(0),
    ]
    const childUs = of(({ childCpuUsPerCall }) => childCpuUsPerCall ?? NaN)
    return [text, ...numbers, Number.isNaN(childUs) ? '-' : childUs.toFixed(0)]
  }
  const pair = (text, read) => [
    row(`${text}: the device itself`, (sample) => read(sample).alone),
    row(`${text}: kmsplugin`, (sample) => read(sample).ours),
  ]
  return {
    head: ['unwraps', 'calls/s', 'p50 ms', 'p99 ms', 'CPU µs', 'CPU µs of the child'],
    rows: [
      ...pair(`${DEVICE_MS} ms, ${IN_FLIGHT} in flight`, ({ device }) => device),
      ...pair('SoftHSM, 1 in flight', ({ softHsm }) => softHsm[1]),
      ...pair(`SoftHSM, ${IN_FLIGHT} in flight`, ({ softHsm }) => softHsm[IN_FLIGHT]),
      row('no unwrap, 1 in flight: kmsplugin', ({ softHsm }) => softHsm.cached),
    ],
  }
}
