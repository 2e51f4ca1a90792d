/** Wraps DEKs with a key in the Transit engine of HashiCorp Vault or OpenBao. */
import type { BackendDeps } from '../backend.js'
import { KmsError } from '../../../ports/errors.js'
import { kekPart, type KeyId } from '../../../ports/key_id.js'
import type { CallOptions, KeyWrapper, Recognition, WrappedDek } from '../../../ports/key_wrapper.js'
import type { NativeCiphertext } from '../../../ports/foreign.js'
import type { VaultReply } from './client.js'
import { decryptErrorOf, errorOf, nativeErrorOf, type Question } from './errors.js'
import { assertUsable, kekName, kekPartOf, readKey, type TransitKey } from './key.js'
import { nativeBody, plaintextIn } from './native.js'
import { VaultSession } from './session.js'
import type { VaultSettings } from './settings.js'
import { assertWrapped, decryptBody, dekIn, encryptBody, wrappedIn } from './transit.js'

/**
 * Key id: namespace, mount and name of the key (and `context` and `associatedData`, where set); number and creation time of
 * the version, so that a key which was deleted and made anew is another one.
 */
export class VaultKeyWrapper implements KeyWrapper {
  readonly backend = 'vault'
  readonly #settings: VaultSettings
  readonly #session: VaultSession
  readonly #kekPart: string
  /** As it was last read. Versions only grow, unless the key is deleted: whatever does not fit is read again. */
  #known: TransitKey | undefined

  /** No I/O happens before the first call. */
  constructor(settings: VaultSettings, deps: BackendDeps) {
    this.#settings = settings
    this.#session = new VaultSession(settings, deps)
    this.#kekPart = kekPartOf(settings)
  }

  async currentKeyId(options: CallOptions): Promise<KeyId> {
    return (await this.#read(options)).currentKeyId
  }

  recognizes(keyId: KeyId): Recognition {
    if (this.#known === undefined) return 'unknown'
    return kekPart(keyId) === this.#kekPart ? 'yes' : 'no'
  }

  /**
   * Reads the key first: Vault makes a missing key when a token that may `create` encrypts with it. And once more
   * afterwards: a key that was deleted and made anew in between wraps with a version of the same number.
   */
  async wrap(dek: Uint8Array, options: CallOptions): Promise<WrappedDek> {
    const { currentKeyId, latestVersion } = await this.#read(options)
    const body = encryptBody(dek, latestVersion, this.#settings)
    const question = this.#question('encrypt')
    const reply = await this.#session.ask({ method: 'POST', path: question.path, body }, options)
    if (reply.status !== 200) throw errorOf(question, reply)
    const bytes = wrappedIn(reply.body, latestVersion, this.#session.service)
    if ((await this.#read(options)).versions.has(currentKeyId)) return { keyId: currentKeyId, bytes }
    throw new KmsError('ERR_BACKEND_UNAVAILABLE', `${question.kek} was made anew while it wrapped`)
  }

  async unwrap({ keyId, bytes }: WrappedDek, options: CallOptions): Promise<Uint8Array> {
    if (kekPart(keyId) !== this.#kekPart) {
      throw new KmsError('ERR_KEY_UNKNOWN', `${kekName(this.#settings)} did not make ${keyId}`)
    }
    const remembered = this.#known !== undefined && opens(this.#known, keyId) ? this.#known : undefined
    const key = remembered ?? (await this.#read(options))
    const version = this.#versionIn(key, keyId)
    assertWrapped(bytes)
    const body = decryptBody(bytes, version, this.#settings)
    const question = this.#question('decrypt')
    const reply = await this.#session.ask({ method: 'POST', path: question.path, body }, options)
    if (reply.status === 200) return dekIn(reply.body, this.#session.service)
    throw await this.#decryptError(question, reply, key, keyId, remembered !== undefined, options)
  }

  /**
   * Decrypts `vault:v<version>:…` with that version of the configured key, and of no other; which creation the version
   * is of, the ciphertext does not say: a key that was made anew under the name fails to authenticate it.
   */
  async decryptNative(ciphertext: NativeCiphertext, options: CallOptions): Promise<Uint8Array> {
    const body = nativeBody(ciphertext, this.#settings)
    const question = { ...this.#question('decrypt'), what: 'the value' }
    const reply = await this.#session.ask({ method: 'POST', path: question.path, body }, options)
    if (reply.status === 200) return plaintextIn(reply.body, this.#session.service)
    // Only the type of the key tells bad data of RSA from a fault of the server.
    const type = reply.status === 500 ? (this.#known ?? (await this.#read(options))).type : ''
    throw nativeErrorOf(question, reply, type)
  }

  async close(): Promise<void> {
    this.#known = undefined
    await this.#session.close()
  }

  /** What we remember may be of a key that was deleted since: only a key that is there still says that data is bad. */
  async #decryptError(
    question: Question,
    reply: VaultReply,
    key: TransitKey,
    keyId: KeyId,
    isRemembered: boolean,
    options: CallOptions,
  ): Promise<KmsError> {
    const error = decryptErrorOf(question, reply, key.type)
    const isAboutData = error.code === 'ERR_DECRYPTION_FAILED' || error.code === 'ERR_UNWRAP_AMBIGUOUS'
    if (isAboutData && isRemembered) this.#versionIn(await this.#read(options), keyId)
    return error
  }

  #versionIn({ versions, minDecryptionVersion, latestVersion }: TransitKey, keyId: KeyId): number {
    const version = versions.get(keyId)
    const kek = kekName(this.#settings)
    if (version === undefined && minDecryptionVersion > 1) {
      // Vault does not list what it may not open.
      const text = `${kek} has min_decryption_version ${minDecryptionVersion}, and ${keyId} is none of its versions ${minDecryptionVersion} to ${latestVersion}; lower it to open old values`
      throw new KmsError('ERR_KEY_UNUSABLE', text)
    }
    if (version === undefined) {
      const text = `${kek} has no version ${keyId}; was it deleted and made anew? Only a backup of the key opens what is under it`
      throw new KmsError('ERR_KEY_UNKNOWN', text)
    }
    if (version < minDecryptionVersion) {
      const text = `${kek} has min_decryption_version ${minDecryptionVersion}, and this was wrapped by version ${version}; lower it to open old values`
      throw new KmsError('ERR_KEY_UNUSABLE', text)
    }
    return version
  }

  async #read(options: CallOptions): Promise<TransitKey> {
    const question = this.#question('keys')
    const reply = await this.#session.ask({ method: 'GET', path: question.path }, options)
    if (reply.status !== 200) throw errorOf(question, reply)
    const key = readKey(reply.body, this.#settings, this.#session.service)
    this.#known = key
    assertUsable(key, question.kek)
    return key
  }

  #question(what: 'keys' | 'encrypt' | 'decrypt'): Question {
    const { mount, keyName } = this.#settings
    return {
      service: this.#session.service,
      path: `${mount}/${what}/${keyName}`,
      kek: kekName(this.#settings),
    }
  }
}

function opens({ versions, minDecryptionVersion }: TransitKey, keyId: KeyId): boolean {
  return (versions.get(keyId) ?? 0) >= minDecryptionVersion
}
