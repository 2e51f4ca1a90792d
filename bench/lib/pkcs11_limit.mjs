/** The program that makes the device's calls directly (subjects/pkcs11_limit.mjs), as the HSM scenario uses it. */
import { once } from 'node:events'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { CPU, Process } from './processes.mjs'

const PROGRAM = resolve(import.meta.dirname, '../subjects/pkcs11_limit.mjs')

export class Pkcs11Limit {
  #process
  #lines

  /** Returns when each thread has a session. */
  static async start(hsm, threads) {
    const limit = new Pkcs11Limit()
    const words = [process.execPath, PROGRAM, JSON.stringify({ ...hsm.words, threads })]
    limit.#process = new Process(words, { cpu: CPU.subject, env: hsm.env })
    limit.#lines = createInterface({ input: limit.#process.stdout })
    await limit.#answer()
    return limit
  }

  /** Calls by so many threads for so long; answers as `Load.run`. */
  async run(pace) {
    const cpuBeforeMs = this.#process.cpuMs()
    this.#process.stdin.write(`${JSON.stringify(pace)}\n`)
    const result = await this.#answer()
    const cpuMs = this.#process.cpuMs() - cpuBeforeMs
    const perSecond = result.calls / result.seconds
    return { ...result, perSecond, cpuUsPerCall: (cpuMs * 1000) / result.calls }
  }

  async close() {
    await this.#process.kill()
  }

  async #answer() {
    const ended = this.#process.exited.then(() => {
      throw new Error(`the program on the device ended: ${this.#process.stderr}`)
    })
    const [line] = await Promise.race([once(this.#lines, 'line'), ended])
    return JSON.parse(line)
  }
}
