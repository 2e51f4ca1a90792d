/** The use cases: what happens when kube-apiserver asks to encrypt, to decrypt, or how we are. */
import type { Clock } from '../ports/clock.js'
import { KmsError } from '../ports/errors.js'
import type { DescribeForeign, StoredValue } from '../ports/foreign.js'
import { isKeyId } from '../ports/key_id.js'
import type { CallOptions } from '../ports/key_wrapper.js'
import type { DecryptRequest, EncryptResult, KmsService, ServiceStatus } from '../ports/kms_service.js'
import type { CipherSuite } from './cipher_suite.js'
import { assertInTime, withDeadline } from './deadline.js'
import type { Dek } from './dek.js'
import { openEnvelope, sealEnvelope } from './envelope.js'
import { beginsLikeEnvelope, envelopeBytes, parseEnvelope, type Envelope } from './envelope_format.js'
import type { FoundForeign } from './foreign_candidates.js'
import type { ForeignValues } from './foreign_values.js'
import type { Health } from './health.js'
import type { OpeningDeks } from './opening_deks.js'
import type { Publication } from './publication.js'
import type { SealingDeks } from './sealing_deks.js'

/** How often a value is sealed anew because the published key moved between the choice of the DEK and its use. */
const MAX_TRIES = 3

export interface EnvelopeKmsServiceParts {
  readonly suite: CipherSuite
  readonly sealing: SealingDeks
  readonly opening: OpeningDeks
  readonly foreign: ForeignValues
  readonly describeForeign: DescribeForeign
  readonly publication: Publication
  readonly health: Health
  readonly clock: Clock
  /** `retry.totalTimeout`: no request takes longer. */
  readonly totalTimeoutMs: number
  /** Told when a request failed because of a backend, so that the next probe comes sooner. */
  readonly onBackendFault: () => void
}

export class EnvelopeKmsService implements KmsService {
  readonly #parts: EnvelopeKmsServiceParts

  constructor(parts: EnvelopeKmsServiceParts) {
    this.#parts = parts
  }

  async encrypt(
    plaintext: Uint8Array,
    maxCiphertextBytes: number,
    options: CallOptions,
  ): Promise<EncryptResult> {
    const { clock, health, publication, sealing, suite } = this.#parts
    health.assertMaySeal()
    const published = publication.dek
    if (published === undefined)
      throw new KmsError('ERR_STARTING', 'the primary key has not proved itself yet')
    // The published DEK tells the size before any backend is asked; the one that seals is checked again.
    this.#assertFits(published, plaintext, maxCiphertextBytes)
    assertInTime(clock, options)
    for (let attempt = 0; attempt < MAX_TRIES; attempt += 1) {
      const dek =
        sealing.held(plaintext.length) ??
        (await this.#inTime(options, async (o) => sealing.forSealing(plaintext.length, o)))
      if (dek.wrapped.keyId !== publication.keyId) continue
      this.#assertFits(dek, plaintext, maxCiphertextBytes)
      const ciphertext = sealEnvelope(dek, suite, plaintext)
      this.#parts.opening.keep(dek)
      return { ciphertext, keyId: dek.wrapped.keyId }
    }
    throw new KmsError(
      'ERR_BACKEND_RESPONSE',
      `the primary key changed ${MAX_TRIES} times during one request`,
    )
  }

  async decrypt(request: DecryptRequest, options: CallOptions): Promise<Uint8Array> {
    const { opening } = this.#parts
    const foreign = this.#findForeign(request)
    if (foreign !== undefined) return this.#inTime(options, async (o) => this.#parts.foreign.open(foreign, o))
    const envelope = parseEnvelope(request.ciphertext)
    if (request.keyId !== undefined && request.keyId !== envelope.wrapped.keyId) throw mismatch(request.keyId)
    const held = opening.held(envelope.wrapped)
    if (held !== undefined) return openEnvelope(held, envelope)
    return this.#openUnwrapped(envelope, options)
  }

  status(): ServiceStatus {
    return this.#parts.health.status()
  }

  async #openUnwrapped(envelope: Envelope, options: CallOptions): Promise<Uint8Array> {
    const { opening } = this.#parts
    const dek = await this.#inTime(options, async (o) => opening.unwrap(envelope.wrapped, o))
    const plaintext = openEnvelope(dek, envelope)
    opening.keep(dek)
    return plaintext
  }

  /**
   * @throws {KmsError} `ERR_VALUE_FOREIGN` where the bytes are another plugin's and no key decodes its format.
   */
  #findForeign(request: DecryptRequest): FoundForeign | undefined {
    const { foreign, describeForeign } = this.#parts
    const { ciphertext, keyId, annotations = {} } = request
    // What was stored under a key id of ours was ours, whatever it looks like now.
    if (keyId !== undefined && isKeyId(keyId)) return undefined
    const isOurs = beginsLikeEnvelope(ciphertext)
    // We write no annotations, so what has some is another's, whatever its first bytes happen to be.
    if (isOurs && Object.keys(annotations).length === 0) return undefined
    const value: StoredValue = { ciphertext, keyId, annotations }
    const found = foreign.find(value)
    if (found !== undefined || isOurs) return found
    const described = describeForeign(value)
    if (described === undefined) return undefined
    const text = `${described.writtenBy} made this value; no key lists ${described.format} under "decode"`
    throw new KmsError('ERR_VALUE_FOREIGN', text)
  }

  #assertFits(dek: Dek, plaintext: Uint8Array, maxCiphertextBytes: number): void {
    const bytes = envelopeBytes(this.#parts.suite, dek.wrapped, plaintext.length)
    if (bytes <= maxCiphertextBytes) return
    const text = `${plaintext.length} bytes seal to ${bytes}; kube-apiserver takes at most ${maxCiphertextBytes}`
    throw new KmsError('ERR_REQUEST_TOO_LARGE', text)
  }

  async #inTime<T>(options: CallOptions, work: (options: CallOptions) => Promise<T>): Promise<T> {
    const { clock, totalTimeoutMs } = this.#parts
    try {
      return await withDeadline(clock, clock.nowMs() + totalTimeoutMs, options, work)
    } catch (error) {
      if (error instanceof KmsError && error.fault === 'backend') this.#parts.onBackendFault()
      throw error
    }
  }
}

function mismatch(requested: string): KmsError {
  const shown = isKeyId(requested) ? requested : `a text of ${requested.length} characters`
  return new KmsError('ERR_KEY_ID_MISMATCH', `the request says key id ${shown}, the envelope another`)
}
