/** How is Cloud KMS asked, and which of its answers are believed? Every one is checked by CRC32C in both directions. */
import type { Clock } from '../../../ports/clock.js'
import { KmsError } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import { HttpClient, type HttpAnswer } from '../remote/http_client.js'
import { base64At, jsonObject, malformed, textAt, type JsonObject } from '../remote/json_answer.js'
import type { AccessToken, AccessTokens } from './access_tokens.js'
import { crc32c } from './crc32c.js'
import { isTokenRefusal, kmsError, PERMISSIONS, type Operation } from './errors.js'
import { pathOf, versionNumber } from './key_name.js'
import { primaryOf, type Primary } from './key_state.js'
import { MAX_CIPHERTEXT_BYTES, type WrappedForm } from './wrapped_form.js'

export interface KmsClientOptions {
  readonly http: HttpClient
  readonly tokens: AccessTokens
  readonly clock: Clock
  /** Resource name of the key. */
  readonly key: string
  /** In messages. */
  readonly service: string
}

/** After a refusal that a new token did not cure: so long no new one is fetched because of a refusal. */
const RELOGIN_REST_MS = 10_000

/** Every call may fail as the port `KeyWrapper` says. */
export class KmsClient {
  readonly #options: KmsClientOptions
  readonly #path: string
  #lastForcedMs = -Infinity

  constructor(options: KmsClientOptions) {
    this.#options = options
    this.#path = pathOf(options.key)
  }

  /** The primary version, which is enabled. */
  async primary(options: CallOptions): Promise<Primary> {
    const { key, service } = this.#options
    return primaryOf(key, await this.#ask('read', undefined, options), service)
  }

  /** With the primary version, whichever that is: the answer names it. */
  async encrypt(plaintext: Uint8Array, aad: Uint8Array, options: CallOptions): Promise<WrappedForm> {
    const { key, service } = this.#options
    const answer = await this.#ask('encrypt', { ...field('plaintext', plaintext), ...aadField(aad) }, options)
    if (
      answer['verifiedPlaintextCrc32c'] !== true ||
      answer['verifiedAdditionalAuthenticatedDataCrc32c'] !== true
    ) {
      throw malformed(service, 'what we sent is not said to be verified')
    }
    const ciphertext = base64At(answer, 'ciphertext')
    if (ciphertext === undefined || ciphertext.length === 0) throw malformed(service, 'no ciphertext')
    this.#assertCrc(answer, 'ciphertextCrc32c', ciphertext)
    const version = versionNumber(key, textAt(answer, 'name'))
    if (version === undefined) throw malformed(service, 'a ciphertext of another key')
    if (ciphertext.length > MAX_CIPHERTEXT_BYTES) {
      throw malformed(service, `a ciphertext of ${ciphertext.length} bytes for a DEK`)
    }
    return { version, ciphertext }
  }

  /**
   * @param aad `undefined`: it was made without.
   * @returns What the caller owns and wipes.
   */
  async decrypt(ciphertext: Uint8Array, aad: Uint8Array | undefined, options: CallOptions): Promise<Buffer> {
    const bound = aad === undefined ? {} : aadField(aad)
    const answer = await this.#ask('decrypt', { ...field('ciphertext', ciphertext), ...bound }, options)
    // proto3 leaves an empty field out.
    const plaintext = answer['plaintext'] === undefined ? Buffer.alloc(0) : base64At(answer, 'plaintext')
    if (plaintext === undefined) throw malformed(this.#options.service, 'a plaintext that is no base64')
    try {
      this.#assertCrc(answer, 'plaintextCrc32c', plaintext)
      return plaintext
    } catch (error) {
      plaintext.fill(0)
      throw error
    }
  }

  /** Which of the rights that the plugin needs we do not have; needs none itself. */
  async missingPermissions(wanted: readonly Operation[], options: CallOptions): Promise<readonly string[]> {
    const permissions = wanted.map((operation) => PERMISSIONS[operation])
    const body = JSON.stringify({ permissions })
    const answer = await this.#send('POST', `${this.#path}:testIamPermissions`, body, options)
    if (answer.status !== 200) throw kmsError(answer, 'read', this.#options.key, this.#options.service)
    const held: unknown = jsonObject(answer, this.#options.service)['permissions']
    return permissions.filter((permission) => !Array.isArray(held) || !held.includes(permission))
  }

  close(): void {
    this.#options.tokens.close()
    this.#options.http.close()
  }

  async #ask(operation: Operation, fields: object | undefined, options: CallOptions): Promise<JsonObject> {
    const { key, service } = this.#options
    const answer =
      fields === undefined
        ? await this.#send('GET', this.#path, undefined, options)
        : await this.#send('POST', `${this.#path}:${operation}`, JSON.stringify(fields), options)
    if (answer.status !== 200) throw kmsError(answer, operation, key, service)
    return jsonObject(answer, service)
  }

  /** A token that is refused is replaced once: it may have been revoked, or its key deleted. */
  async #send(
    method: 'GET' | 'POST',
    path: string,
    body: string | undefined,
    options: CallOptions,
  ): Promise<HttpAnswer> {
    const { http, tokens, clock } = this.#options
    const sendWith = async (token: AccessToken): Promise<HttpAnswer> => {
      const request = { method, path, headers: headersOf(token, body !== undefined) }
      return http.send(body === undefined ? request : { ...request, body }, options.signal)
    }
    const token = await tokens.get(options)
    const first = await sendWith(token)
    if (!isTokenRefusal(first)) return first
    if (clock.nowMs() - this.#lastForcedMs < RELOGIN_REST_MS) throw this.#refused()
    tokens.invalidate(token)
    const second = await sendWith(await tokens.get(options))
    if (!isTokenRefusal(second)) return second
    this.#lastForcedMs = clock.nowMs()
    throw this.#refused()
  }

  #refused(): KmsError {
    const text = `${this.#options.service} does not take even a new access token; are the credentials those of another cloud, or is the clock of this node wrong?`
    return new KmsError('ERR_LOGIN_REFUSED', text)
  }

  #assertCrc(answer: JsonObject, name: string, bytes: Uint8Array): void {
    // int64 is a text in the JSON of protobuf; a number is allowed.
    const told = answer[name]
    const value = crc32c(bytes)
    if (told === undefined) throw malformed(this.#options.service, `no ${name}`)
    if (told !== value && told !== String(value)) {
      throw malformed(
        this.#options.service,
        `${name} is not that of the bytes; something between us changed them`,
      )
    }
  }
}

function headersOf({ value, quotaProject }: AccessToken, hasBody: boolean): Record<string, string> {
  return {
    authorization: `Bearer ${value}`,
    ...(hasBody ? { 'content-type': 'application/json' } : {}),
    ...(quotaProject === undefined ? {} : { 'x-goog-user-project': quotaProject }),
  }
}

function field(name: string, bytes: Uint8Array): Record<string, string> {
  return { [name]: Buffer.from(bytes).toString('base64'), [`${name}Crc32c`]: String(crc32c(bytes)) }
}

function aadField(aad: Uint8Array): Record<string, string> {
  return field('additionalAuthenticatedData', aad)
}
