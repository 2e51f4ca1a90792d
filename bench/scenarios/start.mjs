/** How long from the start of the process to the first answered Status, against `node -e 0`? And how much memory then? */
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { CPU, Process } from '../lib/processes.mjs'
import { ENV, makeCodeCache } from '../lib/shipped.mjs'
import { median, ratio, spread } from '../lib/statistics.mjs'

export const title = 'Start'

/** What a process does in the background after it began to serve is done by then. */
const IDLE_AFTER_MS = 1500

/** Flags change what V8 compiles, so each has its code cache. */
const WAYS = [
  { text: 'without flags', env: {}, figure: 'plain' },
  { text: `with ${ENV.NODE_OPTIONS}`, env: ENV, figure: 'shipped' },
]

export async function run(bench) {
  const config = localConfig(bench)
  const rows = []
  const figures = {}
  for (const { text, env, figure } of WAYS) {
    makeCodeCache(bench.program, env)
    const samples = await startAgain(bench, config, env, text)
    const of = (name) => samples.map((sample) => sample[name]).filter((value) => value !== undefined)
    figures[`start.${figure}`] = ratio(of('pluginMs'), of('floorMs'))
    figures[`rss.idle.${figure}Mb`] = spread(of('rssMb'))
    const row = (name, values, rss) => [name, median(values).toFixed(0), Math.min(...values).toFixed(0), rss]
    rows.push(row(`\`node -e 0\` ${text}, start to end`, of('floorMs'), '-'))
    const rss = median(of('rssMb')).toFixed(0)
    rows.push(row(`kmsplugin ${text}, local key, start to first Status`, of('pluginMs'), rss))
  }
  // The other scenarios run as shipped.
  makeCodeCache(bench.program, ENV)
  return { figures, table: { head: ['process', 'median ms', 'lowest ms', 'RSS idle MB'], rows } }
}

async function startAgain({ rounds, isQuick, say, subjects }, config, env, text) {
  const samples = []
  for (let round = 0; round < rounds.start; round++) {
    if (round % 5 === 0) say(`${text}: start ${round + 1} of ${rounds.start}`)
    const floor = async () => new Process([process.execPath, '-e', '0'], { cpu: CPU.subject, env }).exited
    const floorMs = await timed(floor)
    let plugin
    const pluginMs = await timed(async () => {
      plugin = subjects.launch(config, { env: { NODE_OPTIONS: '', ...env } })
      await plugin.ready()
    })
    let rssMb
    // Not of the first round, which does not count.
    if (round >= 1 && round <= (isQuick ? 1 : 3)) {
      await pause(IDLE_AFTER_MS)
      rssMb = plugin.process.rssMb()
    }
    await plugin.stop()
    samples.push({ floorMs, pluginMs, rssMb })
  }
  // The first one reads the files from the disk.
  samples.shift()
  return samples
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
