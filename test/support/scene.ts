/** Where does an end-to-end test play: a sandbox and its clients, per test or per group of tests, tidied up even on failure. */
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import { isHealthy, KmsClient } from './kms_client.js'
import { Sandbox, type Process, type Settings, type StartOptions } from './plugin.js'
import { RawClient } from './raw_grpc.js'

export class Scene {
  #sandbox: Sandbox | undefined
  #plugin: Process | undefined
  readonly #clients: { close(): void }[] = []

  get sandbox(): Sandbox {
    return (this.#sandbox ??= new Sandbox())
  }

  /** The plugin of {@link sharedPlugin}. */
  get plugin(): Process {
    if (this.#plugin === undefined) throw new Error('no plugin was started')
    return this.#plugin
  }

  async servePlugin(changes?: Settings, options?: StartOptions): Promise<void> {
    this.#plugin = await this.sandbox.serveLocal(changes, options)
  }

  /** A client as kube-apiserver has one. */
  connect(timeoutMs?: number, socket = this.sandbox.socket): KmsClient {
    return this.#kept(new KmsClient(socket, timeoutMs))
  }

  /** Whether a new connection is answered with a healthy Status soon. */
  async isHealthy(): Promise<boolean> {
    return isHealthy(this.sandbox.socket)
  }

  /** A client that kube-apiserver would never be. */
  connectRaw(peerMaxConcurrentStreams?: number): RawClient {
    return this.#kept(new RawClient(this.sandbox.socket, peerMaxConcurrentStreams))
  }

  async close(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.close()
    const sandbox = this.#sandbox
    this.#sandbox = undefined
    await sandbox?.close()
  }

  #kept<C extends { close(): void }>(client: C): C {
    this.#clients.push(client)
    return client
  }
}

/** A new sandbox for each test. */
export function sandboxPerTest(): Scene {
  const scene = new Scene()
  beforeEach(async () => scene.close())
  afterEach(async () => scene.close())
  return scene
}

/** One plugin with a local key for all tests of this `describe` or file; no test may stop or spoil it. */
export function sharedPlugin(changes?: Settings, options?: StartOptions): Scene {
  const scene = new Scene()
  beforeAll(async () => scene.servePlugin(changes, options))
  afterAll(async () => scene.close())
  return scene
}
