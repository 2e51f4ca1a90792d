/** Wraps DEKs with a symmetric key in AWS KMS, which never leaves it. */
import { timingSafeEqual } from 'node:crypto'
import type { Clock } from '../../../ports/clock.js'
import { KmsError } from '../../../ports/errors.js'
import type { NativeCiphertext } from '../../../ports/foreign.js'
import { kekPart, type KeyId } from '../../../ports/key_id.js'
import {
  DEK_BYTES,
  type CallOptions,
  type KeyWrapper,
  type Recognition,
  type WrappedDek,
} from '../../../ports/key_wrapper.js'
import { keyIdOf } from '../identity.js'
import type { Logger } from '../../../ports/logger.js'
import { untilAborted } from '../remote/credential.js'
import type { AwsKmsClient } from './client.js'
import { assertUsable, unseen, type KeyLook } from './key_look.js'
import { isAlias, isKeyArn, isMultiRegion, regionOf } from './key_reference.js'
import { nativeError } from './native.js'
import type { AwsSettings } from './settings.js'

/** Of wrapped DEKs: this byte, then the blob as AWS made it. */
const FORMAT = 0x01

type EncryptionContext = Readonly<Record<string, string>>

/** How long an alias is taken to mean the key that it meant last, before a key id that is not ours is called foreign. */
const ALIAS_TRUSTED_MS = 30_000

/**
 * Key id: the ARN of the key and the encryption context, then the id of its material. An alias is looked up at each {@link currentKeyId}; for
 * opening, the last look is good enough, since the ARN of a key never changes and each Decrypt names it.
 */
export class AwsKeyWrapper implements KeyWrapper {
  readonly backend = 'aws'
  readonly #client: AwsKmsClient
  readonly #clock: Clock
  readonly #keyId: string
  readonly #region: string | undefined
  readonly #isAlias: boolean
  readonly #context: EncryptionContext
  #seen: { readonly arn: string; readonly atMs: number } | undefined
  /** Of the last blob of ours that opened, for a key that may not be looked at. */
  #materialId: string | undefined
  #hasWarned = false
  readonly #logger: Logger
  /** A look for the sake of opening, shared by all who wait for it. */
  #sharedLook: Promise<KeyLook> | undefined

  constructor(client: AwsKmsClient, clock: Clock, logger: Logger, settings: AwsSettings) {
    const { keyId, region, encryptionContext = {} } = settings
    this.#logger = logger
    this.#client = client
    this.#clock = clock
    this.#keyId = keyId
    this.#region = region ?? regionOf(keyId)
    this.#isAlias = isAlias(keyId)
    this.#context = encryptionContext
  }

