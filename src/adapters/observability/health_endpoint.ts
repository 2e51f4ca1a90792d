/** The health server as something that starts and stops with the plugin. */
import type { Endpoint } from '../../ports/operations.js'
import { startHealthServer, type HealthServer, type HealthServerOptions } from './health_server.js'

export class HealthEndpoint implements Endpoint {
  readonly #options: HealthServerOptions
  #server: HealthServer | undefined

  constructor(options: HealthServerOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    this.#server = await startHealthServer(this.#options)
    this.#options.logger.info('health and metrics', { host: this.#options.host, port: this.#server.port })
  }

  async stop(): Promise<void> {
    await this.#server?.close()
  }
}
