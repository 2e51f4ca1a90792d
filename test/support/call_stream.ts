/** Encrypts and Decrypts without a pause, as a busy kube-apiserver sends them, and what became of each. */
import type { KmsClient, V2Encrypted } from './kms_client.js'

/** A value that was sealed, and what it must open to. */
export interface SealedValue {
  readonly sealed: V2Encrypted
  readonly plaintext: Buffer
}

/** One call; times as `performance.now()` has them. */
export interface StreamedCall {
  readonly operation: 'encrypt' | 'decrypt'
  readonly beganMs: number
  readonly endedMs: number
  /** The failure, as gRPC tells it; `undefined`: it succeeded. */
  readonly error: string | undefined
}

const EVERY_MS = 20
const MAX_IN_FLIGHT = 8

export class CallStream {
  readonly ended: StreamedCall[] = []
  /** Decrypts that succeeded with other bytes than were sealed. */
  wrongPlaintexts = 0
  readonly #client: KmsClient
  readonly #values: readonly SealedValue[]
  readonly #underWay = new Set<Promise<void>>()
  readonly #timer: NodeJS.Timeout
  #begun = 0

  /** Begins at once; calls take turns between Encrypt and Decrypt, and Decrypts between the values. */
  constructor(client: KmsClient, values: readonly SealedValue[]) {
    this.#client = client
    this.#values = values
    this.#timer = setInterval(() => this.#begin(), EVERY_MS)
    this.#begin()
  }

  get failures(): readonly StreamedCall[] {
    return this.ended.filter(({ error }) => error !== undefined)
  }

  /** Begins no more calls; resolves when those under way have ended. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#underWay)
  }

  #begin(): void {
    if (this.#underWay.size >= MAX_IN_FLIGHT) return
    const call = this.#call(this.#begun++)
    this.#underWay.add(call)
    void call.then(() => this.#underWay.delete(call))
  }

  async #call(number: number): Promise<void> {
    const value = this.#values[(number >> 1) % this.#values.length]!
    const operation = number % 2 === 0 ? 'decrypt' : 'encrypt'
    const beganMs = performance.now()
    let error: string | undefined
    try {
      if (operation === 'encrypt') await this.#client.v2Encrypt(value.plaintext)
      else if (!(await this.#client.v2Decrypt(value.sealed)).equals(value.plaintext))
        this.wrongPlaintexts += 1
    } catch (thrown) {
      error = thrown instanceof Error ? thrown.message : String(thrown)
    }
    this.ended.push({ operation, beganMs, endedMs: performance.now(), error })
  }
}
