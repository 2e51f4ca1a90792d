/**
 * How does kube-apiserver use a plugin? The state machine of a KMS v2 provider and the v1 envelope, with values as
 * etcd would hold them (kubernetes/apiserver v0.36: encryptionconfig/config.go, envelope/envelope.go,
 * kmsv2/envelope.go, aes/aes_extended_nonce.go).
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes, randomUUID } from 'node:crypto'
import { OracleError, type Annotations, type KmsClient } from './kms_client.js'
import { bytesField, fieldsOf, numberField } from './protobuf.js'

/** For how long a seed seals new values after the last good Status. */
const SEED_TTL_MS = 3 * 60_000

const SEED_BYTES = 32
const INFO_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** `HKDF_SHA256_XNONCE_AES_GCM_SEED` */
const SEED_TYPE = 1

/** A value in etcd under its key. */
export interface StoredValue {
  readonly key: string
  readonly bytes: Buffer
}

interface EncryptedObject {
  readonly encryptedData: Buffer
  readonly keyId: string
  readonly encryptedDekSource: Buffer
  readonly annotations: Annotations
}

interface WriteState extends Omit<EncryptedObject, 'encryptedData'> {
  readonly seed: Buffer
  expiresAtMs: number
}

/** One `kms` entry of apiVersion v2 in one kube-apiserver process. */
export class KmsV2Provider {
  readonly #client: KmsClient
  readonly #prefix: string
  readonly #nowMs: () => number
  readonly #seeds = new Map<string, Buffer>()
  #state: WriteState | undefined
  #version: string | undefined
  /** Calls of Encrypt and Decrypt so far. */
  readonly calls = { encrypt: 0, decrypt: 0 }

  constructor(client: KmsClient, options: { name?: string; nowMs?: () => number } = {}) {
    this.#client = client
    this.#prefix = `k8s:enc:kms:v2:${options.name ?? 'myplugin'}:`
    this.#nowMs = options.nowMs ?? (() => performance.now())
  }

  /** The key id under which new values are written; `undefined` before the first success. */
  get keyId(): string | undefined {
    return this.#state?.keyId
  }

  /**
   * What the poll and /healthz do: Status, then a new seed where the key id has changed.
   *
   * A gRPC error does not extend the life of the seed; a healthz that is not `ok` does (kubernetes#138950).
   */
  async poll(): Promise<void> {
    const { healthz, keyId, version } = await this.#client.v2Status()
    if (this.#version !== undefined && version !== this.#version) {
      throw new OracleError(`the version changed from ${this.#version} to ${version}`)
    }
    this.#version = version
    await this.#rotateOnKeyIdChange(keyId)
    if (healthz !== 'ok') throw new Error(`got unexpected healthz status: ${healthz}`)
  }

