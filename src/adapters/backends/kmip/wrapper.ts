/** Wraps DEKs with a key on a KMIP server. */
import { KmsError, type KmsErrorCode } from '../../../ports/errors.js'
import type { NativeCiphertext } from '../../../ports/foreign.js'
import { kekPart, type KeyId } from '../../../ports/key_id.js'
import {
  DEK_BYTES,
  type CallOptions,
  type KeyWrapper,
  type Recognition,
  type WrappedDek,
} from '../../../ports/key_wrapper.js'
import type { Logger } from '../../../ports/logger.js'
import { untilAborted } from '../remote/credential.js'
import { formatOf, type WrapFormat } from './formats.js'
import { foreignGcm } from './foreign_gcm.js'
import { isUid } from './calls.js'
import { assertMayOpen, assertMayWrap, endings, keyIdOfKek, made, type Kek } from './kek.js'
import type { KekOnServer } from './kek_on_server.js'
import { wayOf, type Way } from './ways.js'
import { sameVersion, versionText, type KmipVersion } from './version.js'

/** What the self-test found, and what it holds for. */
interface Chosen {
  readonly uid: string
  readonly version: KmipVersion
  readonly way: Way
}

/** An unwrap that failed for what was to be unwrapped, or may have. */
const NOT_OPENED: readonly KmsErrorCode[] = ['ERR_DECRYPTION_FAILED', 'ERR_UNWRAP_AMBIGUOUS']

export class KmipKeyWrapper implements KeyWrapper {
  readonly backend = 'kmip'
  readonly #server: KekOnServer
  readonly #logger: Logger
  readonly #isPrimary: boolean
  #kek: Kek | undefined
  #chosen: Chosen | undefined
  #choosing: (Pick<Chosen, 'uid' | 'version'> & { readonly chosen: Promise<Chosen> }) | undefined
  readonly #warned = new Set<string>()

  /** @param isPrimary Whether the key must seal, not only open. */
  constructor(server: KekOnServer, logger: Logger, isPrimary: boolean) {
    this.#server = server
    this.#logger = logger
    this.#isPrimary = isPrimary
  }

  async currentKeyId({ signal }: CallOptions): Promise<KeyId> {
    const kek = await this.#look(signal)
    const assertUsable = this.#isPrimary ? assertMayWrap : assertMayOpen
    assertUsable(kek, this.#server.service)
    return keyIdOfKek(kek)
  }

  recognizes(keyId: KeyId): Recognition {
    if (this.#kek === undefined) return 'unknown'
    const kek = this.#kek
    const parts = [kek, { ...kek, initialDate: undefined }].map((one) => kekPart(keyIdOfKek(one)))
    if (parts.includes(kekPart(keyId))) return 'yes'
    return kek.initialDate === undefined ? 'unknown' : 'no'
  }

  async wrap(dek: Uint8Array, { signal }: CallOptions): Promise<WrappedDek> {
    const kek = this.#kek ?? (await this.#look(signal))
    return this.#forgetting(kek, async () => {
      const chosen = await this.#way(kek, signal)
      const keyId = keyIdOfKek(kek)
      const body = await this.#server.wrap(kek, chosen, dek, aadOf(keyId), signal)
      return { keyId, bytes: Buffer.concat([Buffer.of(chosen.way.format), body]) }
    })
  }

  async unwrap(wrapped: WrappedDek, { signal }: CallOptions): Promise<Uint8Array> {
    const kek = this.#kek ?? (await this.#look(signal))
    const isOurs = made(kek, wrapped.keyId)
    if (isOurs === false) throw this.#unknown(kek, wrapped.keyId)
    const format = formatOf(wrapped.bytes)
    if (format === undefined)
      throw new KmsError('ERR_DECRYPTION_FAILED', 'the wrapped DEK has no form of ours')
    const body = Buffer.from(wrapped.bytes.subarray(1))
    try {
      return await this.#forgetting(kek, async () => this.#opened(kek, format, body, wrapped.keyId, signal))
    } catch (error) {
      // It is not known whether this key made the DEK at all, so that the data is not to blame.
      const isNo = error instanceof KmsError && NOT_OPENED.includes(error.code)
      throw isNo && isOurs === undefined ? this.#unknown(kek, wrapped.keyId) : error
    }
  }

