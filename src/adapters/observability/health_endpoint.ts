/** The health server as something that starts and stops with the plugin. */
import type { Clock } from '../../ports/clock.js'
import { asKmsError } from '../../ports/errors.js'
import type { Endpoint } from '../../ports/operations.js'
import { startHealthServer, type HealthServer, type HealthServerOptions } from './health_server.js'

/** How often it tries again to listen. */
const RETRY_AFTER_MS = 1000

/**
 * The plugin serves kube-apiserver without it, so {@link start} never fails: a port that is in use, by the plugin
 * that is about to stop for example, is tried again until it is free.
 */
export class HealthEndpoint implements Endpoint {
  readonly #options: HealthServerOptions
  readonly #clock: Clock
  readonly #stopped = new AbortController()
  #server: HealthServer | undefined
  #retrying: Promise<void> | undefined

  constructor(options: HealthServerOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
  }

  async start(): Promise<void> {
    const problem = await this.#tryToListen()
    if (problem === undefined) return
    this.#options.logger.error('no health server yet', { reason: problem })
    this.#retrying = this.#retry()
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#retrying
    await this.#server?.close()
  }

  async #retry(): Promise<void> {
    do {
      await this.#clock.sleep(RETRY_AFTER_MS, this.#stopped.signal)
    } while (!this.#stopped.signal.aborted && (await this.#tryToListen()) !== undefined)
  }

  /** @returns Why it does not listen. */
  async #tryToListen(): Promise<string | undefined> {
    const { host, logger } = this.#options
    try {
      this.#server = await startHealthServer(this.#options)
      logger.info('health and metrics', { host, port: this.#server.port })
      return undefined
    } catch (error) {
      return asKmsError(error).message
    }
  }
}
