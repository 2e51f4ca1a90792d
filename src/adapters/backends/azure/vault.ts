/** What can be asked of one key in a vault, and what do the answers mean? */
import { KmsError } from '../../../ports/errors.js'
import { DEK_BYTES, type CallOptions } from '../../../ports/key_wrapper.js'
import type { BackendDeps } from '../backend.js'
import { base64UrlAt, isObject, malformed, textAt } from '../remote/json_answer.js'
import type { VaultReply } from './client.js'
import {
  decryptErrorOf,
  errorOf,
  notDecrypted,
  pendingDeletion,
  unwrapErrorOf,
  type Question,
} from './errors.js'
import type { Parts } from './format.js'
import { kekName, readKey, versionIn, type AzureKey } from './key.js'
import { VaultSession } from './session.js'
import type { AzureSettings } from './settings.js'

type Call = Pick<CallOptions, 'signal'>

/** How a value of another plugin was encrypted. */
export type NativeRsa = 'RSA1_5' | 'RSA-OAEP-256'

/** kube-apiserver has had nothing else encrypted with RSA1_5. */
const RSA1_5_PLAINTEXT_BYTES = 32

/** One page of the list of a key's versions. */
export interface VersionPage {
  /** Key identifiers, as Azure writes them. */
  readonly kids: readonly string[]
  /** Asks for the next page; `undefined`: this is the last. */
  readonly next: string | undefined
}

export class Vault {
  readonly #settings: AzureSettings
  readonly #session: VaultSession

  constructor(settings: AzureSettings, deps: BackendDeps) {
    this.#settings = settings
    this.#session = new VaultSession(settings, deps)
  }