  /**
   * Opens what another program had a key of this server encrypt by AES-GCM.
   *
   * @param ciphertext See foreign_gcm.ts; `keyName`: the Unique Identifier of any key of the server; absent, the key of
   * the settings.
   */
  async decryptNative(ciphertext: NativeCiphertext, { signal }: CallOptions): Promise<Uint8Array> {
    const { keyName } = ciphertext
    if (keyName !== undefined && !isUid(keyName)) {
      throw new KmsError('ERR_KEY_UNKNOWN', 'the value names a key by what can be no Unique Identifier')
    }
    const open = foreignGcm(ciphertext)
    if (keyName === undefined) {
      const kek = this.#kek ?? (await this.#look(signal))
      return this.#forgetting(kek, async () =>
        this.#server.decrypt(kek.uid, (version) => open(kek.uid, version), signal),
      )
    }
    try {
      return await this.#server.decrypt(keyName, (version) => open(keyName, version), signal)
    } catch (error) {
      if (!(error instanceof KmsError) || error.code !== 'ERR_KEY_NOT_FOUND') throw error
      // The value says which key it needs, not the settings: nothing is wrong with the key that they name.
      throw new KmsError('ERR_KEY_UNKNOWN', `the value needs the key ${keyName}, and ${error.message}`)
    }
  }

  async close(): Promise<void> {
    this.#server.close()
    return Promise.resolve()
  }

  async #opened(
    kek: Kek,
    format: WrapFormat,
    body: Buffer,
    keyId: KeyId,
    signal: AbortSignal | undefined,
  ): Promise<Buffer> {
    const dek = await this.#server.unwrap(kek, wayOf(format), body, aadOf(keyId), signal)
    if (dek.length === DEK_BYTES) return dek
    dek.fill(0)
    throw new KmsError('ERR_DECRYPTION_FAILED', `what ${this.#server.service} opened is no DEK`)
  }

  #unknown(kek: Kek, keyId: KeyId): KmsError {
    const text = `the key ${kek.uid} of ${this.#server.service} did not make ${keyId}; name the key that did under keys, by its keyId`
    return new KmsError('ERR_KEY_UNKNOWN', text)
  }

  async #look(signal: AbortSignal | undefined): Promise<Kek> {
    const found = await this.#server.look(signal)
    // A date never changes: a server that was seen to tell it and does not now has the same key all the same.
    const initialDate =
      found.initialDate ?? (this.#kek?.uid === found.uid ? this.#kek.initialDate : undefined)
    const kek = { ...found, initialDate }
    if (this.#kek !== undefined && this.#kek.uid !== kek.uid) {
      this.#logger.warn(
        'the label names another key now; values under the old one open only while an entry names it by keyId',
        {
          before: this.#kek.uid,
          now: kek.uid,
        },
      )
    }
    this.#kek = kek
    this.#warnOfEnd(kek)
    return kek
  }

  /** Once for each date: the probe looks every half minute. */
  #warnOfEnd(kek: Kek): void {
    for (const what of endings(kek, Date.now())) {
      if (this.#warned.has(what)) continue
      this.#warned.add(what)
      this.#logger.warn(`the key stops by itself: ${what}; have its successor as primary before`, {
        uid: kek.uid,
      })
    }
  }

  /** Once for a KEK and a version; chosen again after the server has changed its version. */
  async #way(kek: Kek, signal: AbortSignal | undefined): Promise<Chosen> {
    const version = await this.#server.version(signal)
    const before = this.#chosen
    if (before?.uid === kek.uid && sameVersion(before.version, version)) return before
    if (this.#choosing?.uid !== kek.uid || !sameVersion(this.#choosing.version, version)) {
      const choosing = { uid: kek.uid, version, chosen: this.#choose(kek, version) }
      this.#choosing = choosing
      // When every waiter has left, nobody else listens to a failure.
      choosing.chosen
        .catch(() => undefined)
        .finally(() => {
          if (this.#choosing === choosing) this.#choosing = undefined
        })
    }
    return untilAborted(this.#choosing.chosen, signal, 'the self-test of the way to wrap did not end in time')
  }

  /** For all who wait for it, so that nobody's end ends it; each of its calls has a time limit. */
  async #choose(kek: Kek, version: KmipVersion): Promise<Chosen> {
    const way = await this.#server.chooseWay(kek, version)
    const chosen = { uid: kek.uid, version, way }
    this.#chosen = chosen
    this.#logger.info('the way to wrap was chosen by a self-test', {
      way: way.name,
      kmip: versionText(version),
    })
    return chosen
  }

  /** A key that is gone is looked for anew by the next call: its label may name another by then. */
  async #forgetting<T>(kek: Kek, call: () => Promise<T>): Promise<T> {
    try {
      return await call()
    } catch (error) {
      if (error instanceof KmsError && error.code === 'ERR_KEY_NOT_FOUND' && this.#kek === kek)
        this.#kek = undefined
      throw error
    }
  }
}

function aadOf(keyId: KeyId): Buffer {
  return Buffer.from(`kmsplugin/v1 dek ${keyId}`, 'ascii')
}
