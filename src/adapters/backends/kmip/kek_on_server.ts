/** How is the KEK found on its server, and asked to wrap and unwrap? Refusals come out of here as errors of ours. */
import { KmsError } from '../../../ports/errors.js'
import * as calls from './calls.js'
import type { KmipCall, KmipClient } from './client.js'
import { asksState, Refused, refusalError } from './errors.js'
import { kindRefusal, stateRefusal, type Kek } from './kek.js'
import { onlyOne } from './label.js'
import { chooseWay } from './self_test.js'
import { operations } from './tags.js'
import type { Way } from './ways.js'
import { sameVersion, versionText, type KmipVersion } from './version.js'

/** By which the config names a key. */
export type KekName =
  | { readonly keyId: string; readonly keyLabel?: undefined }
  | { readonly keyLabel: string; readonly keyId?: undefined }

export class KekOnServer {
  readonly #client: KmipClient
  readonly #name: KekName

  constructor(client: KmipClient, name: KekName) {
    this.#client = client
    this.#name = name
  }

  /** In messages. */
  get service(): string {
    return this.#client.service
  }

  /** The key as it is now. @throws {KmsError} */
  async look(signal?: AbortSignal): Promise<Kek> {
    if (this.#name.keyId !== undefined) return this.#attributes(this.#name.keyId, signal)
    return onlyOne(this.#name.keyLabel, this.service, {
      locate: async (label, state) => this.#call(calls.locate(label, state), signal),
      attributes: async (uid) => this.#attributes(uid, signal),
    })
  }

  /** What the server says of itself. @throws {KmsError} */
  async info(signal?: AbortSignal): Promise<calls.ServerInfo> {
    return this.#call(calls.query, signal)
  }

  /** That of the newest connection; makes one where there was none yet. @throws {KmsError} */
  async version(signal?: AbortSignal): Promise<KmipVersion> {
    if (this.#client.version === undefined) await this.#offered(signal)
    const { version } = this.#client
    if (version === undefined) throw new KmsError('ERR_INTERNAL', 'a call was made in no version of KMIP')
    return version
  }

  /**
   * The best way that this server wraps in with this key, found by a self-test.
   *
   * @throws {KmsError}
   */
  async chooseWay(kek: Kek, version: KmipVersion, signal?: AbortSignal): Promise<Way> {
    await this.#assertOffers(signal)
    const trial = {
      wrap: async (way: Way, dek: Uint8Array, aad: Uint8Array) =>
        this.wrap(kek, { way, version }, dek, aad, signal),
      unwrap: async (way: Way, body: Buffer, aad: Uint8Array) => this.unwrap(kek, way, body, aad, signal),
    }
    return chooseWay(version, trial, this.service)
  }

  /**
   * @param by A way, and the version that it was chosen for.
   * @returns What follows the format byte.
   * @throws {KmsError}
   */
  async wrap(
    kek: Kek,
    { way, version }: { readonly way: Way; readonly version: KmipVersion },
    dek: Uint8Array,
    aad: Uint8Array,
    signal?: AbortSignal,
  ): Promise<Buffer> {
    const asked = way.seal(kek.uid, dek, aad)
    const call = calls.encrypt((spoken) => {
      if (sameVersion(spoken, version)) return asked
      // Before anything was sent: the next try chooses anew.
      const text = `${this.service} spoke KMIP ${versionText(version)} and speaks ${versionText(spoken)} now`
      throw new KmsError('ERR_BACKEND_UNAVAILABLE', text)
    })
    return way.sealed(asked, await this.#call(call, signal, kek), version)
  }

  /**
   * @param body What follows the format byte.
   * @returns What the server answers, which the caller owns, measures and wipes.
   * @throws {KmsError}
   */
  async unwrap(kek: Kek, way: Way, body: Buffer, aad: Uint8Array, signal?: AbortSignal): Promise<Buffer> {
    return this.decrypt(kek.uid, (version) => way.open(kek.uid, body, aad, version), signal)
  }

  /**
   * @param what For the version that the connection has.
   * @returns As {@link unwrap}.
   * @throws {KmsError}
   */
  async decrypt(
    uid: string,
    what: (version: KmipVersion) => calls.Transform,
    signal?: AbortSignal,
  ): Promise<Buffer> {
    return (await this.#call(calls.decrypt(what), signal, { uid })).data
  }

  close(): void {
    this.#client.close()
  }

  async #attributes(uid: string, signal?: AbortSignal): Promise<Kek> {
    return this.#call(calls.getAttributes(uid), signal)
  }

  /** A server that does not say what it offers is tried. */
  async #assertOffers(signal?: AbortSignal): Promise<void> {
    const offered = await this.#offered(signal)
    const needed = [operations.ENCRYPT, operations.DECRYPT]
    if (offered.length === 0 || needed.every((one) => offered.includes(one))) return
    const text = `${this.service} offers no Encrypt or Decrypt to this client; switch the cryptographic operations on`
    throw new KmsError('ERR_CONFIG_INVALID', text)
  }

  async #offered(signal?: AbortSignal): Promise<readonly number[]> {
    try {
      return (await this.info(signal)).operations
    } catch (error) {
      if (error instanceof KmsError && error.fault === 'operator') return []
      throw error
    }
  }

  async #call<T>(call: KmipCall<T>, signal: AbortSignal | undefined, kek?: Pick<Kek, 'uid'>): Promise<T> {
    try {
      return await this.#client.call(call, signal)
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      const { refusal } = error
      const because = kek !== undefined && asksState(refusal) ? await this.#stateNow(kek, signal) : undefined
      throw (
        because ?? refusalError(refusal, this.service, kek === undefined ? '' : ` with the key ${kek.uid}`)
      )
    }
  }

  /** Why the key's state or kind explains a refusal; `undefined` where it does not, or cannot be read. */
  async #stateNow({ uid }: Pick<Kek, 'uid'>, signal: AbortSignal | undefined): Promise<KmsError | undefined> {
    try {
      const kek = await this.#attributes(uid, signal)
      return stateRefusal(kek, this.service) ?? kindRefusal(kek, this.service)
    } catch (error) {
      return error instanceof KmsError && error.code === 'ERR_KEY_NOT_FOUND' ? error : undefined
    }
  }
}
