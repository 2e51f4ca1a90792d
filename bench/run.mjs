// npm run bench: measures the built program. docs/performance.md explains each figure.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { build, ensureAddon, ensureCompiler, ensurePackages, ensureSoftHsm } from '../scripts/setup.mjs'
import { SlowKms } from './lib/kms.mjs'
import { Load } from './lib/load.mjs'
import { isPinned, killAll } from './lib/processes.mjs'
import { ENV, keepCodeCache, makeCodeCache } from './lib/shipped.mjs'
import { Subjects } from './lib/subjects.mjs'
import { printGoals, printTable } from './report/terminal.mjs'

const ROOT = resolve(import.meta.dirname, '..')
const OUT = join(ROOT, '.measured')
const SCENARIOS = {
  start: 'start',
  throughput: 'throughput',
  'slow-kms': 'slow_kms',
  hsm: 'hsm',
  memory: 'memory',
}

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    client: { type: 'string' },
    program: { type: 'string' },
    save: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const HELP = `npm run bench -- [--quick] [--only SCENARIO]... [--client node|grpc-go] [--program FILE] [--save]
  --quick    less than a minute, too few calls for the figures to mean much
  --only     ${Object.keys(SCENARIOS).join(', ')}
  --client   the load generator: grpc-go where Go is present, else node
  --program  another build of the plugin: its dist/main.js
  --save     also writes docs/performance.json, .svg and the tables of docs/performance.md`

const rounds = flags.quick
  ? { start: 3, throughput: 1, slowKms: 1, hsm: 1, memory: 1 }
  : { start: 22, throughput: 5, slowKms: 3, hsm: 3, memory: 1 }

async function main() {
  if (flags.help) {
    console.log(HELP)
    return
  }
  const wanted = flags.only.length === 0 ? Object.keys(SCENARIOS) : flags.only
  for (const name of wanted)
    if (!(name in SCENARIOS)) throw new Error(`there is no scenario ${name}\n${HELP}`)
  const program = builtProgram()
  if (wanted.includes('hsm')) installHsm()
  const go = await findGo()
  const results = { about: about(go), scenarios: {}, figures: {} }
  const folder = mkdtempSync(join(tmpdir(), 'kms-bench-'))
  // However this ends, by Ctrl-C too.
  process.once('exit', () => {
    killAll()
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  })
  process.once('exit', keepCodeCache(program))
  makeCodeCache(program, ENV)
  try {
    const kms = await SlowKms.start(folder)
    const loads = [newLoad(go, folder), newLoad(go, folder)]
    const bench = {
      ...{ isQuick: flags.quick, rounds, folder, kms, go, program },
      subjects: new Subjects(folder, program),
      ...{ load: loads[0], statusLoad: loads[1] },
      say: (text) => console.error(`bench: ${text}`),
    }
    for (const name of wanted) {
      console.error(`bench: ${name}`)
      const { title, run } = await import(`./scenarios/${SCENARIOS[name]}.mjs`)
      const { figures, table, skipped } = await run(bench)
      results.scenarios[name] = { title, table, skipped }
      Object.assign(results.figures, figures)
      printTable(results.scenarios[name])
    }
  } finally {
    killAll()
  }
  printGoals(results)
  mkdirSync(OUT, { recursive: true })
  writeFileSync(join(OUT, 'bench.json'), `${JSON.stringify(results, undefined, 2)}\n`)
  if (flags.save) await (await import('./report/document.mjs')).writeDocument(results)
}

/** That of `--program`, else this tree's, built now. */
function builtProgram() {
  if (flags.program === undefined) {
    ensurePackages()
    build()
  }
  const program = resolve(flags.program ?? join(ROOT, 'dist/main.js'))
  if (!existsSync(program)) throw new Error(`there is no ${program}`)
  return program
}

/** What is missing after this, the scenario says by itself. */
function installHsm() {
  for (const ensure of [ensureSoftHsm, ensureAddon, ensureCompiler]) {
    const missing = ensure()
    if (missing !== undefined) console.error(`bench: ${missing}`)
  }
}

/** Quick runs build nothing. */
async function findGo() {
  if (flags.client === 'node' && flags.quick) return undefined
  const { goPrograms } = await import('./lib/go.mjs')
  return goPrograms({ build: !flags.quick, say: (text) => console.error(`bench: ${text}`) })
}

function newLoad(go, folder) {
  if (![undefined, 'node', 'grpc-go'].includes(flags.client)) {
    throw new Error(`--client ${flags.client}: there are node and grpc-go`)
  }
  const useGo = go !== undefined && flags.client !== 'node'
  if (!useGo && flags.client === 'grpc-go') throw new Error('--client grpc-go: there is no Go here')
  const words = useGo ? go.client : [process.execPath, join(ROOT, 'bench/client/main.mjs')]
  return new Load(useGo ? 'grpc-go' : 'node', words, mkdtempSync(join(folder, 'load-')))
}

function about(go) {
  const { model } = cpus()[0]
  const pinned = isPinned ? '' : ', nothing pinned to a processor'
  const machine = `${cpus().length} × ${model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB${pinned}`
  const client = go !== undefined && flags.client !== 'node' ? 'grpc-go' : 'node'
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: commit(),
    node: process.version,
    machine,
    client,
    rounds,
    isQuick: flags.quick,
  }
}

/** Of this tree; not known where there is no git, or the sources came without their history. */
function commit() {
  const { status, stdout } = spawnSync('git', ['describe', '--always', '--dirty'], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  return status === 0 ? stdout.trim() : 'not known'
}

await main().catch((error) => {
  console.error(`bench: ${error.message}`)
  process.exitCode = 1
})