  /**
   * @param version Absent: the latest.
   * @throws {KmsError} What logging in and asking throw; `ERR_KEY_NOT_FOUND`, `ERR_KEY_PENDING_DELETION`,
   * `ERR_ACCESS_DENIED`, `ERR_BACKEND_*`.
   */
  async readKey(version: string | undefined, options: Call): Promise<AzureKey> {
    const reply = await this.#session.ask({ method: 'GET', path: this.#path(version) }, options)
    if (reply.status === 200) {
      const key = readKey(reply.body, this.#settings)
      if (version === undefined || key.version === version) return key
      throw malformed(this.#session.service, 'another version of the key than was asked for')
    }
    throw await this.#keyError(this.#question('get', version), reply, options)
  }

  /**
   * @param dek Of {@link DEK_BYTES} bytes.
   * @returns The ciphertext.
   * @throws {KmsError} As {@link readKey}; `ERR_KEY_DISABLED`, `ERR_KEY_UNUSABLE`.
   */
  async wrap(
    dek: Uint8Array,
    { algorithm, version }: Omit<Parts, 'ciphertext'>,
    options: Call,
  ): Promise<Uint8Array> {
    const reply = await this.#operate('wrapkey', version, algorithm, dek, options)
    const question = this.#question('wrapKey', version)
    if (reply.status !== 200) throw await this.#keyError(question, reply, options)
    const ciphertext = base64UrlAt(reply.body, 'value')
    if (ciphertext === undefined || versionIn(textAt(reply.body, 'kid'), this.#settings) !== version) {
      throw malformed(question.service, 'a wrapped key without its value, or of another version')
    }
    return ciphertext
  }

  /**
   * @returns {@link DEK_BYTES} bytes that the caller owns and wipes.
   * @throws {KmsError} As {@link wrap}; `ERR_DECRYPTION_FAILED`; `ERR_UNWRAP_AMBIGUOUS`; `ERR_KEY_UNKNOWN`: the key has
   * no such version.
   */
  async unwrap({ algorithm, version, ciphertext }: Parts, options: Call): Promise<Uint8Array> {
    const reply = await this.#operate('unwrapkey', version, algorithm, ciphertext, options)
    const question = this.#question('unwrapKey', version)
    if (reply.status === 404) throw await this.#absentVersion(version, reply, options)
    if (reply.status !== 200) throw unwrapErrorOf(question, reply)
    const dek = base64UrlAt(reply.body, 'value')
    if (dek === undefined) throw malformed(question.service, 'an unwrapped key without its value')
    if (dek.length === DEK_BYTES) return dek
    dek.fill(0)
    throw new KmsError('ERR_DECRYPTION_FAILED', `what ${question.kek} unwraps is no DEK`)
  }

  /**
   * With RSA1_5 a wrong length fails as a wrong padding does: a right padding that shows, if only in a metric of calls,
   * gives plaintexts away to whoever tries many values.
   *
   * @param bytes As long as the modulus.
   * @returns Bytes of any length, with RSA1_5 32, that the caller owns and wipes.
   * @throws {KmsError} As {@link readKey}; `ERR_DECRYPTION_FAILED`; `ERR_KEY_DISABLED`, `ERR_KEY_UNUSABLE`.
   */
  async decrypt(alg: NativeRsa, version: string, bytes: Uint8Array, options: Call): Promise<Uint8Array> {
    const reply = await this.#operate('decrypt', version, alg, bytes, options)
    const question = this.#question('decrypt', version)
    if (reply.status === 404) throw await this.#absentVersion(version, reply, options)
    if (reply.status !== 200) throw decryptErrorOf(question, reply)
    const plaintext = base64UrlAt(reply.body, 'value')
    if (plaintext === undefined) throw malformed(question.service, 'a decrypted value without its value')
    if (alg !== 'RSA1_5' || plaintext.length === RSA1_5_PLAINTEXT_BYTES) return plaintext
    plaintext.fill(0)
    throw notDecrypted(question)
  }

  /**
   * @param after What the page before said comes next; `undefined`: the first page.
   * @throws {KmsError} As {@link readKey}.
   */
  async listVersions(after: string | undefined, options: Call): Promise<VersionPage> {
    const path = `${this.#path(undefined)}/versions`
    const query = after === undefined ? {} : { $skiptoken: after }
    const reply = await this.#session.ask({ method: 'GET', path, query }, options)
    if (reply.status !== 200) throw await this.#keyError(this.#question('list'), reply, options)
    const listed = reply.body['value']
    if (!Array.isArray(listed)) throw malformed(this.#session.service, 'a list of versions that is none')
    const kids = listed.filter(isObject).flatMap((one) => textAt(one, 'kid') ?? [])
    return { kids, next: skipTokenIn(textAt(reply.body, 'nextLink')) }
  }

  /** As {@link VaultSession.logIn}: for `check`, which tells a login from the rest. */
  async logIn(options: Call): Promise<void> {
    await this.#session.logIn(options)
  }

  /** Requests under way fail with `ERR_SHUTTING_DOWN`. Safe to call twice. */
  close(): void {
    this.#session.close()
  }

  async #operate(
    verb: 'wrapkey' | 'unwrapkey' | 'decrypt',
    version: string,
    alg: string,
    value: Uint8Array,
    options: Call,
  ): Promise<VaultReply> {
    const body = {
      alg,
      value: Buffer.from(value.buffer, value.byteOffset, value.length).toString('base64url'),
    }
    return this.#session.ask({ method: 'POST', path: `${this.#path(version)}/${verb}`, body }, options)
  }

  /** A key that was deleted is not found, like one that never was: only the list of the deleted ones tells. */
  async #keyError(question: Question, reply: VaultReply, options: Call): Promise<KmsError> {
    const error = errorOf(question, reply)
    if (error.code !== 'ERR_KEY_NOT_FOUND') return error
    const path = `/deletedkeys/${this.#settings.keyName}`
    // When this question fails, the first answer still stands.
    const deleted = await this.#session.ask({ method: 'GET', path }, options).catch(() => undefined)
    return deleted?.status === 200 ? pendingDeletion(this.#question('get')) : error
  }

  async #absentVersion(version: string, reply: VaultReply, options: Call): Promise<KmsError> {
    const error = await this.#keyError(this.#question('get', version), reply, options)
    if (error.code !== 'ERR_KEY_NOT_FOUND') return error
    try {
      await this.readKey(undefined, options)
    } catch (thrown) {
      if (thrown instanceof KmsError) return thrown
      throw thrown
    }
    const text = `${kekName(this.#settings)} has no version ${version}: it was purged and made anew; restore it from its backup`
    return new KmsError('ERR_KEY_UNKNOWN', text)
  }

  #path(version: string | undefined): string {
    return `/keys/${this.#settings.keyName}${version === undefined ? '' : `/${version}`}`
  }

  #question(operation: Question['operation'], version?: string): Question {
    const id = `${new URL(this.#settings.vaultUrl).origin}${this.#path(version)}`
    return { operation, service: this.#session.service, kek: kekName(this.#settings, version), id }
  }
}

/** The rest of the address is ours to write: a token goes to no other host. */
function skipTokenIn(nextLink: string | undefined): string | undefined {
  if (nextLink === undefined || !URL.canParse(nextLink)) return undefined
  return new URL(nextLink).searchParams.get('$skiptoken') ?? undefined
}
