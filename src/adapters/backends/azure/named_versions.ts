/** Which version of the key does another plugin mean, that names it by the SHA-256 of its key identifier alone? */
import { createHash } from 'node:crypto'
import type { Clock } from '../../../ports/clock.js'
import { KmsError } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import { untilAborted } from '../remote/credential.js'
import { vaultHost } from './cloud.js'
import { kekName, versionIn } from './key.js'
import type { AzureSettings } from './settings.js'
import type { Vault } from './vault.js'

/** Azure lists 25 versions a page; nobody rotates so often. A bound for what one value can make us ask. */
const MAX_PAGES = 40

/** So long a version that was not in the list is not looked for again: any number of foreign values costs one list. */
const LIST_REST_MS = 30_000

/** Names and their versions, learnt from what was configured, from what was read, and at last from the list. */
export class NamedVersions {
  readonly #settings: AzureSettings
  readonly #vault: Vault
  readonly #clock: Clock
  readonly #versions = new Map<string, string>()
  #listedMs = -Infinity
  /** Shared by all who wait for it. */
  #listing: Promise<void> | undefined

  constructor(settings: AzureSettings, vault: Vault, clock: Clock) {
    this.#settings = settings
    this.#vault = vault
    this.#clock = clock
    const version = settings.keyVersion?.toLowerCase()
    if (version !== undefined)
      this.learn(`https://${vaultHost(settings)}/keys/${settings.keyName}/${version}`)
  }

  /** @param kid A key identifier of our key; any other is left out. */
  learn(kid: string): void {
    const version = versionIn(kid, this.#settings)
    if (version !== undefined) this.#versions.set(createHash('sha256').update(kid).digest('hex'), version)
  }

  /**
   * @param name 64 hexadecimal digits in lower case.
   * @returns 32 hexadecimal digits.
   * @throws {KmsError} `ERR_KEY_UNKNOWN`: no version of our key has this name; what asking for the list throws.
   */
  async versionOf(name: string, { signal }: CallOptions): Promise<string> {
    const known = this.#versions.get(name)
    if (known !== undefined) return known
    if (this.#clock.nowMs() - this.#listedMs >= LIST_REST_MS) {
      this.#listing ??= this.#list().finally(() => {
        this.#listing = undefined
      })
      await untilAborted(this.#listing, signal)
    }
    const found = this.#versions.get(name)
    if (found !== undefined) return found
    const text = `no version of ${kekName(this.#settings)} has the key id ${name.slice(0, 16)}…: another key made the value, or vaultUrl is not as the other plugin had it`
    throw new KmsError('ERR_KEY_UNKNOWN', text)
  }

  async #list(): Promise<void> {
    let after: string | undefined
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const { kids, next } = await this.#vault.listVersions(after, {})
      for (const kid of kids) this.learn(kid)
      if (next === undefined) break
      after = next
    }
    this.#listedMs = this.#clock.nowMs()
  }
}
