/** In which way does this server wrap so that it can be relied upon? Tried with bytes that are no DEK. */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { asKmsError, KmsError, type KmsErrorCode } from '../../../ports/errors.js'
import { DEK_BYTES } from '../../../ports/key_wrapper.js'
import { ways, type Way } from './ways.js'
import type { KmipVersion } from './version.js'

/** One KEK, asked to wrap and unwrap in a given way. */
export interface Trial {
  wrap(way: Way, dek: Uint8Array, aad: Uint8Array): Promise<Buffer>
  /** @param body What follows the format byte. */
  unwrap(way: Way, body: Buffer, aad: Uint8Array): Promise<Buffer>
}

/** Said of one way; another may work. Whatever else fails says nothing of the way. */
const saysNotThisWay: readonly KmsErrorCode[] = [
  'ERR_KEY_UNUSABLE',
  'ERR_CONFIG_INVALID',
  'ERR_BACKEND_UNAVAILABLE',
  'ERR_DECRYPTION_FAILED',
  'ERR_UNWRAP_AMBIGUOUS',
]
const saysBadData: readonly KmsErrorCode[] = ['ERR_DECRYPTION_FAILED', 'ERR_UNWRAP_AMBIGUOUS']

/**
 * The best way that opens what it wrapped and refuses what was altered: a server that ignores the tag, or the
 * associated data, gives no authentication.
 *
 * @throws {KmsError} `ERR_KEY_UNUSABLE`: none, with what each said; `ERR_BACKEND_UNAVAILABLE` when that may be because
 * the server is ill; whatever else stops the trial.
 */
export async function chooseWay(version: KmipVersion, trial: Trial, service: string): Promise<Way> {
  const reasons: string[] = []
  let ill: KmsError | undefined
  for (const way of ways.filter(({ isFor }) => isFor(version))) {
    try {
      // A server that failed once is asked twice: a lesser way would be written for as long as we run.
      await prove(way, trial).catch(async (error: unknown) => {
        if (asKmsError(error).code !== 'ERR_BACKEND_UNAVAILABLE') throw error
        await prove(way, trial)
      })
      return way
    } catch (thrown) {
      const error = asKmsError(thrown)
      if (!saysNotThisWay.includes(error.code)) throw error
      if (error.code === 'ERR_BACKEND_UNAVAILABLE') ill ??= error
      reasons.push(`${way.name}: ${error.message}`)
    }
  }
  if (ill !== undefined) throw ill
  throw new KmsError('ERR_KEY_UNUSABLE', `${service} wraps in no way that is safe: ${reasons.join('; ')}`)
}

async function prove(way: Way, trial: Trial): Promise<void> {
  const probe = randomBytes(DEK_BYTES)
  const aad = randomBytes(DEK_BYTES)
  const body = await trial.wrap(way, probe, aad)
  const back = await trial.unwrap(way, body, aad)
  if (back.length !== probe.length || !timingSafeEqual(back, probe)) {
    throw new KmsError('ERR_KEY_UNUSABLE', 'does not open what it wrapped')
  }
  const altered = Buffer.from(body)
  altered.writeUInt8(altered.readUInt8(altered.length - 1) ^ 1, altered.length - 1)
  await mustRefuse(trial.unwrap(way, altered, aad), 'opens what was altered')
  if (way.seal('', probe, aad).aad !== undefined) {
    await mustRefuse(trial.unwrap(way, body, randomBytes(DEK_BYTES)), 'ignores the associated data')
  }
}

async function mustRefuse(call: Promise<Buffer>, otherwise: string): Promise<void> {
  try {
    await call
  } catch (error) {
    if (saysBadData.includes(asKmsError(error).code)) return
    throw error
  }
  throw new KmsError('ERR_KEY_UNUSABLE', otherwise)
}
