/** The KMS with a latency and a count (subjects/transit.mjs), and configs of the plugin that use it. */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { CPU, Process } from './processes.mjs'

const PROGRAM = resolve(import.meta.dirname, '../subjects/transit.mjs')

export class SlowKms {
  url
  #process
  #tokenFile

  static async start(folder) {
    const kms = new SlowKms()
    kms.#process = new Process([process.execPath, PROGRAM], { cpu: CPU.rest })
    const ended = kms.#process.exited.then(() => {
      throw new Error(`the KMS of the benchmark ended: ${kms.#process.stderr}`)
    })
    const [port] = await Promise.race([once(kms.#process.stdout, 'data'), ended])
    kms.url = `http://127.0.0.1:${String(port).trim()}`
    kms.#tokenFile = join(folder, 'kms-token')
    writeFileSync(kms.#tokenFile, 'bench', { mode: 0o600 })
    return kms
  }

  /** @param latencyMs Of each answer from now on; `'hang'`: none comes. */
  async setLatency(latencyMs) {
    await this.#admin(`/bench/latency/${latencyMs}`)
  }

  /** How often the plugin asked since the last call, by kind: `{encrypt, decrypt, keys, token}`. */
  async takeCounts() {
    const { encrypt = 0, decrypt = 0, keys = 0, token = 0 } = await this.#admin('/bench/counts')
    return { encrypt, decrypt, keys, token }
  }

  /** A config whose KEK is in this KMS; `retry` gives a slow one time. */
  config(envelope = {}, server = {}) {
    return {
      server: { kmsV1: true, ...server },
      envelope,
      retry: { callTimeout: '2s' },
      // So that no probe asks the KMS while its requests are counted.
      health: { address: '', probeInterval: '10m' },
      primary: 'kms',
      keys: {
        kms: {
          ...{ backend: 'vault', url: this.url, keyName: 'kek' },
          auth: { method: 'token', token: `file:${this.#tokenFile}` },
        },
      },
    }
  }

  async close() {
    await this.#process.kill()
  }

  async #admin(path) {
    return (await fetch(this.url + path)).json()
  }
}
