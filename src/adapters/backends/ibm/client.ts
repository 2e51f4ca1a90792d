/** How is the KMS asked: headers, token, what to do when the token has ended. */
import { randomUUID } from 'node:crypto'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import { HttpClient } from '../remote/http_client.js'
import { jsonObject, type JsonObject } from '../remote/json_answer.js'
import type { BackendDeps } from '../backend.js'
import { readApiKey } from './api_key.js'
import { isUnknownAddress, older, today, type Dialect } from './dialect.js'
import { isTokenRefused, kmsError, serviceErrorIn, type Action, type ServiceError } from './errors.js'
import { IamTokens, type IamToken } from './iam.js'
import type { IbmSettings } from './settings.js'

/** One question, in whatever dialect and with whatever token it is put. */
interface Question {
  readonly action: Action
  readonly idOrAlias: string
  readonly body: string | undefined
  readonly correlationId: string
  readonly options: Pick<CallOptions, 'signal'>
}

type Outcome = { readonly answer: JsonObject } | { readonly error: ServiceError }

export class IbmKmsClient {
  /** In messages. */
  readonly service: string
  readonly #settings: IbmSettings
  readonly #http: HttpClient
  readonly #tokens: IamTokens
  #dialect: Dialect = today

  constructor(settings: IbmSettings, deps: BackendDeps) {
    const { clock, logger, callTimeoutMs: timeoutMs, env } = deps
    const url = new URL(settings.url)
    this.#settings = settings
    this.service = `the IBM KMS at ${url.origin}`
    const tls = { caFile: settings.caFile }
    this.#http = new HttpClient({ url, service: this.service, tls, timeoutMs, logger })
    this.#tokens = new IamTokens({
      tokenUrl: settings.tokenUrl,
      caFile: settings.tokenCaFile,
      readApiKey: async () => readApiKey(settings.apiKey, env),
      clock,
      logger,
      timeoutMs,
    })
  }

  /**
   * What the service says about a key.
   *
   * @throws {KmsError} See errors.ts, iam.ts and remote/http_client.ts.
   */
  async metadata(idOrAlias: string, options: CallOptions): Promise<JsonObject> {
    return this.#ask('metadata', idOrAlias, undefined, options)
  }

  /**
   * @param fields Of the body.
   * @returns The body of the answer: for `unwrap` it holds the DEK.
   * @throws {KmsError} As {@link metadata}.
   */
  async act(
    action: 'wrap' | 'unwrap',
    id: string,
    fields: JsonObject,
    options: CallOptions,
  ): Promise<JsonObject> {
    return this.#ask(action, id, JSON.stringify(fields), options)
  }

  close(): void {
    this.#tokens.close()
    this.#http.close()
  }

  async #ask(
    action: Action,
    idOrAlias: string,
    body: string | undefined,
    options: CallOptions,
  ): Promise<JsonObject> {
    const question = { action, idOrAlias, body, correlationId: randomUUID(), options }
    const outcome = await this.#inEitherDialect(question)
    if ('answer' in outcome) return outcome.answer
    throw kmsError(this.service, action, outcome.error, question.correlationId)
  }

  /** The dialect that has worked stays in use until its addresses are unknown. */
  async #inEitherDialect(question: Question): Promise<Outcome> {
    const outcome = await this.#withToken(question, this.#dialect)
    if ('answer' in outcome || !isUnknownAddress(outcome.error)) return outcome
    const other = this.#dialect === today ? older : today
    const second = await this.#withToken(question, other)
    if ('answer' in second) this.#dialect = other
    // At an address that is none of the plugin's its rights do not matter.
    return 'error' in second && isTokenRefused(second.error) ? outcome : second
  }

  /** A token that the service does not take any more is replaced, and the question put once again. */
  async #withToken(question: Question, dialect: Dialect): Promise<Outcome> {
    const token = await this.#tokens.get(question.options)
    const outcome = await this.#send(question, dialect, token)
    if ('answer' in outcome || !isTokenRefused(outcome.error) || !this.#tokens.refused(token)) return outcome
    return this.#send(question, dialect, await this.#tokens.get(question.options))
  }

  async #send(question: Question, dialect: Dialect, token: IamToken): Promise<Outcome> {
    const { action, idOrAlias, body, correlationId, options } = question
    const { instanceId, keyRing } = this.#settings
    const path = dialect.path(action, idOrAlias)
    const headers = {
      accept: 'application/json',
      authorization: `Bearer ${token.bearer}`,
      'bluemix-instance': instanceId,
      'correlation-id': correlationId,
      ...(keyRing === undefined ? {} : { 'x-kms-key-ring': keyRing }),
    }
    const type = { 'content-type': dialect.contentType(action) }
    const answer = await this.#http.send(
      body === undefined
        ? { method: 'GET', path, headers }
        : { method: 'POST', path, headers: { ...headers, ...type }, body },
      options.signal,
    )
    if (answer.status !== 200) return { error: serviceErrorIn(answer) }
    token.isProved = true
    return { answer: jsonObject(answer, this.service) }
  }
}
