/** How does a KEK on a PKCS#11 token keep the port's contract? */
import { KmsError, type KmsErrorCode } from '../../../ports/errors.js'
import type { NativeCiphertext } from '../../../ports/foreign.js'
import { backendPart, kekPart, type KeyId } from '../../../ports/key_id.js'
import {
  DEK_BYTES,
  type CallOptions,
  type KeyWrapper,
  type Recognition,
  type WrappedDek,
} from '../../../ports/key_wrapper.js'
import type { Logger } from '../../../ports/logger.js'
import { keyIdOf } from '../identity.js'
import { formatOf } from './shared/formats.js'
import type { Hsm } from './hsm.js'
import { nativePlaintext, nativeRequest } from './native.js'
import type { HsmResult, KekIdentity, Sealing } from './shared/messages.js'

/** What a label that was edited, or given twice, looks like. */
const labelFailures: readonly KmsErrorCode[] = ['ERR_KEY_NOT_FOUND', 'ERR_KEY_UNUSABLE']

/** The KEK as the token showed it last. */
interface SeenKek {
  readonly identity: KekIdentity
  readonly keyId: KeyId
}

export class Pkcs11KeyWrapper implements KeyWrapper {
  readonly backend = 'pkcs11'
  readonly #hsm: Hsm
  readonly #seals: boolean
  readonly #logger: Logger
  #seen: SeenKek | undefined
  #toldWhy: string | undefined
  /** KEKs for opening alone: the label led to them before, or they were asked for while it led to none. */
  readonly #found = new Map<KeyId, KekIdentity>()

  /** @param seals Whether it matters that the KEK can wrap. */
  constructor(hsm: Hsm, logger: Logger, seals = true) {
    this.#hsm = hsm
    this.#seals = seals
    this.#logger = logger
  }

  async currentKeyId(options: CallOptions): Promise<KeyId> {
    return this.#see(await this.#hsm.call({ op: 'identify', seals: this.#seals }, options)).keyId
  }

  recognizes(keyId: KeyId): Recognition {
    if (backendPart(keyId) !== this.backend) return 'no'
    if (this.#found.has(keyId)) return 'yes'
    if (this.#seen === undefined) return 'unknown'
    return kekPart(this.#seen.keyId) === kekPart(keyId) ? 'yes' : 'no'
  }

  async wrap(dek: Uint8Array, options: CallOptions): Promise<WrappedDek> {
    if (dek.length !== DEK_BYTES) throw new KmsError('ERR_INTERNAL', `a DEK has ${DEK_BYTES} bytes`)
    const result = await this.#hsm.call({ op: 'wrap', dek }, options)
    if (formatOf(result.bytes) === undefined) throw broken('a wrapped DEK')
    return { keyId: this.#see(result).keyId, bytes: Uint8Array.from(result.bytes) }
  }

  async unwrap({ keyId, bytes }: WrappedDek, options: CallOptions): Promise<Uint8Array> {
    if (this.recognizes(keyId) === 'no') throw foreign(keyId)
    if (formatOf(bytes) === undefined) {
      throw new KmsError('ERR_DECRYPTION_FAILED', 'the wrapped DEK has no form that this backend makes')
    }
    const identity = await this.#identityOf(keyId, options)
    const answer = await this.#hsm.call({ op: 'unwrap', wrapped: bytes, identity }, options)
    try {
      if (answer.bytes.length !== DEK_BYTES) throw broken('a DEK')
      const dek = Buffer.allocUnsafeSlow(DEK_BYTES)
      dek.set(answer.bytes)
      return dek
    } finally {
      answer.bytes.fill(0)
    }
  }

  async decryptNative(ciphertext: NativeCiphertext, options: CallOptions): Promise<Uint8Array> {
    const request = nativeRequest(ciphertext)
    return nativePlaintext(request, await this.#hsm.decrypt(request, options))
  }

  async close(): Promise<void> {
    await this.#hsm.close()
  }

  async #identityOf(keyId: KeyId, options: CallOptions): Promise<KekIdentity> {
    const found = this.#found.get(keyId)
    if (found !== undefined) return found
    try {
      if (this.#seen === undefined) this.#see(await this.#hsm.call({ op: 'identify', seals: false }, options))
    } catch (error) {
      if (!(error instanceof KmsError)) throw error
      const isLabel = labelFailures.includes(error.code)
      if (!isLabel && this.#hsm.isGroup !== true) throw error
      const listed = await this.#findListed(keyId, options).catch((failure: unknown) => {
        throw isLabel ? failure : error
      })
      if (listed === undefined) throw error
      return listed
    }
    if (this.#seen?.keyId !== keyId) throw foreign(keyId)
    return this.#seen.identity
  }

  /** Only for opening, and no reason to call this KEK ours: another wrapper's may lie on the same token. */
  async #findListed(keyId: KeyId, options: CallOptions): Promise<KekIdentity | undefined> {
    const { identity, others = [] } = await this.#hsm.call({ op: 'list' }, options)
    const found = [identity, ...others].find((each) => keyIdOfKek(each) === keyId)
    if (found === undefined) return undefined
    this.#found.set(keyId, found)
    this.#logger.warn('the KEK was found by its identity, since its label leads to no usable key', { keyId })
    return found
  }

  #see({ identity, sealing }: HsmResult): SeenKek {
    const keyId = keyIdOfKek(identity)
    this.#tell(keyId, sealing)
    if (this.#seen?.keyId === keyId) return this.#seen
    if (this.#seen !== undefined) {
      // Nobody has to have taken it off the token.
      this.#found.set(this.#seen.keyId, this.#seen.identity)
      this.#logger.warn('another KEK has taken the place of the one on the token', {
        was: this.#seen.keyId,
        is: keyId,
      })
    }
    this.#seen = { identity, keyId }
    return this.#seen
  }

  /** How the KEK wraps, and why so, whenever that is new. */
  #tell(keyId: KeyId, sealing: Sealing | undefined): void {
    if (sealing === undefined || sealing.why === this.#toldWhy) return
    this.#toldWhy = sealing.why
    const { mechanism, why } = sealing
    if (mechanism === 'none') this.#logger.warn('the KEK cannot wrap, at most unwrap', { keyId, reason: why })
    else this.#logger.info('how the KEK wraps', { keyId, mechanism, why })
  }
}

/**
 * CKA_ID, check value and key type. No token serial, since several tokens may hold one KEK, and no label, since
 * anyone may edit it. A KEK on a token has no versions.
 */
export function keyIdOfKek({ keyType, ckaId, checkValue }: KekIdentity): KeyId {
  return keyIdOf('pkcs11', [ckaId, checkValue, keyType])
}

function foreign(keyId: KeyId): KmsError {
  return new KmsError('ERR_KEY_UNKNOWN', `the KEK on the token is not the one of ${keyId}`)
}

function broken(what: string): KmsError {
  return new KmsError('ERR_BACKEND_RESPONSE', `the HSM process answered with something that is not ${what}`)
}
