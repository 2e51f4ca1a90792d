/** Wraps DEKs with a service key of OVHcloud KMS. */
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
import { OkmsClient, Refused } from './client.js'
import { bytesOfText, textOfBytes, textOfForeign } from './jwe.js'
import { lookAtKey } from './key_look.js'
import { assertUsable, stateError, type ServiceKey } from './service_key.js'
import { asKeyId, type OkmsSettings } from './settings.js'

export class OkmsKeyWrapper implements KeyWrapper {
  readonly backend = 'okms'
  readonly #settings: OkmsSettings
  readonly #isPrimary: boolean
  readonly #client: OkmsClient
  /** As last looked at. A label is followed then, and only then. */
  #known: ServiceKey | undefined

  constructor(settings: OkmsSettings, deps: BackendDeps) {
    this.#settings = settings
    this.#isPrimary = deps.isPrimary
    this.#client = new OkmsClient(settings, deps)
  }

  async currentKeyId(options: CallOptions): Promise<KeyId> {
    const key = await this.#look(options)
    assertUsable(key, this.#client.service, this.#isPrimary)
    return this.#keyId(key)
  }

  recognizes(keyId: KeyId): Recognition {
    if (this.#known === undefined) return 'unknown'
    return kekPart(this.#keyId(this.#known)) === kekPart(keyId) ? 'yes' : 'no'
  }

  async wrap(dek: Uint8Array, options: CallOptions): Promise<WrappedDek> {
    const key = this.#known ?? (await this.#look(options))
    const plaintext = Buffer.from(dek.buffer, dek.byteOffset, dek.byteLength).toString('base64')
    const answer = await this.#act('encrypt', key.id, this.#bound({ plaintext }), options)
    const { service } = this.#client
    const ciphertext = textAt(answer, 'ciphertext')
    if (ciphertext === undefined) throw malformed(service, 'no ciphertext')
    return { keyId: this.#keyId(key), bytes: bytesOfText(ciphertext, service) }
  }

  async unwrap(wrapped: WrappedDek, options: CallOptions): Promise<Uint8Array> {
    const key = this.#known ?? (await this.#look(options))
    if (this.#keyId(key) !== wrapped.keyId) {
      const text = `key ${key.id} of ${this.#client.service} is not the one that made ${wrapped.keyId}`
      throw new KmsError('ERR_KEY_UNKNOWN', text)
    }
    const ciphertext = textOfBytes(wrapped.bytes)
    if (ciphertext === undefined) throw altered('has a form that is never made')
    const answer = await this.#act('decrypt', key.id, this.#bound({ ciphertext }), options)
    const dek = this.#plaintextIn(answer)
    if (dek.length === DEK_BYTES) return dek
    const { length } = dek
    dek.fill(0)
    throw altered(`holds ${length} bytes, no DEK`)
  }

  /**
   * Opens what OVHcloud's own plugin had a service key encrypt: the bytes are the JWE that the service answered it, which
   * goes back unchanged and without `context`, since that plugin sends none.
   *
   * @param ciphertext `keyName`: the UUID of any service key of the domain; absent, the key of the settings.
   */
  async decryptNative({ bytes, keyName }: NativeCiphertext, options: CallOptions): Promise<Uint8Array> {
    const ciphertext = textOfForeign(bytes)
    if (ciphertext === undefined) throw altered('is no JWE of the service')
    const keyId = keyName === undefined ? undefined : asKeyId(keyName)
    if (keyName !== undefined && keyId === undefined) {
      throw new KmsError('ERR_KEY_UNKNOWN', 'the value names a service key by no UUID')
    }
    try {
      const id = keyId ?? (this.#known ?? (await this.#look(options))).id
      return this.#plaintextIn(await this.#act('decrypt', id, { ciphertext }, options))
    } catch (error) {
      if (keyId === undefined || !(error instanceof KmsError) || error.code !== 'ERR_KEY_NOT_FOUND')
        throw error
      // The value says which key it needs, not the settings: nothing is wrong with the key that they name.
      const text = `the value needs service key ${keyId}, and ${error.message}`
      throw new KmsError('ERR_KEY_UNKNOWN', text)
    }
  }

  async close(): Promise<void> {
    this.#client.close()
    return Promise.resolve()
  }

  #bound(fields: JsonObject): JsonObject {
    const { context } = this.#settings
    return context === undefined ? fields : { ...fields, context }
  }

  #plaintextIn(answer: JsonObject): Buffer {
    const plaintext = base64At(answer, 'plaintext')
    if (plaintext === undefined) throw malformed(this.#client.service, 'no plaintext')
    return plaintext
  }

  async #look(options: CallOptions): Promise<ServiceKey> {
    this.#known = await lookAtKey(this.#settings, this.#client, options)
    return this.#known
  }

  /**
   * The service has no code for a key that is deactivated or worse, so it is looked at before a refusal is believed to
   * be about the data.
   */
  async #act(
    action: 'encrypt' | 'decrypt',
    keyId: string,
    fields: JsonObject,
    options: CallOptions,
  ): Promise<JsonObject> {
    try {
      return await this.#client.act(action, keyId, fields, options)
    } catch (refused) {
      if (!(refused instanceof Refused)) throw refused
      const now = await this.#client.key(keyId, options)
      const wrong = stateError(now, this.#client.service)
      // A label may name another key by now: the next call looks.
      const isOurs = this.#settings.keyLabel !== undefined && keyId === this.#known?.id
      if (wrong !== undefined && isOurs) this.#known = undefined
      throw wrong ?? refused.error
    }
  }

  /** KEK: the domain, the key's own id, and the context without which nothing opens. A service key has no versions. */
  #keyId({ id }: ServiceKey): KeyId {
    const { okmsId, context } = this.#settings
    return keyIdOf('okms', [okmsId, id, ...(context === undefined ? [] : [context])])
  }
}

function altered(why: string): KmsError {
  return new KmsError('ERR_DECRYPTION_FAILED', `the wrapped DEK ${why}`)
}
