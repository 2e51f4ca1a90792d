/** Which way to wrap does a KEK take on its token, and how is each format unwrapped? */
import { randomBytes } from 'node:crypto'
import { formatOf, isRsaFormat, type WrapFormat } from '../../shared/formats.js'
import type { MechanismName, UsageName } from '../../shared/mechanisms.js'
import { HsmError } from '../cryptoki.js'
import type { Token } from '../token.js'
import { aesCbcHmac, unwrapCbcHmac } from './aes_cbc_hmac.js'
import { aesGcm, unwrapGcm, unwrapGcmTokenIv } from './aes_gcm.js'
import {
  aesKwByEncrypt,
  aesKwByWrap,
  aesKwpByEncrypt,
  aesKwpByWrap,
  unwrapKw,
  unwrapKwp,
} from './aes_key_wrap.js'
import { rsaOaepSha256, unwrapOaepSha1, unwrapOaepSha256 } from './rsa_oaep.js'
import {
  DEK_BYTES,
  isUnsupported,
  unsupportedForm,
  type Bench,
  type Kek,
  type Strategy,
  type Unwrap,
} from './strategy.js'

/** From the best to the last. */
const strategies: readonly Strategy[] = [
  aesGcm,
  aesKwpByEncrypt,
  aesKwpByWrap,
  aesKwByEncrypt,
  aesKwByWrap,
  aesCbcHmac,
  rsaOaepSha256,
]

const unwrappers: Readonly<Record<WrapFormat, Unwrap>> = {
  1: unwrapGcm,
  2: unwrapGcmTokenIv,
  3: unwrapKw,
  4: unwrapKwp,
  5: unwrapCbcHmac,
  6: unwrapOaepSha256,
  7: unwrapOaepSha1,
}

/** @throws {HsmError} as {@link Unwrap}; `ERR_DECRYPTION_FAILED` for bytes of no format. */
export function unwrapDek(bench: Bench, wrapped: Buffer): Buffer {
  const format = formatOf(wrapped)
  if (format === undefined) throw new HsmError('ERR_DECRYPTION_FAILED', 'the wrapped DEK has no known form')
  const { keyType } = bench.kek.identity
  // Bytes of the wrong form never reach the token: what it answers to them says nothing.
  const fits = isRsaFormat(format) ? keyType === `RSA-${8 * (wrapped.length - 1)}` : keyType === 'AES-256'
  if (!fits) throw new HsmError('ERR_DECRYPTION_FAILED', `the wrapped DEK has no form of a ${keyType} key`)
  return unwrappers[format](bench, wrapped)
}

export interface Choice extends Pick<Strategy, 'mechanism' | 'by'> {
  /** One line: what it is and why no better one. */
  readonly why: string
}

/**
 * Tries the wanted mechanism, or all from the best on, each with random bytes there and back in a session of its
 * own.
 *
 * @param may Whether the KEK has a usage attribute.
 * @param where The KEK's name, for messages.
 * @throws {HsmError} `ERR_KEY_UNUSABLE` with a reason for each when none works; whatever says that the device
 * failed, since a weaker way is no answer to that.
 */
export function chooseStrategy(
  token: Token,
  kek: Kek,
  wanted: MechanismName | 'auto',
  may: (attribute: UsageName) => boolean,
  where: string,
): Choice {
  const isRsa = kek.identity.keyType.startsWith('RSA')
  const reasons: string[] = []
  for (const strategy of strategies) {
    if (wanted !== 'auto' && strategy.mechanism !== wanted) continue
    if (strategy.keyType !== (isRsa ? 'RSA' : 'AES')) continue
    const name = `${strategy.mechanism} by ${strategy.by}`
    const missing = strategy.usage.filter((attribute) => !may(attribute))
    if (missing.length > 0) {
      reasons.push(`${name}: the key lacks ${missing.join(' and ')}`)
      continue
    }
    try {
      token.inSession('read', (session) => selfTest({ token, session, kek }, strategy))
      const { mechanism, by } = strategy
      return { mechanism, by, why: [name, ...reasons].join('; not ') }
    } catch (error) {
      if (!(error instanceof HsmError && isUnsupported(error))) throw error
      reasons.push(`${name}: ${error.message}`)
    }
  }
  if (reasons.length === 0) reasons.push(`${wanted} is not for a key of type ${kek.identity.keyType}`)
  const advice = wanted === 'auto' ? 'name another key' : 'mechanism: auto takes what token and key can do'
  throw unsupportedForm(`${where} cannot wrap a DEK: ${reasons.join('; ')}; ${advice}`)
}

export function strategyOf({ mechanism, by }: Pick<Strategy, 'mechanism' | 'by'>): Strategy {
  const strategy = strategies.find((each) => each.mechanism === mechanism && each.by === by)
  if (strategy === undefined) throw new HsmError('ERR_INTERNAL', `there is no ${mechanism} by ${by}`)
  return strategy
}

/**
 * Random bytes there and back, and altered bytes, which must be refused.
 *
 * @param bench Its session is spoiled by that: the caller closes it.
 * @throws {HsmError} `ERR_BACKEND_RESPONSE` when other bytes come back, or altered ones are not noticed.
 */
export function selfTest(bench: Bench, strategy: Strategy): void {
  const wrapped = roundTrip(bench, strategy)
  wrapped.writeUInt8(wrapped.readUInt8(wrapped.length - 1) ^ 1, wrapped.length - 1)
  try {
    unwrapDek(bench, wrapped)
  } catch (error) {
    if (error instanceof HsmError && refusals.includes(error.code)) return
    throw error
  }
  throw new HsmError('ERR_BACKEND_RESPONSE', `${strategy.mechanism}: the token takes altered bytes for good`)
}

/**
 * Random bytes there and back.
 *
 * @returns The wrapped ones.
 * @throws {HsmError} `ERR_BACKEND_RESPONSE` when other bytes come back.
 */
export function roundTrip(bench: Bench, strategy: Strategy): Buffer {
  const sample = randomBytes(DEK_BYTES)
  const wrapped = strategy.wrap(bench, sample)
  if (unwrapDek(bench, wrapped).equals(sample)) return wrapped
  const text = `${strategy.mechanism}: other bytes come back than were wrapped`
  throw new HsmError('ERR_BACKEND_RESPONSE', text)
}

const refusals: readonly string[] = ['ERR_DECRYPTION_FAILED', 'ERR_UNWRAP_AMBIGUOUS']

/** The strategies that make what this one unwraps, to try them on a KEK in doubt. */
export function strategiesFor(format: WrapFormat): readonly Strategy[] {
  const mechanism = mechanismOfFormat[format]
  return strategies.filter((strategy) => strategy.mechanism === mechanism)
}

const mechanismOfFormat: Readonly<Record<WrapFormat, MechanismName>> = {
  1: 'aes-gcm',
  2: 'aes-gcm',
  3: 'aes-kw',
  4: 'aes-kwp',
  5: 'aes-cbc-hmac',
  6: 'rsa-oaep-sha256',
  7: 'rsa-oaep-sha256',
}
