/**
 * A KEK in memory with real AES-256-GCM and faults on demand.
 *
 * Wrapped form: IV (12), ciphertext (32), tag (16). Each version has a KEK of its own. It ignores abort signals,
 * as the worst backend would.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { keyIdOf } from '../../src/adapters/backends/identity.js'
import type { Clock } from '../../src/ports/clock.js'
import { KmsError, type KmsErrorCode } from '../../src/ports/errors.js'
import type { NativeCiphertext } from '../../src/ports/foreign.js'
import { kekPart, type KeyId } from '../../src/ports/key_id.js'
import type { CallOptions, KeyWrapper, Recognition, WrappedDek } from '../../src/ports/key_wrapper.js'
import type { BackendOperation } from '../../src/ports/metrics.js'
import { settled } from './manual_clock.js'

const IV_BYTES = 12
const TAG_BYTES = 16

interface Fault {
  readonly operation: BackendOperation | 'any'
  readonly code: KmsErrorCode | 'wrong bytes'
  times: number
}

interface Version {
  readonly keyId: KeyId
  readonly kek: Buffer
}

export class FaultyKeyWrapper implements KeyWrapper {
  readonly backend: string
  /** Begun calls by operation. */
  readonly calls: Record<BackendOperation, number> = {
    wrap: 0,
    unwrap: 0,
    currentKeyId: 0,
    decryptNative: 0,
  }
  /** Every raw DEK that crossed this port, in either direction: the very buffers. */
  readonly rawDeks: Uint8Array[] = []
  /** The options of every call, in order. */
  readonly options: CallOptions[] = []
  /** Answers a tampered wrapped DEK as SoftHSM does: with the code of a dying device. */
  ambiguous = false
  /** How long each call takes on the clock. */
  latencyMs: () => number = () => 0
  closes = 0
  readonly #name: string
  readonly #clock: Clock
  readonly #versions: Version[] = []
  #current = 0
  #seen: boolean
  #faults: Fault[] = []
  readonly #gates = new Map<BackendOperation, Promise<void>>()

  /** @param isSeen `false`: like a real one, it does not know its KEK before a call has worked. */
  constructor(name: string, clock: Clock, { backend = 'local', isSeen = false } = {}) {
    this.#name = name
    this.#clock = clock
    this.backend = backend
    this.#seen = isSeen
    this.rotate()
  }

  get keyId(): KeyId {
    return this.#versions[this.#current]!.keyId
  }

  get totalCalls(): number {
    return Object.values(this.calls).reduce((sum, count) => sum + count, 0)
  }

  /** A new KEK version wraps from now on; the old ones still unwrap. */
  rotate(): void {
    const version = String(this.#versions.length)
    const keyId = keyIdOf(this.backend, [this.#name], [version])
    this.#versions.push({ keyId, kek: randomBytes(32) })
    this.#current = this.#versions.length - 1
  }

  /** Makes an old version the current one, as someone does who moves an alias back. */
  rotateBack(): void {
    this.#current = Math.max(0, this.#current - 1)
  }

  /** The next `times` calls of `operation` fail. */
  fail(operation: BackendOperation | 'any', code: KmsErrorCode, times = Infinity): void {
    this.#faults.push({ operation, code, times })
  }

  /** The next `times` answers of `operation` have one bit flipped. */
  corrupt(operation: 'wrap' | 'unwrap', times = Infinity): void {
    this.#faults.push({ operation, code: 'wrong bytes', times })
  }

  heal(): void {
    this.#faults = []
  }

  /** Calls of `operation` wait until the function that is returned is called: never, for a hang. */
  hold(operation: BackendOperation): () => Promise<void> {
    let open!: () => void
    this.#gates.set(operation, new Promise((resolve) => (open = resolve)))
    return async () => {
      this.#gates.delete(operation)
      open()
      await settled()
    }
  }

  recognizes(keyId: KeyId): Recognition {
    if (!this.#seen) return 'unknown'
    return kekPart(keyId) === kekPart(this.keyId) ? 'yes' : 'no'
  }

  async currentKeyId(options: CallOptions): Promise<KeyId> {
    await this.#answer('currentKeyId', options)
    return this.keyId
  }

  async wrap(dek: Uint8Array, options: CallOptions): Promise<WrappedDek> {
    this.rawDeks.push(dek)
    const spoil = await this.#answer('wrap', options)
    const { keyId, kek } = this.#versions[this.#current]!
    return { keyId, bytes: spoil(seal(kek, dek)) }
  }

  async unwrap(wrapped: WrappedDek, options: CallOptions): Promise<Uint8Array> {
    const spoil = await this.#answer('unwrap', options)
    if (kekPart(wrapped.keyId) !== kekPart(this.keyId)) {
      throw new KmsError('ERR_KEY_UNKNOWN', 'another KEK wrapped this DEK')
    }
    const kek = this.#versions.find(({ keyId }) => keyId === wrapped.keyId)?.kek
    return spoil(this.#opened(kek, wrapped.bytes))
  }

  /** What another plugin would have had this KEK encrypt. */
  encryptNative(plaintext: Uint8Array): Buffer {
    return seal(this.#versions[this.#current]!.kek, plaintext)
  }

  async decryptNative({ bytes }: NativeCiphertext, options: CallOptions): Promise<Uint8Array> {
    const spoil = await this.#answer('decryptNative', options)
    return spoil(this.#opened(this.#versions[this.#current]!.kek, bytes))
  }

  #opened(kek: Buffer | undefined, bytes: Uint8Array): Buffer {
    if (kek === undefined || bytes.length < IV_BYTES + TAG_BYTES) throw this.#tampered()
    const body = Buffer.from(bytes)
    const decipher = createDecipheriv('aes-256-gcm', kek, body.subarray(0, IV_BYTES), {
      authTagLength: TAG_BYTES,
    })
    decipher.setAuthTag(body.subarray(-TAG_BYTES))
    const plaintext = decipher.update(body.subarray(IV_BYTES, -TAG_BYTES))
    this.rawDeks.push(plaintext)
    try {
      decipher.final()
      return plaintext
    } catch {
      plaintext.fill(0)
      throw this.#tampered()
    }
  }

  async close(): Promise<void> {
    this.closes += 1
  }

  #tampered(): KmsError {
    return new KmsError(
      this.ambiguous ? 'ERR_UNWRAP_AMBIGUOUS' : 'ERR_DECRYPTION_FAILED',
      'the wrapped DEK does not open',
    )
  }

  async #answer(
    operation: BackendOperation,
    options: CallOptions,
  ): Promise<<B extends Uint8Array>(bytes: B) => B> {
    this.calls[operation] += 1
    this.options.push(options)
    const latencyMs = this.latencyMs()
    if (latencyMs > 0) await this.#clock.sleep(latencyMs)
    await this.#gates.get(operation)
    const fault = this.#faults.find(
      (f) => f.times > 0 && (f.operation === 'any' || f.operation === operation),
    )
    if (fault !== undefined) fault.times -= 1
    if (fault !== undefined && fault.code !== 'wrong bytes') {
      throw new KmsError(fault.code, `scripted fault of ${operation}`)
    }
    this.#seen = true
    return (bytes) => {
      if (fault !== undefined) bytes[bytes.length - 1]! ^= 1
      return bytes
    }
  }
}

function seal(kek: Buffer, plaintext: Uint8Array): Buffer {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv('aes-256-gcm', kek, iv, { authTagLength: TAG_BYTES })
  return Buffer.concat([iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}
