/** One running plugin of which every Encrypt and Decrypt needs the HSM, before a token that fails on demand. */
import { randomBytes } from 'node:crypto'
import { CallStream, type SealedValue } from './call_stream.js'
import { makeFaultModule, type FaultModule } from './fault_module.js'
import { childrenOf, HsmSandbox } from './hsm.js'
import { KmsClient } from './kms_client.js'
import { freePort, until, type Process, type Settings } from './plugin.js'

/** As kube-apiserver's; longer than `retry.totalTimeout`, so that it is the plugin that gives up. */
export const CALL_TIMEOUT_MS = 3000

export class OutageBench {
  readonly sandbox: HsmSandbox
  readonly token: FaultModule
  /** For Encrypt and Decrypt. */
  readonly traffic: KmsClient
  /** A connection of its own for Status. */
  readonly observer: KmsClient
  readonly #port: number
  readonly #streams: CallStream[] = []
  #plugin: Process | undefined

  private constructor(sandbox: HsmSandbox, port: number) {
    this.sandbox = sandbox
    this.token = makeFaultModule(sandbox.hsm)
    this.traffic = new KmsClient(sandbox.socket, CALL_TIMEOUT_MS)
    this.observer = new KmsClient(sandbox.socket)
    this.#port = port
  }

  static async open(): Promise<OutageBench> {
    const bench = new OutageBench(await HsmSandbox.make(), await freePort())
    await bench.start()
    return bench
  }

  get plugin(): Process {
    if (this.#plugin === undefined) throw new Error('no plugin was started')
    return this.#plugin
  }

  /** A plugin with the defaults, but that it keeps no DEK. */
  async start(): Promise<void> {
    const settings: Settings = {
      server: { stateDir: this.sandbox.path('state'), drainTimeout: '5s' },
      health: { address: `127.0.0.1:${this.#port}` },
      log: { level: 'info' },
      envelope: { dek: 'fresh', dekCacheTimeout: 0 },
      keys: { hsm: this.sandbox.key({ module: this.token.path }) },
    }
    this.#plugin = await this.sandbox.serveHsm(settings)
  }

  /** The process that holds the HSM; `undefined` while there is none. */
  get child(): number | undefined {
    return childrenOf(this.plugin.pid)[0]
  }

  /** Values under DEKs of their own. */
  async seal(count: number): Promise<readonly SealedValue[]> {
    const plaintexts = Array.from({ length: count }, () => randomBytes(32))
    return Promise.all(
      plaintexts.map(async (plaintext) => ({ sealed: await this.traffic.v2Encrypt(plaintext), plaintext })),
    )
  }

  stream(values: readonly SealedValue[]): CallStream {
    const stream = new CallStream(this.traffic, values)
    this.#streams.push(stream)
    return stream
  }

  /** The body; throws unless the answer is 200. */
  async get(path: '/livez' | '/readyz' | '/metrics'): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${this.#port}${path}`)
    const text = await response.text()
    if (!response.ok) throw new Error(`${path}: ${response.status}`)
    return text
  }

  /** What /metrics says now; `sum` is that of one metric over all its labels. */
  async metrics(): Promise<{ sum: (name: string) => number }> {
    const lines = (await this.get('/metrics')).split('\n')
    const of = (name: string) => lines.filter((line) => /^\w+/.exec(line)?.[0] === name)
    return { sum: (name) => of(name).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0) }
  }

  /** Waits until Status is ok, /readyz is 200, and both operations work. */
  async isWell(): Promise<void> {
    const works = async (): Promise<boolean> => {
      try {
        await this.get('/readyz')
        const [{ sealed, plaintext }] = (await this.seal(1)) as [SealedValue]
        const opened = await this.traffic.v2Decrypt(sealed)
        return opened.equals(plaintext) && (await this.observer.v2Status()).healthz === 'ok'
      } catch {
        return false
      }
    }
    await until(works, 60_000, 'the plugin is well')
  }

  async close(): Promise<void> {
    const stopped = this.#streams.map(async (stream) => stream.stop())
    this.traffic.close()
    this.observer.close()
    await Promise.all(stopped)
    await this.sandbox.close()
  }
}
