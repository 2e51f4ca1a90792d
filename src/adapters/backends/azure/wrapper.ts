/** Wraps DEKs with a key in Azure Key Vault or a Managed HSM. */
import { KmsError } from '../../../ports/errors.js'
import type { NativeCiphertext } from '../../../ports/foreign.js'
import { kekPart, type KeyId } from '../../../ports/key_id.js'
import type { CallOptions, KeyWrapper, Recognition, WrappedDek } from '../../../ports/key_wrapper.js'
import type { BackendDeps } from '../backend.js'
import { malformed } from '../remote/json_answer.js'
import { serviceOf } from './client.js'
import { pack, unpack, type Parts } from './format.js'
import { assertUsable, kekName, kekPartOf, keyIdOfVersion } from './key.js'
import { NamedVersions } from './named_versions.js'
import type { AzureSettings } from './settings.js'
import { Vault } from './vault.js'

type Current = Omit<Parts, 'ciphertext'>

/** Follows the latest version unless one is pinned; a DEK is unwrapped by the version that its own bytes name. */
export class AzureKeyWrapper implements KeyWrapper {
  readonly backend = 'azure'
  readonly #settings: AzureSettings
  readonly #vault: Vault
  readonly #named: NamedVersions
  readonly #kekPart: string
  #wasAsked = false
  /** As {@link currentKeyId} last found it. */
  #current: Current | undefined

  constructor(settings: AzureSettings, deps: BackendDeps) {
    this.#settings = settings
    this.#vault = new Vault(settings, deps)
    this.#named = new NamedVersions(settings, this.#vault, deps.clock)
    this.#kekPart = kekPartOf(settings)
  }

  async currentKeyId(options: CallOptions): Promise<KeyId> {
    const { version } = await this.#readCurrent(options)
    return keyIdOfVersion(this.#settings, version)
  }

  recognizes(keyId: KeyId): Recognition {
    if (!this.#wasAsked) return 'unknown'
    return kekPart(keyId) === this.#kekPart ? 'yes' : 'no'
  }

  async wrap(dek: Uint8Array, options: CallOptions): Promise<WrappedDek> {
    const before = this.#current
    const current = before ?? (await this.#readCurrent(options))
    try {
      return await this.#wrapWith(current, dek, options)
    } catch (error) {
      // The version that was read a while ago may have been put away since, in favour of a newer one.
      const isOfKey = error instanceof KmsError && error.code.startsWith('ERR_KEY_')
      if (before === undefined || !isOfKey) throw error
      const now = await this.#readCurrent(options)
      if (now.version === before.version) throw error
      return this.#wrapWith(now, dek, options)
    }
  }

  async unwrap(wrapped: WrappedDek, options: CallOptions): Promise<Uint8Array> {
    this.#wasAsked = true
    const { keyId, bytes } = wrapped
    if (kekPart(keyId) !== this.#kekPart) {
      throw new KmsError('ERR_KEY_UNKNOWN', `${kekName(this.#settings)} is not the KEK of ${keyId}`)
    }
    const parts = unpack(bytes)
    if (parts === undefined || keyIdOfVersion(this.#settings, parts.version) !== keyId) {
      throw new KmsError(
        'ERR_DECRYPTION_FAILED',
        `the wrapped DEK was not made by ${kekName(this.#settings)}`,
      )
    }
    return this.#vault.unwrap(parts, options)
  }

  /**
   * `bytes` is what Azure's own encrypt made with `algorithm`, RSA1_5 or RSA-OAEP-256. `keyName` is the SHA-256 of the key
   * identifier with its version, 64 hexadecimal digits; without it the configured version decrypts, else the latest.
   *
   * @throws {KmsError} `ERR_KEY_UNKNOWN`: no version of this key has that name.
   */
  async decryptNative(native: NativeCiphertext, options: CallOptions): Promise<Uint8Array> {
    this.#wasAsked = true
    const { bytes, algorithm, keyName } = native
    if (algorithm !== 'RSA1_5' && algorithm !== 'RSA-OAEP-256') {
      throw new KmsError('ERR_INTERNAL', `Azure is not asked to decrypt with ${algorithm ?? 'no algorithm'}`)
    }
    const version =
      keyName === undefined
        ? await this.#versionWithoutName(options)
        : await this.#named.versionOf(keyName, options)
    return this.#vault.decrypt(algorithm, version, bytes, options)
  }

  async close(): Promise<void> {
    this.#vault.close()
    return Promise.resolve()
  }

  async #versionWithoutName(options: CallOptions): Promise<string> {
    const version = this.#settings.keyVersion?.toLowerCase() ?? this.#current?.version
    return version ?? (await this.#readCurrent(options)).version
  }

  async #readCurrent(options: CallOptions): Promise<Current> {
    this.#wasAsked = true
    const key = await this.#vault.readKey(this.#settings.keyVersion?.toLowerCase(), options)
    this.#named.learn(key.kid)
    const algorithm = assertUsable(key, this.#settings)
    this.#current = { algorithm, version: key.version }
    return this.#current
  }

  async #wrapWith(current: Current, dek: Uint8Array, options: CallOptions): Promise<WrappedDek> {
    const ciphertext = await this.#vault.wrap(dek, current, options)
    const bytes = pack({ ...current, ciphertext })
    if (bytes === undefined) {
      throw malformed(
        serviceOf(this.#settings),
        `a wrapped key of ${ciphertext.length} bytes (${current.algorithm})`,
      )
    }
    return { keyId: keyIdOfVersion(this.#settings, current.version), bytes }
  }
}
