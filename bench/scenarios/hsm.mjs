/** What does the child process between the plugin and the PKCS#11 library cost? Against the library's calls alone. */
import { SoftHsm, softHsmMissing } from '../lib/softhsm.mjs'
import { median, ratio, spread } from '../lib/statistics.mjs'
import { DEVICE_MS, IN_FLIGHT, onDevice } from './hsm/device.mjs'
import { onSoftHsm } from './hsm/soft_hsm.mjs'

export const title = 'HSM'

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

function figuresOf(samples) {
  const of = (read) => samples.map(read)
  const faster = (read) =>
    ratio(
      of((sample) => read(sample).ours.perSecond),
      of((sample) => read(sample).alone.perSecond),
    )
  return {
    'hsm.device.ratio': faster(({ device }) => device),
    'hsm.softhsm.ratio.1': faster(({ softHsm }) => softHsm[1]),
    [`hsm.softhsm.ratio.${IN_FLIGHT}`]: faster(({ softHsm }) => softHsm[IN_FLIGHT]),
    'hsm.ipcP50Ms': spread(of(({ softHsm }) => softHsm.ipcMs)),
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