  async #rotateOnKeyIdChange(statusKeyId: string): Promise<void> {
    if (this.#state?.keyId === statusKeyId) {
      this.#state.expiresAtMs = this.#nowMs() + SEED_TTL_MS
      return
    }
    const seed = randomBytes(SEED_BYTES)
    this.calls.encrypt += 1
    const { ciphertext, keyId, annotations } = await this.#client.v2Encrypt(seed, randomUUID())
    if (keyId !== statusKeyId) throw new OracleError(`Encrypt has key id ${keyId}, Status ${statusKeyId}`)
    const dekSource = { keyId, encryptedDekSource: ciphertext, annotations }
    const tuple = tupleOf(dekSource)
    const known = this.#seeds.get(tuple)
    if (known !== undefined && !known.equals(seed)) throw new OracleError('two seeds have one ciphertext')
    this.#seeds.set(tuple, seed)
    this.#state = { ...dekSource, seed, expiresAtMs: this.#nowMs() + SEED_TTL_MS }
  }

  write(key: string, value: Uint8Array): StoredValue {
    const state = this.#primed()
    if (this.#nowMs() >= state.expiresAtMs) throw new Error('encryptedDEKSource expired')
    const encryptedData = sealExtended(state.seed, key, value)
    const message = encodeObject({ ...state, encryptedData })
    return { key, bytes: Buffer.concat([Buffer.from(this.#prefix), message]) }
  }

  /** @returns The value, and whether the next write of it would be real. */
  async read({ key, bytes }: StoredValue): Promise<{ value: Buffer; stale: boolean }> {
    const state = this.#primed()
    const prefix = bytes.subarray(0, this.#prefix.length).toString('latin1')
    if (prefix !== this.#prefix) throw new Error(`a value of another provider: ${prefix}`)
    const object = decodeObject(bytes.subarray(this.#prefix.length))
    const value = openExtended(await this.#seedOf(object), key, object.encryptedData)
    return { value, stale: object.keyId !== state.keyId }
  }

  /** Reads and writes need a state that was primed once since the start of kube-apiserver. */
  #primed(): WriteState {
    if (this.#state === undefined) throw new Error('got unexpected nil transformer')
    return this.#state
  }

  async #seedOf(object: EncryptedObject): Promise<Buffer> {
    const tuple = tupleOf(object)
    const cached = this.#seeds.get(tuple)
    if (cached !== undefined) return cached
    this.calls.decrypt += 1
    const { encryptedDekSource: ciphertext, keyId, annotations } = object
    const seed = await this.#client.v2Decrypt({ ciphertext, keyId, annotations })
    if (seed.length < SEED_BYTES) throw new OracleError(`a seed of ${seed.length} bytes`)
    this.#seeds.set(tuple, seed)
    return seed
  }
}

/** One `kms` entry of apiVersion v1: a new DEK and a call of the plugin for every write. */
export class KmsV1Provider {
  readonly #client: KmsClient
  readonly #prefix: string
  #hasVersion = false

  constructor(client: KmsClient, name = 'myplugin') {
    this.#client = client
    this.#prefix = `k8s:enc:kms:v1:${name}:`
  }

  /** What /healthz does. */
  async check(): Promise<void> {
    await this.#handshake()
    const cipher = await this.#client.v1Encrypt(Buffer.from('ping'))
    await this.#client.v1Decrypt(cipher)
  }

  async write(key: string, value: Uint8Array): Promise<StoredValue> {
    await this.#handshake()
    const dek = randomBytes(32)
    const wrapped = await this.#client.v1Encrypt(dek)
    const length = Buffer.alloc(2)
    length.writeUInt16BE(wrapped.length)
    return { key, bytes: Buffer.concat([Buffer.from(this.#prefix), length, wrapped, seal(dek, key, value)]) }
  }

  async read({ key, bytes }: StoredValue): Promise<Buffer> {
    await this.#handshake()
    const payload = bytes.subarray(this.#prefix.length)
    const end = 2 + payload.readUInt16BE()
    const dek = await this.#client.v1Decrypt(payload.subarray(2, end))
    if (![16, 24, 32].includes(dek.length)) throw new OracleError(`a DEK of ${dek.length} bytes`)
    return open(dek, key, payload.subarray(end))
  }

  /** Before the first call, and not again after it succeeded. */
  async #handshake(): Promise<void> {
    if (!this.#hasVersion) await this.#client.v1Version()
    this.#hasVersion = true
  }
}

function tupleOf({ keyId, encryptedDekSource, annotations }: Omit<EncryptedObject, 'encryptedData'>): string {
  const pairs = Object.entries(annotations).map(([name, value]) => [name, Buffer.from(value).toString('hex')])
  return JSON.stringify([keyId, encryptedDekSource.toString('hex'), pairs.sort()])
}

/** The message that follows the prefix: kmsv2/v2/api.proto. */
function encodeObject({ encryptedData, keyId, encryptedDekSource, annotations }: EncryptedObject): Buffer {
  const pairs = Object.entries(annotations).map(([name, value]) =>
    bytesField(4, Buffer.concat([bytesField(1, name), bytesField(2, value)])),
  )
  return Buffer.concat([
    bytesField(1, encryptedData),
    bytesField(2, keyId),
    bytesField(3, encryptedDekSource),
    ...pairs,
    numberField(5, SEED_TYPE),
  ])
}

function decodeObject(message: Uint8Array): EncryptedObject {
  const fields = fieldsOf(message)
  const bytes = (field: number) => Buffer.from(fields.find((entry) => entry.field === field)?.value as Buffer)
  if (fields.find(({ field }) => field === 5)?.value !== SEED_TYPE) throw new Error('no seed of type 1')
  const pairs = fields
    .filter(({ field }) => field === 4)
    .map(({ value }) => fieldsOf(value as Buffer).map((part) => part.value as Buffer))
    .map(([name, value]) => [String(name), value ?? Buffer.alloc(0)] as const)
  return {
    encryptedData: bytes(1),
    keyId: bytes(2).toString('utf8'),
    encryptedDekSource: bytes(3),
    annotations: Object.fromEntries(pairs),
  }
}

/** HKDF-Expand with one block (RFC 5869 section 2.3): a key of its own for every value. */
function valueKey(seed: Uint8Array, info: Uint8Array): Buffer {
  return createHmac('sha256', seed).update(info).update(Buffer.of(1)).digest()
}

function sealExtended(seed: Uint8Array, key: string, value: Uint8Array): Buffer {
  const info = randomBytes(INFO_BYTES)
  return Buffer.concat([info, seal(valueKey(seed, info), key, value)])
}

function openExtended(seed: Uint8Array, key: string, data: Buffer): Buffer {
  return open(valueKey(seed, data.subarray(0, INFO_BYTES)), key, data.subarray(INFO_BYTES))
}

/** Nonce ‖ ciphertext ‖ tag; the key in etcd is the AAD. */
function seal(dek: Uint8Array, key: string, value: Uint8Array): Buffer {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', dek, nonce).setAAD(Buffer.from(key))
  return Buffer.concat([nonce, cipher.update(value), cipher.final(), cipher.getAuthTag()])
}

function open(dek: Uint8Array, key: string, data: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', dek, data.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  })
  decipher.setAAD(Buffer.from(key)).setAuthTag(data.subarray(-TAG_BYTES))
  return Buffer.concat([decipher.update(data.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()])
}
