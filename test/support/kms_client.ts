/**
 * What does a plugin answer on its socket, and would kube-apiserver take it?
 *
 * Every answer passes kube-apiserver's validators (kmsv2/envelope.go and encryptionconfig/config.go of
 * kubernetes/apiserver v0.36); what breaks one fails the test with an {@link OracleError}.
 */
import { Client, credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js'
import { loadSync, type MethodDefinition } from '@grpc/proto-loader'
import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'

/** A rule of kube-apiserver that an answer broke. */
export class OracleError extends Error {
  override readonly name = 'OracleError'
}

export interface V2Status {
  readonly version: string
  readonly healthz: string
  readonly keyId: string
}

export type Annotations = Readonly<Record<string, Uint8Array>>

export interface V2Encrypted {
  readonly ciphertext: Buffer
  readonly keyId: string
  readonly annotations: Annotations
}

export interface V2DecryptRequest {
  readonly ciphertext: Uint8Array
  readonly keyId: string
  readonly annotations?: Annotations
  readonly uid?: string
}

type Method = MethodDefinition<object, object>

/** kube-apiserver's default. */
const TIMEOUT_MS = 3000

const KEY_ID_MAX_BYTES = 1024
const CIPHERTEXT_MAX_BYTES = 1024
const ANNOTATIONS_MAX_BYTES = 32 * 1024
const V1_CIPHER_MAX_BYTES = 65_535

const protoFolder = resolve(import.meta.dirname, '../../proto')

function methodsOf(file: string, service: string): Readonly<Record<string, Method>> {
  const definitions = loadSync(file, { includeDirs: [protoFolder], defaults: true, bytes: Buffer })
  return definitions[service] as unknown as Readonly<Record<string, Method>>
}

const v2Methods = methodsOf('v2/kms.proto', 'v2.KeyManagementService')
const v1Methods = methodsOf('v1beta1/kms.proto', 'v1beta1.KeyManagementService')

/** One connection, dialled as kube-apiserver does: waits until it is ready, within the timeout of the call. */
export class KmsClient {
  readonly #client: Client
  readonly #timeoutMs: number

  constructor(socket: string, timeoutMs = TIMEOUT_MS) {
    this.#timeoutMs = timeoutMs
    this.#client = new Client(`unix://${socket}`, credentials.createInsecure(), {
      'grpc.default_authority': 'localhost',
      'grpc.use_local_subchannel_pool': 1,
      // kube-apiserver waits a second at first; a test need not.
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 100,
      'grpc.enable_channelz': 0,
    })
  }

  close(): void {
    this.#client.close()
  }

  async v2Status(): Promise<V2Status> {
    const answer = await this.#call<V2Status>(v2Methods, 'Status', {})
    return checkStatus(answer)
  }

  async v2Encrypt(plaintext: Uint8Array, uid: string = randomUUID()): Promise<V2Encrypted> {
    return checkEncrypted(await this.#call<V2Encrypted>(v2Methods, 'Encrypt', { plaintext, uid }))
  }

  async v2Decrypt(request: V2DecryptRequest): Promise<Buffer> {
    const { plaintext } = await this.#call<{ plaintext: Buffer }>(v2Methods, 'Decrypt', {
      annotations: {},
      uid: randomUUID(),
      ...request,
    })
    return plaintext
  }

  async v1Version(version = 'v1beta1'): Promise<void> {
    const answer = await this.#call<{ version: string }>(v1Methods, 'Version', { version })
    if (answer.version !== 'v1beta1') throw new OracleError(`v1 version ${answer.version}`)
  }

  async v1Encrypt(plain: Uint8Array, version = 'v1beta1'): Promise<Buffer> {
    const { cipher } = await this.#call<{ cipher: Buffer }>(v1Methods, 'Encrypt', { version, plain })
    if (cipher.length > V1_CIPHER_MAX_BYTES) throw new OracleError(`a v1 cipher of ${cipher.length} bytes`)
    return cipher
  }

  async v1Decrypt(cipher: Uint8Array, version = 'v1beta1'): Promise<Buffer> {
    const { plain } = await this.#call<{ plain: Buffer }>(v1Methods, 'Decrypt', { version, cipher })
    return plain
  }

  async #call<Response>(
    methods: Readonly<Record<string, Method>>,
    name: string,
    request: object,
  ): Promise<Response> {
    const method = methods[name]
    if (method === undefined) throw new Error(`there is no method ${name}`)
    return new Promise((fulfil, reject) => {
      this.#client.makeUnaryRequest(
        method.path,
        (message: object) => method.requestSerialize(message),
        (bytes: Buffer) => method.responseDeserialize(bytes) as Response,
        request,
        new Metadata({ waitForReady: true }),
        { deadline: Date.now() + this.#timeoutMs },
        (error: ServiceError | null, response?: Response) => {
          if (error !== null) reject(error)
          else fulfil(response!)
        },
      )
    })
  }
}

/** Whether a new connection is answered with a healthy Status soon. */
export async function isHealthy(socket: string): Promise<boolean> {
  const client = new KmsClient(socket, 1000)
  try {
    return (await client.v2Status()).healthz === 'ok'
  } catch {
    return false
  } finally {
    client.close()
  }
}

/** The gRPC status of a call that must fail, as `CODE: text`; a call that succeeds is an error here. */
export async function refusal(call: Promise<unknown>): Promise<string> {
  let answer: unknown
  try {
    answer = await call
  } catch (error) {
    const { code, details } = error as Partial<ServiceError>
    if (code === undefined) throw error
    return `${status[code]}: ${details ?? ''}`
  }
  throw new Error(`the call was answered: ${JSON.stringify(answer)}`)
}

/** `IsKMSv2ProviderHealthy`, but for healthz: an unhealthy plugin is no broken rule. */
function checkStatus(answer: V2Status): V2Status {
  if (answer.version !== 'v2') throw new OracleError(`expected KMSv2 API version v2, got ${answer.version}`)
  if (answer.healthz === '') throw new OracleError('healthz is empty')
  checkKeyId(answer.keyId)
  return answer
}

function checkEncrypted(answer: V2Encrypted): V2Encrypted {
  checkKeyId(answer.keyId)
  const { length } = answer.ciphertext
  if (length < 1 || length > CIPHERTEXT_MAX_BYTES) throw new OracleError(`a ciphertext of ${length} bytes`)
  checkAnnotations(answer.annotations)
  return answer
}

function checkKeyId(keyId: string): void {
  const length = Buffer.byteLength(keyId)
  if (length < 1 || length > KEY_ID_MAX_BYTES) throw new OracleError(`a key id of ${length} bytes`)
}

/** `IsFullyQualifiedDomainName` of apimachinery for each key; keys and values together are bounded. */
function checkAnnotations(annotations: Annotations): void {
  let bytes = 0
  for (const [name, value] of Object.entries(annotations)) {
    bytes += Buffer.byteLength(name) + value.length
    const labels = name.replace(/\.$/, '').split('.')
    const isDomainName =
      labels.length >= 2 && labels.every((label) => /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(label))
    if (!isDomainName || name.length > 253)
      throw new OracleError(`the annotation key ${name} is no domain name`)
  }
  if (bytes > ANNOTATIONS_MAX_BYTES) throw new OracleError(`annotations of ${bytes} bytes`)
}
