/** A root key in the fake IBM KMS, and wrappers over it, for tests of every rung. */
import type { BackendDeps } from '../../src/adapters/backends/backend.js'
import { ibm } from '../../src/adapters/backends/ibm/index.js'
import type { KeyWrapper } from '../../src/ports/key_wrapper.js'
import { backendDeps } from './backend_deps.js'
import { PrivateFiles } from './certificates.js'
import { FakeIbm } from './fakes/ibm.js'
import type { FakeKey } from './fakes/ibm_keys.js'

/** Over plain HTTP; what TLS does is the matter of the faults. */
export class IbmSubject {
  readonly fake: FakeIbm
  readonly key: FakeKey
  readonly files = new PrivateFiles()
  /** What the file holds at the beginning. */
  readonly apiKey: string
  readonly apiKeyFile: string
  readonly #opened: KeyWrapper[] = []

  private constructor(fake: FakeIbm) {
    this.fake = fake
    this.key = fake.addKey()
    this.apiKey = fake.iam.makeApiKey()
    this.apiKeyFile = this.files.write('api-key', `${this.apiKey}\n`)
  }

  static async start(): Promise<IbmSubject> {
    return new IbmSubject(await FakeIbm.start())
  }

  settings(change: Record<string, unknown> = {}) {
    return ibm.settings.parse({
      backend: 'ibm',
      url: this.fake.server.url,
      instanceId: this.fake.instanceId,
      keyId: this.key.id,
      apiKey: `file:${this.apiKeyFile}`,
      tokenUrl: this.fake.tokenUrl,
      ...change,
    })
  }

  open(change: Record<string, unknown> = {}, deps: Partial<BackendDeps> = {}): KeyWrapper {
    const wrapper = ibm.open(this.settings(change), backendDeps(deps))
    this.#opened.push(wrapper)
    return wrapper
  }

  async close(): Promise<void> {
    await Promise.all(this.#opened.map(async (wrapper) => wrapper.close()))
    await this.fake.close()
    this.files.remove()
  }
}
