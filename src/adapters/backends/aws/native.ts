/** What does a refusal of AWS mean for a blob that another program had encrypted? */
import { KmsError } from '../../../ports/errors.js'

/**
 * The error of a Decrypt, for a value that may be of a key that no entry names.
 *
 * Where AWS does not tell an altered blob from a missing right, a known-good DEK tells it for our own key alone; of
 * another key we only know that it does not open the value for us.
 *
 * @param arn The key that was demanded; `undefined`: the one that the blob names.
 * @param isOwn Whether that is the KEK of this entry.
 */
export function nativeError(error: unknown, arn: string | undefined, isOwn: boolean): unknown {
  if (!(error instanceof KmsError)) return error
  const which = arn ?? 'the key that the value names'
  if (error.code === 'ERR_DECRYPTION_FAILED') {
    const text = `${which} in AWS KMS does not open the value: it was altered, or encrypted with another encryptionContext than this entry has`
    return new KmsError('ERR_DECRYPTION_FAILED', text)
  }
  const isUnknown = !isOwn && (error.code === 'ERR_UNWRAP_AMBIGUOUS' || error.code === 'ERR_KEY_NOT_FOUND')
  if (!isUnknown) return error
  const text = `AWS KMS has not got ${which} in this region, or does not let us use it: grant kms:Decrypt on the key that the other plugin used; or the value was altered`
  return new KmsError('ERR_KEY_UNKNOWN', text)
}
