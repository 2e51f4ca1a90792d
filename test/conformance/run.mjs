// Runs the scenarios of scenarios.json over each backend: builds the Go program that plays kube-apiserver, starts the
// plugin, and does with it what the scenarios ask for. README.md says how to read the result.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { backends } from './backends.mjs'
import { buildProgram } from './go_program.mjs'
import { MAIN, Plugin } from './plugin.mjs'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const scenarios = JSON.parse(readFileSync(new URL('scenarios.json', import.meta.url), 'utf8'))

/** All scenarios over one backend; they take two minutes at most. */
const BACKEND_TIMEOUT_MS = 600_000

/**
 * Never rejects for a reason that a line can carry.
 *
 * @param say Gets each line when it is known, and what is being done between them.
 * @returns How many passed and failed, `NAME: reason` of those skipped, and all lines: `ok NAME`, `FAILED NAME: why`,
 *   `skipped NAME: reason`.
 */
export async function runConformance(say = console.log) {
  const totals = { passed: 0, failed: 0, skipped: [], lines: [] }
  const report = (backend, { promise }, { outcome, why, millis }) => {
    const name = `${backend}: ${promise}`
    const reason = why?.trim().replaceAll(/\s*\n\s*/g, ' | ')
    const line = {
      ok: `ok ${name}`,
      failed: `FAILED ${name}: ${reason}`,
      skipped: `skipped ${name}: ${reason}`,
    }[outcome]
    if (outcome === 'ok') totals.passed += 1
    else if (outcome === 'failed') totals.failed += 1
    else totals.skipped.push(`${name}: ${reason}`)
    totals.lines.push(line)
    say(outcome === 'ok' ? `${line} (${(millis / 1000).toFixed(1)} s)` : line)
  }
  const reportAll = (backend, result) => scenariosOf(backend).forEach((one) => report(backend, one, result))

  let program
  try {
    program = await buildProgram(say)
    if (program.binary !== undefined) ensureBuilt(say)
  } catch (error) {
    for (const { name } of backends) reportAll(name, { outcome: 'failed', why: error.message })
    return totals
  }
  for (const backend of backends) {
    const missing = program.missing ?? backend.missing()
    if (missing === undefined) await runBackend(backend, program.binary, say, report)
    else reportAll(backend.name, { outcome: 'skipped', why: missing })
  }
  return totals
}

/** Those with `only` are about something that one backend alone has. */
function scenariosOf(backend) {
  return scenarios.filter(({ only }) => only === undefined || only === backend)
}

function ensureBuilt(say) {
  if (existsSync(MAIN)) return
  say('conformance: npm run build')
  const args = [join(ROOT, 'scripts/build.mjs')]
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' })
  if (status !== 0) throw new Error(`the build of the plugin failed: ${stderr}`)
}

async function runBackend(backend, binary, say, report) {
  const open = new Set(scenariosOf(backend.name))
  say(`conformance: ${open.size} scenarios over ${backend.name}`)
  const folder = mkdtempSync(join(tmpdir(), 'kmsconf-'))
  let hasFailed = false
  const close = (id, result) => {
    const scenario = scenarios.find((one) => one.id === id)
    hasFailed ||= result.outcome === 'failed'
    if (open.delete(scenario)) report(backend.name, scenario, result)
  }
  let bench
  let why
  try {
    bench = await Bench.make(backend, folder)
    await bench.do('start')
    const args = ['-backend', backend.name, '-folder', folder, '-examples', join(ROOT, 'examples')]
    why = await converse(binary, [...args, '-socket', bench.socket], bench, close)
  } catch (error) {
    why = error.message
  }
  try {
    await bench?.close()
  } catch (error) {
    why ??= error.message
  }
  if (open.size > 0) why ??= 'the Go program did not report it'
  for (const { id } of open) close(id, { outcome: 'failed', why })
  if (why !== undefined && !hasFailed) {
    // Every scenario was fine, and yet.
    report(backend.name, { promise: 'plugin and Go program end well' }, { outcome: 'failed', why })
    hasFailed = true
  }
  if (hasFailed) say(`conformance: config and logs of the plugin are kept in ${folder}`)
  else rmSync(folder, { recursive: true, force: true })
}

