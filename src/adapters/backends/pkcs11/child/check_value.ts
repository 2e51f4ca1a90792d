/** What is the check value of an AES key whose token has none to tell? */
import { CHECK_VALUE_BYTES } from '../shared/messages.js'
import { HsmError } from './cryptoki.js'
import type { Handle } from './pkcs11js.js'
import type { Token } from './token.js'

const AES_BLOCK_BYTES = 16

/**
 * Made by the token itself: the first bytes of AES over a block of zeros (PKCS#11 v2.40, section 4.8.2). CBC with a
 * zero IV is the same block, for tokens that keep ECB off.
 *
 * @throws {HsmError} `ERR_KEY_UNUSABLE` when the key may not encrypt or the token has neither mode.
 */
export function checkValueOf(token: Token, session: Handle, handle: Handle, where: string): Buffer {
  const iv = Buffer.alloc(AES_BLOCK_BYTES)
  const mechanisms = [
    { mechanism: token.p11.CKM_AES_ECB },
    { mechanism: token.p11.CKM_AES_CBC, parameter: iv },
  ]
  const reasons: string[] = []
  for (const mechanism of mechanisms) {
    try {
      const zeros = Buffer.alloc(AES_BLOCK_BYTES)
      const block = token.encrypt(session, mechanism, handle, zeros, AES_BLOCK_BYTES)
      if (block.length !== AES_BLOCK_BYTES) throw unusable('the token encrypts a block to another length')
      const checkValue = Buffer.from(block.subarray(0, CHECK_VALUE_BYTES))
      // The block is the hash subkey of GCM under the same key.
      block.fill(0)
      return checkValue
    } catch (error) {
      if (!(error instanceof HsmError && error.code === 'ERR_KEY_UNUSABLE')) throw error
      reasons.push(error.message)
    }
  }
  throw unusable(`${where} has no CKA_CHECK_VALUE and none can be made: ${reasons.join('; ')}`)
}

function unusable(text: string): HsmError {
  return new HsmError('ERR_KEY_UNUSABLE', text)
}
