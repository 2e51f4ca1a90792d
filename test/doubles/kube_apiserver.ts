/**
 * What kube-apiserver does with Status and Encrypt of KMS v2: `rotateDEKOnKeyIDChange` and the write lifetime
 * (pkg/server/options/encryptionconfig/config.go), as a model that checks its plugin.
 */
import { randomBytes } from 'node:crypto'
import type { Clock } from '../../src/ports/clock.js'
import type { KeyId } from '../../src/ports/key_id.js'
import type { KmsService } from '../../src/ports/kms_service.js'

const WRITE_LIFETIME_MS = 180_000
const MAX_CIPHERTEXT_BYTES = 1024
const TIMEOUT_MS = 3000

/** A data key as kube-apiserver stores it beside each value, and what it must decrypt to. */
export interface DekSource {
  readonly seed: Buffer
  readonly ciphertext: Uint8Array
  readonly keyId: KeyId
}

export type PollResult = 'kept' | 'rotated' | 'status failed' | 'encrypt failed' | 'key id mismatch'

export class KubeApiserver {
  /** Every source that was ever used for a write. */
  readonly stored: DekSource[] = []
  readonly #service: KmsService
  readonly #clock: Clock
  #state: DekSource | undefined
  #writesUntilMs = -Infinity
  #lastPoll: Promise<unknown> = Promise.resolve()

  constructor(service: KmsService, clock: Clock) {
    this.#service = service
    this.#clock = clock
  }

  get keyId(): KeyId | undefined {
    return this.#state?.keyId
  }

  get mayWrite(): boolean {
    return this.#clock.nowMs() < this.#writesUntilMs
  }

  /** One round of its background loop; a round begins when the one before has ended. */
  async poll(): Promise<PollResult> {
    const poll = this.#lastPoll.then(async () => this.#round())
    this.#lastPoll = poll
    return poll
  }

  async #round(): Promise<PollResult> {
    let keyId: KeyId
    try {
      keyId = this.#service.status().keyId
    } catch {
      return 'status failed'
    }
    if (this.#state?.keyId === keyId) {
      this.#writesUntilMs = this.#clock.nowMs() + WRITE_LIFETIME_MS
      return 'kept'
    }
    const seed = randomBytes(32)
    try {
      const options = { deadlineMs: this.#clock.nowMs() + TIMEOUT_MS }
      const answer = await this.#service.encrypt(seed, MAX_CIPHERTEXT_BYTES, options)
      if (answer.keyId !== keyId) return 'key id mismatch'
      this.#state = { seed, ...answer }
    } catch {
      return 'encrypt failed'
    }
    this.stored.push(this.#state)
    this.#writesUntilMs = this.#clock.nowMs() + WRITE_LIFETIME_MS
    return 'rotated'
  }
}