/** The plugin under test, the stranger beside it, and all that a scenario may ask to be done with them. */
class Bench {
  #prepared
  #plugin
  #foreign
  #primary = 'kek-1'

  /** Nothing runs yet. */
  static async make(backend, folder) {
    const bench = new Bench()
    const [port, foreignPort, serverPort] = await freePorts(3)
    bench.#prepared = backend.prepare(folder, serverPort)
    const { env } = bench.#prepared
    bench.#plugin = new Plugin(join(folder, 'plugin'), port, env)
    bench.#addPrimary(bench.#plugin, bench.#primary)
    bench.#foreign = new Plugin(join(folder, 'foreign'), foreignPort, env)
    bench.#addPrimary(bench.#foreign, 'foreign')
    return bench
  }

  #addPrimary(plugin, name) {
    const { keySection, makeKek } = this.#prepared
    plugin.addPrimary(name, keySection(name))
    if (makeKek === undefined) plugin.keygen(name)
    else makeKek(name)
  }

  get socket() {
    return this.#plugin.socket
  }

  /** Answers as operator.go wants it. */
  async do(what) {
    const { rotate } = this.#prepared
    switch (what) {
      case 'start':
        await this.#plugin.start()
        return {}
      case 'stop':
        await this.#plugin.stop()
        return {}
      case 'restart':
        return this.#restart('SIGTERM')
      case 'crash':
        return this.#restart('SIGKILL')
      case 'rotate':
        rotate(this.#primary)
        return {}
      case 'move-primary':
        this.#primary = 'kek-2'
        this.#addPrimary(this.#plugin, this.#primary)
        return this.#restart('SIGTERM')
      case 'peer':
        return { peer: this.#prepared.peer }
      case 'foreign-decrypts':
        return { count: await this.#plugin.foreignDecrypts() }
      case 'foreign':
        await this.#foreign.start()
        return { socket: this.#foreign.socket }
      default:
        throw new Error(`nobody knows how to ${what}`)
    }
  }

  async #restart(signal) {
    await this.#plugin.stop(signal)
    await this.#plugin.start()
    return {}
  }

  async close() {
    const [first, second] = await Promise.allSettled([this.#plugin.stop(), this.#foreign.stop()])
    this.#prepared.close?.()
    const failed = [first, second].find(({ status }) => status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }
}

/** Answers why the program ended badly, `undefined` if it did not. */
async function converse(binary, args, bench, close) {
  const child = spawn(binary, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  const kill = () => child.kill('SIGKILL')
  process.on('exit', kill)
  const ended = once(child, 'exit')
  const overdue = setTimeout(kill, BACKEND_TIMEOUT_MS)
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr = (stderr + text).slice(-4000)
  })
  // It may end while an answer is on its way.
  child.stdin.on('error', () => undefined)
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const { ask, id, ...result } = JSON.parse(line)
      if (ask === undefined) {
        close(id, result)
        continue
      }
      const answer = await bench.do(ask).catch((error) => ({ error: error.message }))
      child.stdin.write(`${JSON.stringify(answer)}\n`)
    }
    const [code, signal] = await ended
    if (signal !== null) return `the Go program was ended by ${signal}`
    return code === 0 ? undefined : `the Go program ended with ${code}: ${stderr.trim()}`
  } finally {
    clearTimeout(overdue)
    process.off('exit', kill)
    kill()
  }
}

/** Held together until all are known, so that they differ. */
async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map(async (server) => once(server, 'listening')))
  const ports = servers.map((server) => server.address().port)
  await Promise.all(servers.map(async (server) => once(server.close(), 'close')))
  return ports
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
  const { passed, failed, skipped } = await runConformance()
  console.log(`${passed} passed, ${failed} failed, ${skipped.length} skipped`)
  process.exitCode = failed === 0 ? 0 : 1
}
