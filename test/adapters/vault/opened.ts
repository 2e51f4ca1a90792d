/** A wrapper over a fake Vault, with clock, files and log of its own, for one test. */
import { expect, vi } from 'vitest'
import type { BackendDeps } from '../../../src/adapters/backends/backend.js'
import { vault } from '../../../src/adapters/backends/vault/index.js'
import type { VaultSettings } from '../../../src/adapters/backends/vault/settings.js'
import type { Finding } from '../../../src/ports/operations.js'
import type { CallOptions, KeyWrapper } from '../../../src/ports/key_wrapper.js'
import { silentLogger } from '../../../src/ports/logger.js'
import { ManualClock } from '../../doubles/manual_clock.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'
import { PrivateFiles } from '../../support/certificates.js'
import { FakeVault } from '../../support/fakes/vault.js'
import type { Entry, Method } from '../../support/fakes/vault/logins.js'
import { backendDeps } from '../../support/backend_deps.js'
import type { FakeToken, TokenWish } from '../../support/fakes/vault/tokens.js'

export const PLUGIN = ['default', 'plugin']

export function silentDeps(change: Partial<BackendDeps> = {}): BackendDeps {
  return backendDeps({ logger: silentLogger, callTimeoutMs: 10_000, ...change })
}

export interface Opening {
  readonly auth?: Record<string, unknown>
  readonly settings?: Record<string, unknown>
  readonly deps?: Partial<BackendDeps>
}

/** Where the server is real HTTP on loopback and the plugin's clock stands still. */
export class Bench {
  readonly fake: FakeVault
  readonly clock = new ManualClock()
  readonly files = new PrivateFiles()
  readonly logger = new RecordingLogger()
  readonly #opened: KeyWrapper[] = []
  readonly options: CallOptions = { deadlineMs: Infinity }

  private constructor(fake: FakeVault) {
    this.fake = fake
  }

  /** With a key `kek` of type aes256-gcm96, and AppRole `role-id` with `the-secret-id`. */
  static async start(token: TokenWish = {}): Promise<Bench> {
    const fake = await FakeVault.start()
    fake.transit.create('kek')
    const bench = new Bench(fake)
    bench.login('approle', 'role-id', ['the-secret-id'], token)
    return bench
  }

  login(method: Method, name: string, secrets: readonly string[], token: TokenWish = {}): Entry {
    return this.fake.logins.add(method, method, name, secrets, { policies: PLUGIN, ...token })
  }

  token(wish: TokenWish = {}): FakeToken {
    return this.fake.tokens.make({ policies: PLUGIN, ...wish })
  }

  file(name: string, content: string, mode?: number): string {
    return `file:${this.files.write(name, content, mode)}`
  }

  /** `approle` with the right secret id unless told otherwise. */
  settings({ auth, settings = {} }: Opening = {}): VaultSettings {
    const secretId = auth === undefined ? this.file('secret-id', 'the-secret-id\n') : undefined
    return vault.settings.parse({
      ...{ backend: 'vault', url: this.fake.server.url, keyName: 'kek' },
      auth: auth ?? { method: 'approle', roleId: 'role-id', secretId },
      ...settings,
    })
  }

  deps(change: Partial<BackendDeps> = {}): BackendDeps {
    return silentDeps({ clock: this.clock, logger: this.logger, ...change })
  }

  open(opening: Opening = {}): KeyWrapper {
    const wrapper = vault.open(this.settings(opening), this.deps(opening.deps))
    this.#opened.push(wrapper)
    return wrapper
  }

  async check(opening: Opening = {}): Promise<readonly Finding[]> {
    return vault.check(this.settings(opening), this.deps(opening.deps))
  }

  /** Lets time pass for both; what the plugin does about it is on its way. */
  async pass(ms: number): Promise<void> {
    this.fake.advance(ms)
    await this.clock.advance(ms)
  }

  /** Polls: answers come over a real socket. */
  async until(holds: () => boolean): Promise<void> {
    await vi.waitFor(() => expect(holds()).toBe(true), { timeout: 10_000, interval: 1 })
  }

  /** Lets time pass until something is asked because of it and its answer has been dealt with: one timer waits again. */
  async passUntilAsked(ms: number, asked: string): Promise<void> {
    await this.pass(ms)
    await this.until(() => this.fake.asked.includes(asked) && this.clock.sleepers === 1)
  }

  /** Paths asked since the last call of this, as `GET transit/keys/kek`. */
  takeAsked(): readonly string[] {
    const asked = this.fake.asked.slice()
    this.fake.server.requests.length = 0
    return asked
  }

  async close(): Promise<void> {
    for (const wrapper of this.#opened) await wrapper.close()
    await this.fake.close()
    this.files.remove()
  }
}
