// One kmsplugin with a folder of its own: its config, its life, and whether it is ready.
import { spawn, spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
const READY_TIMEOUT_MS = 30_000
const STOP_TIMEOUT_MS = 15_000

export class Plugin {
  socket
  #folder
  #port
  #env
  #child
  #isStopping = false
  #fault
  #keys = {}

  /**
   * @param folder Made here, mode 0700.
   * @param port A free port on loopback for the health pages.
   * @param env What the backend needs beside our own environment.
   */
  constructor(folder, port, env) {
    mkdirSync(folder, { mode: 0o700 })
    this.#folder = folder
    this.#port = port
    this.#env = { ...process.env, ...env }
    this.socket = join(folder, 'kms.sock')
    // Nothing outlives us, whatever ends us.
    process.on('exit', () => this.#child?.kill('SIGKILL'))
  }

  /** Adds a key and makes it the primary; takes effect at the next start. */
  addPrimary(name, section) {
    this.#keys[name] = section
    const config = {
      server: { socket: this.socket, kmsV1: true },
      health: { address: `127.0.0.1:${this.#port}`, probeInterval: '1s' },
      primary: name,
      keys: this.#keys,
    }
    // JSON is YAML.
    writeFileSync(this.#config, JSON.stringify(config, undefined, 2), { mode: 0o600 })
  }

  /** Makes the KEK of a key that was added. */
  keygen(name) {
    const args = [MAIN, 'keygen', '--config', this.#config, '--key', name]
    const made = spawnSync(process.execPath, args, { env: this.#env, encoding: 'utf8', timeout: 60_000 })
    if (made.status !== 0) throw new Error(`keygen: ${made.stderr || made.error?.message || 'no answer'}`)
  }

  /** Starts it if it does not run; resolves when it is ready. */
  async start() {
    if (this.#child !== undefined) return
    const log = openSync(this.#log, 'a', 0o600)
    const args = [MAIN, 'serve', '--config', this.#config]
    const child = spawn(process.execPath, args, { env: this.#env, stdio: ['ignore', log, log] })
    closeSync(log)
    this.#child = child
    child.once('exit', (code, signal) => {
      this.#child = undefined
      if (!this.#isStopping)
        this.#fault = `the plugin ended by itself with ${signal ?? code}: ${this.#lastLog()}`
    })
    const giveUpAt = Date.now() + READY_TIMEOUT_MS
    while (!(await this.#isReady())) {
      if (this.#fault !== undefined) throw new Error(this.#fault)
      if (Date.now() > giveUpAt) throw new Error(`the plugin does not become ready: ${this.#lastLog()}`)
      await pause(50)
    }
  }

  /** Resolves when the process is gone; rejects if it did not end well, or had ended before. */
  async stop(signal = 'SIGTERM') {
    if (this.#fault !== undefined) throw new Error(this.#fault)
    const child = this.#child
    if (child === undefined) return
    this.#isStopping = true
    const exited = once(child, 'exit')
    child.kill(signal)
    const overdue = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    const [code, killedBy] = await exited
    clearTimeout(overdue)
    this.#isStopping = false
    if (killedBy !== null && killedBy !== signal) throw new Error(`the plugin did not stop at ${signal}`)
    if (signal === 'SIGTERM' && code !== 0) throw new Error(`the plugin stopped with exit code ${code}`)
  }

  /** How many values of other plugins it has opened since it was started. */
  async foreignDecrypts() {
    const answer = await fetch(`http://127.0.0.1:${this.#port}/metrics`, {
      signal: AbortSignal.timeout(5000),
    })
    const samples = (await answer.text()).matchAll(
      /^kmsplugin_foreign_decrypts_total\{.*code="OK".*\} (\d+)$/gm,
    )
    return [...samples].reduce((sum, [, count]) => sum + Number(count), 0)
  }

  #lastLog() {
    return readFileSync(this.#log, 'utf8').trim().split('\n').slice(-5).join('\n')
  }

  async #isReady() {
    try {
      const url = `http://127.0.0.1:${this.#port}/readyz`
      return (await fetch(url, { signal: AbortSignal.timeout(1000) })).ok
    } catch {
      return false
    }
  }

  get #config() {
    return join(this.#folder, 'kmsplugin-config.yaml')
  }

  get #log() {
    return join(this.#folder, 'plugin.log')
  }
}
