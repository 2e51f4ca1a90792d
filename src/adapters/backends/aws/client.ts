/** The three operations of AWS KMS that a KEK needs: each answer is looked at, each error explained. */
import type { KMS } from '@aws-sdk/client-kms'
import { KmsError } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import { untilAborted } from '../remote/credential.js'
import { malformed } from '../remote/json_answer.js'
import { connect, type Connection, type ConnectionDeps } from './connection.js'
import { CREDENTIALS_TIMEOUT_MS, sameCredentials, type AwsCredentials } from './credentials.js'
import { refusesCredentials, serviceError } from './service_error.js'
import { keyLook, type KeyLook } from './key_look.js'
import { loadSdk, type LoadSdk } from './sdk.js'
import { SdkHttp } from './sdk_http.js'
import type { AwsSettings } from './settings.js'

/** What Decrypt answered. */
export interface Opened {
  /** 1 to 4,096 bytes; a DEK where ours made the blob. The caller owns and wipes it. */
  readonly dek: Uint8Array
  /** Which key material made the blob; `undefined` where the service does not tell. */
  readonly materialId: string | undefined
}

/** In messages, where only the blob knows which key made it. */
const NAMED_IN_BLOB = '<the key that the value names>'

type Within = Pick<CallOptions, 'signal'>

/** What a call of the SDK takes besides its input. */
interface SdkOptions {
  readonly abortSignal?: AbortSignal
}

export class AwsKmsClient {
  readonly #settings: AwsSettings
  readonly #deps: ConnectionDeps
  readonly #loadSdk: LoadSdk
  readonly #http: SdkHttp
  #connection: Promise<Connection> | undefined
  #isClosed = false

  constructor(settings: AwsSettings, deps: ConnectionDeps, load: LoadSdk = loadSdk) {
    this.#settings = settings
    this.#deps = deps
    this.#loadSdk = load
    this.#http = new SdkHttp({
      caFile: settings.caFile,
      timeoutMs: deps.callTimeoutMs,
      credentialsTimeoutMs: CREDENTIALS_TIMEOUT_MS,
      logger: deps.logger,
    })
  }

  /** DescribeKey of the configured name. */
  async describe(options: Within): Promise<KeyLook> {
    const { keyId } = this.#settings
    return this.#call('kms:DescribeKey', keyId, options, async (kms, service, sdkOptions) => {
      const { KeyMetadata } = await kms.describeKey({ KeyId: keyId }, sdkOptions)
      return keyLook(KeyMetadata, service)
    })
  }

  /** @returns The blob. AWS does not tell here which material made it. */
  async encrypt(arn: string, dek: Uint8Array, options: Within): Promise<Uint8Array> {
    return this.#call('kms:Encrypt', arn, options, async (kms, service, sdkOptions) => {
      const answer = await kms.encrypt({ KeyId: arn, Plaintext: dek, ...this.#context() }, sdkOptions)
      const { CiphertextBlob: blob, KeyId } = answer
      if (blob === undefined || blob.length === 0) throw malformed(service, 'an Encrypt without ciphertext')
      if (KeyId !== arn) throw malformed(service, 'an Encrypt under another key than was asked for')
      return blob
    })
  }

  /**
   * @param arn Only with the key there; `undefined`: with whatever key the blob names and the policies let us use.
   */
  async decrypt(arn: string | undefined, blob: Uint8Array, options: Within): Promise<Opened> {
    const pin = arn === undefined ? {} : { KeyId: arn }
    return this.#call('kms:Decrypt', arn ?? NAMED_IN_BLOB, options, async (kms, service, sdkOptions) => {
      const answer = await kms.decrypt({ ...pin, CiphertextBlob: blob, ...this.#context() }, sdkOptions)
      const { Plaintext: dek, KeyId, KeyMaterialId: materialId } = answer
      if (dek === undefined) throw malformed(service, 'a Decrypt without plaintext')
      if (arn === undefined || KeyId === arn) return { dek, materialId }
      dek.fill(0)
      throw malformed(service, 'a Decrypt under another key than was asked for')
    })
  }

  /** Whether the key is rotated each year; `undefined` when we may not ask. */
  async isRotated(arn: string, options: Within): Promise<boolean | undefined> {
    const work = this.#call('kms:GetKeyRotationStatus', arn, options, async (kms, _service, sdkOptions) => {
      const { KeyRotationEnabled } = await kms.getKeyRotationStatus({ KeyId: arn }, sdkOptions)
      return KeyRotationEnabled
    })
    return work.catch(() => undefined)
  }

  /** Calls under way fail with `ERR_SHUTTING_DOWN`, as do all after it. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#http.destroy()
    const connection = await this.#connection?.catch(() => undefined)
    connection?.credential.close()
    connection?.kms.destroy()
  }

  async #call<T>(
    action: string,
    subject: string,
    { signal }: Within,
    work: (kms: KMS, service: string, sdkOptions: SdkOptions) => Promise<T>,
  ): Promise<T> {
    const within = signal === undefined ? {} : { signal }
    let connection: Connection | undefined
    let credentials: AwsCredentials | undefined
    let heldBefore: AwsCredentials | undefined
    try {
      this.#assertOpen()
      connection = await untilAborted(this.#connected(), signal)
      heldBefore = connection.credential.current
      credentials = await connection.credential.get(within)
      this.#assertOpen()
      const { kms, service } = connection
      return await work(kms, service, signal === undefined ? {} : { abortSignal: signal })
    } catch (error) {
      this.#assertOpen()
      const place = { service: connection?.service ?? 'AWS KMS', subject, action }
      const explained = serviceError(error, place)
      if (connection === undefined || credentials === undefined || !refusesCredentials(error)) throw explained
      connection.credential.invalidate(credentials)
      // What the source has just given is what it has.
      if (credentials !== heldBefore) throw explained
      throw await this.#afterRefusal(connection, credentials, explained, within)
    }
  }

  /** They were dropped, whatever their end was to be. Tells whether their source has others by now. */
  async #afterRefusal(
    { credential, service }: Connection,
    refused: AwsCredentials,
    error: KmsError,
    options: Within,
  ): Promise<KmsError> {
    try {
      const fresh = await credential.get(options)
      if (!sameCredentials(fresh, refused)) {
        const text = `${service} refused our credentials; their source gives others, which are used from now on`
        return new KmsError('ERR_CREDENTIALS_EXPIRED', text)
      }
      // Asked again before the next call: the source may have others by then.
      credential.invalidate(fresh)
      return new KmsError(error.code, `${error.message}; their source gives no others yet`)
    } catch {
      return error
    }
  }

  async #connected(): Promise<Connection> {
    this.#connection ??= connect(this.#settings, this.#deps, this.#http, this.#loadSdk).catch(
      (error: unknown) => {
        this.#connection = undefined
        throw error
      },
    )
    return this.#connection
  }

  #context(): { EncryptionContext?: Record<string, string> } {
    const { encryptionContext } = this.#settings
    return encryptionContext === undefined ? {} : { EncryptionContext: encryptionContext }
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new KmsError('ERR_SHUTTING_DOWN', 'the plugin is stopping')
  }
}
