/** How long from the start of the process to the first answered Status, against `node -e 0`? And how much memory then? */
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { CPU, Process } from '../lib/processes.mjs'
import { median, ratio, spread } from '../lib/statistics.mjs'

export const title = 'Start'

/** What a process does in the background after it began to serve is done by then. */
const IDLE_AFTER_MS = 1500

export async function run(bench) {
  const { rounds, say, subjects } = bench
  const config = localConfig(bench)
  const samples = []
  for (let round = 0; round < rounds.start; round++) {
    if (round % 5 === 0) say(`start ${round + 1} of ${rounds.start}`)
    const floorMs = await timed(
      async () => new Process([process.execPath, '-e', '0'], { cpu: CPU.subject }).exited,
    )
    let plugin
    const pluginMs = await timed(async () => {
      plugin = subjects.launch(config)
      await plugin.ready()
    })
    let rssMb
    if (round < 3) {
      await pause(IDLE_AFTER_MS)
      rssMb = plugin.process.rssMb()
    }
    await plugin.stop()
    samples.push({ floorMs, pluginMs, rssMb })
  }
  // The first one reads the files from the disk.
  samples.shift()
  const of = (name) => samples.map((sample) => sample[name]).filter((value) => value !== undefined)
  return {
    figures: { 'start.firstStatus': ratio(of('pluginMs'), of('floorMs')), 'rss.idleMb': spread(of('rssMb')) },
    table: {
      head: ['process', 'median ms', 'lowest ms', 'RSS idle MB'],
      rows: [
        [
          '`node -e 0`, start to end',
          median(of('floorMs')).toFixed(0),
          Math.min(...of('floorMs')).toFixed(0),
          '-',
        ],
        [
          'kmsplugin with a local key, start to first Status',
          median(of('pluginMs')).toFixed(0),
          Math.min(...of('pluginMs')).toFixed(0),
          median(of('rssMb')).toFixed(0),
        ],
      ],
    },
  }
}

/** A config with a key file, which is made here. */
export function localConfig({ folder, program }) {
  const path = join(folder, 'local')
  mkdirSync(path, { recursive: true, mode: 0o700 })
  const key = { backend: 'local', path: join(path, 'key.json') }
  const config = { server: { kmsV1: true }, primary: 'main', keys: { main: key } }
  const file = join(path, 'config.yaml')
  writeFileSync(file, JSON.stringify({ ...config, server: { socket: join(path, 'unused.sock') } }), {
    mode: 0o600,
  })
  const { status, stderr } = spawnSync(
    process.execPath,
    [program, 'keygen', '--config', file, '--key', 'main'],
    { encoding: 'utf8' },
  )
  if (status !== 0 && !stderr.includes('already')) throw new Error(`keygen: ${stderr}`)
  return config
}

async function timed(work) {
  const startMs = performance.now()
  await work()
  return performance.now() - startMs
}
