/** How is Decrypt asked for what another program had the server encrypt by AES-GCM? */
import { KmsError } from '../../../ports/errors.js'
import type { NativeCiphertext } from '../../../ports/foreign.js'
import type { Transform } from './calls.js'
import { IV_BYTES, TAG_BYTES } from './formats.js'
import { blockCipherModes } from './tags.js'
import { AEAD_FIELDS, isAtLeast, versionText, type KmipVersion } from './version.js'

/**
 * Since 1.4 the tag has a field of its own; before, servers take it behind the data. So a value opens in whatever version
 * it was made.
 *
 * @param ciphertext `iv`: 12 bytes; `tag`: 16 bytes; `aad` takes KMIP 1.4.
 * @returns The payload of Decrypt, for a key and for the version that the connection has.
 * @throws {KmsError} `ERR_DECRYPTION_FAILED`: an IV or a tag of another length, which no server may see: a shorter tag would
 * be easier to forge.
 */
export function foreignGcm({
  bytes,
  iv,
  tag,
  aad,
}: NativeCiphertext): (uid: string, version: KmipVersion) => Transform {
  if (iv?.length !== IV_BYTES || tag?.length !== TAG_BYTES) {
    const lengths = `an IV of ${iv?.length ?? 0} and a tag of ${tag?.length ?? 0} bytes`
    const text = `the value has ${lengths}; it takes ${IV_BYTES} and ${TAG_BYTES}`
    throw new KmsError('ERR_DECRYPTION_FAILED', text)
  }
  return (uid, version) => {
    const common = { uid, mode: blockCipherModes.GCM, iv }
    if (isAtLeast(version, AEAD_FIELDS)) return { ...common, data: bytes, tag, aad }
    if (aad === undefined) return { ...common, data: Buffer.concat([bytes, tag]) }
    const spoken = `the server speaks KMIP ${versionText(version)}`
    throw new KmsError(
      'ERR_CONFIG_INVALID',
      `the value has associated data, which takes KMIP 1.4, and ${spoken}`,
    )
  }
}
