/** One unwrapped DEK, ready for use, together with the wrapped form that stands in the envelopes under it. */
import { createSecretKey, type KeyObject } from 'node:crypto'
import type { WrappedDek } from '../ports/key_wrapper.js'
import type { CipherSuite } from './cipher_suite.js'
import { hkdfSha512 } from './hkdf.js'
import { nameOfWrapped } from './wrapped_name.js'

/** Length of the commitment: 256 bits, so that finding two keys for one value costs 2^128. */
export const COMMITMENT_BYTES = 32

/** Length of the salt: with it a key is derived per value, so random IVs never meet under one key. */
export const SALT_BYTES = 32

const INFO_PREFIX = Buffer.from('kmsplugin/v1', 'ascii')

/** Keys for one value. The owner calls {@link wipe}. */
export interface ValueKeys {
  readonly key: Uint8Array
  /** Names the key without telling it (32 bytes): stored in the envelope and compared before anything is opened. */
  readonly commitment: Uint8Array
  wipe(): void
}

export class Dek {
  readonly wrapped: WrappedDek
  /** Of `wrapped`: see {@link nameOfWrapped}. Each seal asks for it. */
  readonly name: string
  /** On `Clock.nowMs`. */
  readonly createdAtMs: number
  readonly #key: KeyObject
  readonly #infos = new Map<number, Uint8Array>()
  #seals = 0
  #sealedBytes = 0

  /** Copies `raw` (32 bytes); the caller still owns it and wipes it. */
  constructor(raw: Uint8Array, wrapped: WrappedDek, createdAtMs: number) {
    this.#key = createSecretKey(raw)
    this.wrapped = wrapped
    this.name = nameOfWrapped(wrapped)
    this.createdAtMs = createdAtMs
  }

  /** How many values were sealed, or are about to be, under this DEK by this process. */
  get seals(): number {
    return this.#seals
  }

  get sealedBytes(): number {
    return this.#sealedBytes
  }

  /** Counts one value before it is sealed, so that concurrent requests cannot pass a bound together. */
  countSeal(plaintextBytes: number): void {
    this.#seals += 1
    this.#sealedBytes += plaintextBytes
  }

  /**
   * HKDF-SHA-512 (RFC 5869) over the DEK with the value's salt. The suite and the key id enter the info, so one
   * DEK never gives two suites related keys, and the commitment binds both.
   */
  deriveValueKeys(suite: CipherSuite, salt: Uint8Array): ValueKeys {
    const okm = hkdfSha512(this.#key, salt, this.#infoOf(suite), suite.keyBytes + COMMITMENT_BYTES)
    return {
      key: okm.subarray(0, suite.keyBytes),
      commitment: okm.subarray(suite.keyBytes),
      wipe: () => okm.fill(0),
    }
  }

  /** Made once: it is the same for every value. */
  #infoOf({ id }: CipherSuite): Uint8Array {
    const made = this.#infos.get(id) ?? this.#makeInfo(id)
    this.#infos.set(id, made)
    return made
  }

  #makeInfo(suiteId: number): Uint8Array {
    const { keyId } = this.wrapped
    // A copy: a slice of the pool would keep alive, for as long as a DEK is held, what others wrote beside it.
    return Uint8Array.from(Buffer.concat([INFO_PREFIX, Buffer.of(suiteId), Buffer.from(keyId, 'ascii')]))
  }
}
