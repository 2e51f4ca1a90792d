/** How is the service asked: addresses, bodies, pages. */
import { KmsError } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import type { BackendDeps } from '../backend.js'
import { HttpClient } from '../remote/http_client.js'
import { isObject, jsonObject, malformed, textAt, type JsonObject } from '../remote/json_answer.js'
import { kmsError, mayBeState, serviceErrorIn, type Action, type ServiceError } from './errors.js'
import { serviceKeyIn, type ServiceKey } from './service_key.js'
import type { OkmsSettings } from './settings.js'

/** The most that the service gives at once. */
const PAGE_KEYS = 100
/** Far more keys than a domain has; a list that never ends is none. */
const MAX_PAGES = 1000

type Asked = Pick<CallOptions, 'signal'>

/** The service refuses an encryption or decryption, and the state of the key may be why. */
export class Refused extends Error {
  /** What it is where the state of the key is not why. */
  readonly error: KmsError

  constructor(error: KmsError) {
    super(error.message)
    this.error = error
  }
}

export class OkmsClient {
  /** In messages. */
  readonly service: string
  readonly #settings: OkmsSettings
  readonly #http: HttpClient

  constructor(settings: OkmsSettings, { callTimeoutMs: timeoutMs, logger }: BackendDeps) {
    const url = new URL(settings.url)
    this.#settings = settings
    this.service = `OVHcloud KMS at ${url.origin}`
    this.#http = new HttpClient({ url, service: this.service, tls: settings, timeoutMs, logger })
  }

  /** @throws {KmsError} See errors.ts and remote/http_client.ts. */
  async key(keyId: string, options: Asked): Promise<ServiceKey> {
    const key = serviceKeyIn(await this.#ask('get', `/${keyId}`, undefined, options), this.service)
    if (key.id !== keyId) throw malformed(this.service, 'another key than the one asked for')
    return key
  }

  /**
   * All keys in a state, or in any, each once: a list that grows while it is turned over has a key on two pages.
   *
   * @throws {KmsError} As {@link key}.
   */
  async keys(state: 'active' | 'all', options: Asked): Promise<readonly ServiceKey[]> {
    const keys = new Map<string, ServiceKey>()
    const query = new URLSearchParams({ state, max: String(PAGE_KEYS) })
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const answer = await this.#ask('list', `?${query.toString()}`, undefined, options)
      const list = answer['objects_list']
      if (!Array.isArray(list) || !list.every(isObject)) throw malformed(this.service, 'a list without keys')
      for (const key of list.map((one) => serviceKeyIn(one, this.service))) keys.set(key.id, key)
      if (answer['is_truncated'] !== true) return [...keys.values()]
      const token = textAt(answer, 'continuation_token')
      if (token === undefined || token === query.get('continuation-token')) break
      query.set('continuation-token', token)
    }
    throw malformed(this.service, 'a list of keys that does not end')
  }

  /**
   * @param fields Of the body.
   * @returns The body of the answer: for `decrypt` it holds the DEK.
   * @throws {Refused}
   * @throws {KmsError} As {@link key}.
   */
  async act(
    action: 'encrypt' | 'decrypt',
    keyId: string,
    fields: JsonObject,
    options: Asked,
  ): Promise<JsonObject> {
    return this.#ask(action, `/${keyId}/${action}`, JSON.stringify(fields), options)
  }

  close(): void {
    this.#http.close()
  }

  async #ask(action: Action, rest: string, body: string | undefined, options: Asked): Promise<JsonObject> {
    const path = `/api/${this.#settings.okmsId}/v1/servicekey${rest}`
    const answer = await this.#http.send(
      body === undefined
        ? { method: 'GET', path }
        : { method: 'POST', path, headers: { 'content-type': 'application/json' }, body },
      options.signal,
    )
    if (answer.status === 200) return jsonObject(answer, this.service)
    throw this.#failure(action, serviceErrorIn(answer))
  }

  #failure(action: Action, found: ServiceError): KmsError | Refused {
    const error = kmsError(this.service, action, found)
    return ['encrypt', 'decrypt'].includes(action) && mayBeState(found) ? new Refused(error) : error
  }
}