  async currentKeyId(options: CallOptions): Promise<KeyId> {
    const key = await this.#look(options)
    assertUsable(key)
    return awsKeyId(key.arn, key.materialId, this.#context)
  }

  recognizes(keyId: KeyId): Recognition {
    if (this.#seen === undefined) return 'unknown'
    if (this.#isOf(this.#seen.arn, keyId)) return 'yes'
    return this.#isSeenLately() ? 'no' : 'unknown'
  }

  /**
   * Encrypt does not tell which material it used, and the key may be rotated at any moment: so the blob is decrypted
   * at once, which tells. Where it does not, the material is taken to be the one that was current before and after.
   */
  async wrap(dek: Uint8Array, options: CallOptions): Promise<WrappedDek> {
    let before = await this.#look(options)
    for (;;) {
      assertUsable(before)
      const blob = await this.#client.encrypt(before.arn, dek, options)
      const materialId = await this.#materialOf(before.arn, blob, dek, options)
      const bytes = Buffer.concat([Buffer.of(FORMAT), blob])
      if (materialId !== undefined || before.materialId === undefined) {
        return { keyId: awsKeyId(before.arn, materialId, this.#context), bytes }
      }
      const after = await this.#look(options)
      const isSame = after.arn === before.arn && after.materialId === before.materialId
      if (isSame) return { keyId: awsKeyId(before.arn, before.materialId, this.#context), bytes }
      before = after
    }
  }

  async unwrap({ keyId, bytes }: WrappedDek, options: CallOptions): Promise<Uint8Array> {
    const arn = await this.#arnFor(keyId, options)
    if (bytes.length < 2 || bytes[0] !== FORMAT) throw altered('has another form than this plugin gives it')
    const { dek, materialId } = await this.#client.decrypt(arn, bytes.subarray(1), options)
    if (dek.length === DEK_BYTES && this.#isMadeBy(keyId, arn, materialId)) return dek
    dek.fill(0)
    throw altered(
      dek.length === DEK_BYTES ? 'was made by other key material than its key id says' : 'holds no DEK',
    )
  }

  /**
   * `bytes` is a blob of AWS, made with the encryption context of this entry. `keyName`, where it is the ARN of a key,
   * is the only one that may open it; without it AWS takes the key that the blob names, as far as our policies go.
   *
   * @throws {KmsError} `ERR_KEY_UNKNOWN`: made by a key that is not there, or not for us.
   */
  async decryptNative({ bytes, keyName }: NativeCiphertext, options: CallOptions): Promise<Uint8Array> {
    const arn = keyName !== undefined && this.#isPin(keyName) ? keyName : undefined
    try {
      return (await this.#client.decrypt(arn, bytes, options)).dek
    } catch (error) {
      const isOwn = arn !== undefined && (arn === this.#keyId || arn === this.#seen?.arn)
      throw nativeError(error, arn, isOwn)
    }
  }

  async close(): Promise<void> {
    await this.#client.close()
  }

  async #look(options: Pick<CallOptions, 'signal'>): Promise<KeyLook> {
    const key = await this.#client.describe(options).catch((error: unknown) => this.#unseen(error))
    this.#seen = { arn: key.arn, atMs: this.#clock.nowMs() }
    return key
  }

  /**
   * Whoever comes from a plugin that never looked may lack the right to: an ARN names its key all the same, and what we
   * wrap tells its material.
   */
  #unseen(error: unknown): KeyLook {
    const isDenied = error instanceof KmsError && error.code === 'ERR_ACCESS_DENIED'
    if (!isDenied || !isKeyArn(this.#keyId)) throw error
    if (!this.#hasWarned) {
      const text =
        'no right to kms:DescribeKey: a rotation of the key is noticed within the hour instead of at the next probe; grant it'
      this.#logger.warn(text, { keyId: this.#keyId })
    }
    this.#hasWarned = true
    return unseen(this.#keyId, this.#materialId)
  }

  /** Thousands of values may wait for it when the plugin has just started; none of them may end it for the others. */
  async #lookOnce(): Promise<KeyLook> {
    this.#sharedLook ??= this.#look({}).finally(() => {
      this.#sharedLook = undefined
    })
    return this.#sharedLook
  }

  /** The ARN of our KEK, if the key id is one of its; nothing has been sent of the bytes by then. */
  async #arnFor(keyId: KeyId, { signal }: CallOptions): Promise<string> {
    if (this.#seen !== undefined && this.#isOf(this.#seen.arn, keyId)) return this.#seen.arn
    const arn =
      this.#seen !== undefined && this.#isSeenLately()
        ? this.#seen.arn
        : (await untilAborted(this.#lookOnce(), signal)).arn
    if (this.#isOf(arn, keyId)) return arn
    throw new KmsError(
      'ERR_KEY_UNKNOWN',
      `${keyId} is not of the KEK ${arn} with this encryptionContext${this.#isAlias ? '; if the alias was moved, add the ARN of the old key as another entry' : ''}`,
    )
  }

  /** A multi-Region key opens in each of its regions, where it has another ARN: so there it cannot be demanded by this one. */
  #isPin(keyName: string): boolean {
    if (!isKeyArn(keyName)) return false
    if (!isMultiRegion(keyName)) return true
    return regionOf(keyName) === (this.#region ?? regionOf(this.#seen?.arn ?? ''))
  }

  #isSeenLately(): boolean {
    if (this.#seen === undefined) return false
    return !this.#isAlias || this.#clock.nowMs() - this.#seen.atMs < ALIAS_TRUSTED_MS
  }

  /** @throws {KmsError} `ERR_WRAP_UNVERIFIED` when the blob does not open to the same DEK. */
  async #materialOf(
    arn: string,
    blob: Uint8Array,
    dek: Uint8Array,
    options: CallOptions,
  ): Promise<string | undefined> {
    const opened = await this.#client.decrypt(arn, blob, options).catch((error: unknown) => {
      if (!(error instanceof KmsError)) throw error
      if (error.code === 'ERR_DECRYPTION_FAILED') throw unverified()
      // The blob is as AWS has just made it: only the right can be missing.
      if (error.code === 'ERR_UNWRAP_AMBIGUOUS') throw new KmsError('ERR_ACCESS_DENIED', error.message)
      throw error
    })
    const isSame = opened.dek.length === dek.length && timingSafeEqual(opened.dek, dek)
    opened.dek.fill(0)
    if (!isSame) throw unverified()
    this.#materialId = opened.materialId
    return opened.materialId
  }

  #isOf(arn: string, keyId: KeyId): boolean {
    return kekPart(awsKeyId(arn, undefined, this.#context)) === kekPart(keyId)
  }

  /** A key id without material claims none, and a service that tells none contradicts nothing. */
  #isMadeBy(keyId: KeyId, arn: string, materialId: string | undefined): boolean {
    if (materialId === undefined) return true
    return [materialId, undefined].some((claimed) => keyId === awsKeyId(arn, claimed, this.#context))
  }
}

/**
 * What was wrapped with one encryption context opens with no other: so each is a KEK of its own, and both can be entries.
 *
 * @param materialId `undefined` where the service has no ids of key material.
 */
export function awsKeyId(
  arn: string,
  materialId: string | undefined,
  context: EncryptionContext = {},
): KeyId {
  // AWS does not look at the order, so neither do we.
  const names = Object.keys(context).sort()
  const bound = names.flatMap((name) => [name, context[name] ?? ''])
  return keyIdOf('aws', [arn, ...bound], materialId === undefined ? [] : [materialId])
}

function altered(why: string): KmsError {
  return new KmsError('ERR_DECRYPTION_FAILED', `the wrapped DEK ${why}`)
}

function unverified(): KmsError {
  return new KmsError('ERR_WRAP_UNVERIFIED', 'AWS KMS does not open the DEK that it has just wrapped')
}
