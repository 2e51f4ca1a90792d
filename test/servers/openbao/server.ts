/** A real OpenBao server for one test file: on loopback, with TLS by an authority of the test, gone when the test is. */
import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach } from 'vitest'
import { openBaoMissing, openBaoPath } from '../../../scripts/openbao.mjs'
import type { Authority, PrivateFiles } from '../../support/certificates.js'
import { endDaemon, signalGroup, startDaemon, until } from '../../support/modules/daemon.js'
import { BaoApi, textOf } from './api.js'
import { Operator } from './operator.js'
import { makeParts, type Parts, type Storage } from './server_parts.js'

/** Why these tests cannot run here; `undefined`: they can. */
export const missing = openBaoMissing()

/** The end of the log, for a test that failed. */
const SHOWN_BYTES = 6000

const running = new Set<OpenBao>()

afterEach(({ task }) => {
  if (task.result?.state !== 'fail') return
  for (const server of running) console.error(`OpenBao at ${server.url}:\n${server.log()}`)
})

/**
 * Is started as in production, with a config file, and initialized and unsealed over its API: `-dev` would fix the
 * root token on a command line and could not be started a second time on the same storage.
 */
export class OpenBao {
  readonly #parts: Parts
  #daemon: ChildProcess | undefined
  #unsealKey = ''
  #rootToken = ''

  private constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Initialized and unsealed. */
  static async start(storage: Storage = 'memory'): Promise<OpenBao> {
    const server = new OpenBao(await makeParts(storage))
    try {
      await server.#spawn()
      const made = await server.api.must('PUT', 'sys/init', { secret_shares: 1, secret_threshold: 1 })
      server.#rootToken = textOf(made, 'root_token')
      server.#unsealKey = String((made['keys_base64'] as unknown[])[0])
      await server.unseal()
      running.add(server)
      return server
    } catch (error) {
      const log = server.log()
      await server.close()
      throw new Error(`OpenBao did not start: ${String(error)}\n${log}`, { cause: error })
    }
  }

  get url(): string {
    return `https://127.0.0.1:${this.#parts.port}`
  }

  get authority(): Authority {
    return this.#parts.authority
  }

  /** Files of this server's test, removed with it. */
  get files(): PrivateFiles {
    return this.#parts.files
  }

  get caFile(): string {
    return join(this.#parts.files.folder, 'ca.pem')
  }

  /** As root, which may do anything. */
  get api(): BaoApi {
    return new BaoApi({ url: this.url, ca: this.authority.cert, token: this.#rootToken })
  }

  /** As root, with names for what tests do. */
  get operator(): Operator {
    return new Operator(this.api)
  }

  /** From now on it answers 503 to everything but {@link unseal}. */
  async seal(): Promise<void> {
    await this.api.must('PUT', 'sys/seal')
    await this.#until('it is sealed', async () => (await this.#health()) === 503)
  }

  async unseal(): Promise<void> {
    await this.api.must('PUT', 'sys/unseal', { key: this.#unsealKey })
    await this.#until('it is active', async () => (await this.#health()) === 200)
  }

  /** Without a word to anybody: connections break, the port is free. */
  async kill(): Promise<void> {
    const daemon = this.#daemon
    this.#daemon = undefined
    if (daemon === undefined) return
    const ended = new Promise((resolve) => daemon.once('exit', resolve))
    signalGroup(daemon, 'SIGKILL')
    await ended
  }

  /** After {@link kill}: on the same port, and with storage on disk as it was; unsealed. */
  async startAgain(): Promise<void> {
    await this.startSealed()
    await this.unseal()
  }

  /** As {@link startAgain}, and as it is until somebody unseals it. */
  async startSealed(): Promise<void> {
    await this.#spawn()
  }

  /** The end of what it wrote. */
  log(): string {
    try {
      return readFileSync(this.#logFile, 'utf8').slice(-SHOWN_BYTES)
    } catch {
      return ''
    }
  }

  /** Safe to call twice. */
  async close(): Promise<void> {
    running.delete(this)
    const daemon = this.#daemon
    this.#daemon = undefined
    if (daemon !== undefined) await endDaemon(daemon)
    this.files.remove()
  }

  get #logFile(): string {
    return join(this.#parts.files.folder, 'bao.log')
  }

  async #spawn(): Promise<void> {
    const script = 'exec "$0" server -config="$1" >>"$2" 2>&1'
    const words = ['-c', script, openBaoPath(), this.#parts.configFile, this.#logFile]
    this.#daemon = startDaemon('sh', words)
    await this.#until('it answers', async () => (await this.#health()) !== 0)
  }

  async #until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    if (this.#daemon === undefined) throw new Error('OpenBao does not run')
    await until(what, this.#daemon, isSo)
  }

  /** Its status code: 200 active, 429 standby, 501 not initialized, 503 sealed; 0: nobody answers. */
  async #health(): Promise<number> {
    return this.api.ask('GET', 'sys/health').then(
      ({ status }) => status,
      () => 0,
    )
  }
}
