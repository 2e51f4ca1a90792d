/** Wraps DEKs with a root key of IBM Key Protect or Hyper Protect Crypto Services. */
import { KmsError } from '../../../ports/errors.js'
import type { NativeCiphertext } from '../../../ports/foreign.js'
import { kekPart, type KeyId } from '../../../ports/key_id.js'
import {
  DEK_BYTES,
  type CallOptions,
  type KeyWrapper,
  type Recognition,
  type WrappedDek,
} from '../../../ports/key_wrapper.js'
import type { BackendDeps } from '../backend.js'
import { keyIdOf } from '../identity.js'
import { base64At, malformed, textAt, type JsonObject } from '../remote/json_answer.js'
import { bytesOfCiphertext, ciphertextOfBytes, ciphertextOfForeign } from './ciphertext.js'
import { IbmKmsClient } from './client.js'
import {
  assertUsable,
  keyMetadataIn,
  openedVersionIn,
  versionIdIn,
  type KeyMetadata,
} from './key_metadata.js'
import type { IbmSettings } from './settings.js'

export class IbmKeyWrapper implements KeyWrapper {
  readonly backend = 'ibm'
  readonly #settings: IbmSettings
  readonly #isPrimary: boolean
  readonly #client: IbmKmsClient
  /** As last looked at. An alias is followed then, and only then. */
  #known: KeyMetadata | undefined

  constructor(settings: IbmSettings, deps: BackendDeps) {
    this.#settings = settings
    this.#isPrimary = deps.isPrimary
    this.#client = new IbmKmsClient(settings, deps)
  }

  async currentKeyId(options: CallOptions): Promise<KeyId> {
    const key = await this.#look(options)
    assertUsable(key, this.#client.service, this.#isPrimary)
    return this.#keyId(key, key.versionId)
  }

  recognizes(keyId: KeyId): Recognition {
    if (this.#known === undefined) return 'unknown'
    return kekPart(this.#keyId(this.#known, undefined)) === kekPart(keyId) ? 'yes' : 'no'
  }

  async wrap(dek: Uint8Array, options: CallOptions): Promise<WrappedDek> {
    const key = this.#known ?? (await this.#look(options))
    const plaintext = Buffer.from(dek.buffer, dek.byteOffset, dek.byteLength).toString('base64')
    const answer = await this.#client.act('wrap', key.id, this.#bound({ plaintext }), options)
    const { service } = this.#client
    const ciphertext = textAt(answer, 'ciphertext')
    if (ciphertext === undefined) throw malformed(service, 'no ciphertext')
    const versionId = this.#versionOf(key, versionIdIn(answer))
    return { keyId: this.#keyId(key, versionId), bytes: bytesOfCiphertext(ciphertext, service) }
  }

  async unwrap(wrapped: WrappedDek, options: CallOptions): Promise<Uint8Array> {
    const key = this.#known ?? (await this.#look(options))
    if (kekPart(this.#keyId(key, undefined)) !== kekPart(wrapped.keyId)) {
      const text = `root key ${key.id} of ${this.#client.service} is not the one that made ${wrapped.keyId}`
      throw new KmsError('ERR_KEY_UNKNOWN', text)
    }
    const ciphertext = ciphertextOfBytes(wrapped.bytes)
    if (ciphertext === undefined) throw altered('has a form that is never made')
    const answer = await this.#client.act('unwrap', key.id, this.#bound({ ciphertext }), options)
    const dek = this.#plaintextIn(answer)
    // The newly wrapped DEK that a rotated key adds is not needed: kube-apiserver rewrites its data itself.
    const isRightVersion = this.#isVersionOf(wrapped.keyId, key, openedVersionIn(answer))
    if (dek.length === DEK_BYTES && isRightVersion) return dek
    const { length } = dek
    dek.fill(0)
    throw altered(isRightVersion ? `holds ${length} bytes, no DEK` : 'belongs to another version of the key')
  }

  /**
   * Opens what IBM's own plug-in had this root key wrap: the bytes are the text that the service answered it, which goes
   * back unchanged and without `aad`, since that plug-in sends none.
   */
  async decryptNative({ bytes }: NativeCiphertext, options: CallOptions): Promise<Uint8Array> {
    const ciphertext = ciphertextOfForeign(bytes)
    if (ciphertext === undefined) throw altered('is no text of the service')
    const key = this.#known ?? (await this.#look(options))
    return this.#plaintextIn(await this.#client.act('unwrap', key.id, { ciphertext }, options))
  }

  async close(): Promise<void> {
    this.#client.close()
    return Promise.resolve()
  }

  #bound(fields: JsonObject): JsonObject {
    const { aad } = this.#settings
    return aad === undefined ? fields : { ...fields, aad }
  }

  #plaintextIn(answer: JsonObject): Buffer {
    const plaintext = base64At(answer, 'plaintext')
    if (plaintext === undefined) throw malformed(this.#client.service, 'no plaintext')
    return plaintext
  }

  async #look(options: CallOptions): Promise<KeyMetadata> {
    const body = await this.#client.metadata(this.#settings.keyId, options)
    const key = keyMetadataIn(body, this.#client.service)
    this.#known = key
    return key
  }

  /**
   * KEK: the instance, the key's own id, and the additional data without which nothing opens. Version: its id; none
   * where the service tells none.
   */
  #keyId({ id }: KeyMetadata, versionId: string | undefined): KeyId {
    const { instanceId, aad = [] } = this.#settings
    return keyIdOf('ibm', [instanceId.toLowerCase(), id, ...aad], versionId === undefined ? [] : [versionId])
  }

  /**
   * The version that an answer to `wrap` belongs to. A service that tells no versions in the metadata has none for us,
   * whatever it adds elsewhere: the key id would else change between two calls.
   */
  #versionOf(key: KeyMetadata, answered: string | undefined): string | undefined {
    if (key.versionId === undefined) return undefined
    if (answered === undefined) throw malformed(this.#client.service, 'wrapped without a keyVersion')
    return answered
  }

  /** A value from before the service told versions names none, and opens with any. */
  #isVersionOf(keyId: KeyId, key: KeyMetadata, answered: string | undefined): boolean {
    return (
      answered === undefined || keyId === this.#keyId(key, answered) || keyId === this.#keyId(key, undefined)
    )
  }
}

function altered(why: string): KmsError {
  return new KmsError('ERR_DECRYPTION_FAILED', `the wrapped DEK ${why}`)
}
