/**
 * Is a device well that just refused bytes which may be bad? It is asked for what cannot fail for want of good bytes, with
 * nothing but the right to decrypt, since a key that is kept for old values may have no other.
 */
import { constants, createPublicKey, publicEncrypt, randomBytes } from 'node:crypto'
import { HsmError } from './cryptoki.js'
import type { Handle } from './pkcs11js.js'
import { rsaPublic } from './rsa.js'
import { oaep } from './strategies/rsa_oaep.js'
import type { Token } from './token.js'

const BLOCK_BYTES = 16
const SAMPLE_BYTES = 32

type RsaAlgorithm = 'RSA1_5' | 'RSA-OAEP-256'

const paddings: Readonly<Record<RsaAlgorithm, { readonly padding: number; readonly oaepHash?: string }>> = {
  RSA1_5: { padding: constants.RSA_PKCS1_PADDING },
  'RSA-OAEP-256': { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
}

/** Any block of AES-CBC decrypts to something. */
export function probeBlock(token: Token, session: Handle, key: Handle): void {
  const iv = randomBytes(BLOCK_BYTES)
  token.startDecrypt(session, { mechanism: token.p11.CKM_AES_CBC, parameter: iv }, key)
  token.decrypt(session, randomBytes(BLOCK_BYTES), BLOCK_BYTES).fill(0)
}

/**
 * Random bytes, encrypted here with the public half that the private key shows.
 *
 * @throws {HsmError} what the token answers; `ERR_BACKEND_RESPONSE` when other bytes come back.
 */
export function probeRsa(token: Token, session: Handle, key: Handle, algorithm: RsaAlgorithm): void {
  const { modulus, exponent } = publicHalf(token, session, key)
  const jwk = { kty: 'RSA', n: modulus.toString('base64url'), e: exponent.toString('base64url') }
  const sample = randomBytes(SAMPLE_BYTES)
  const publicKey = createPublicKey({ key: jwk, format: 'jwk' })
  const sealed = publicEncrypt({ key: publicKey, ...paddings[algorithm] }, sample)
  const how = algorithm === 'RSA1_5' ? { mechanism: token.p11.CKM_RSA_PKCS } : oaep(token, 'SHA-256')
  token.startDecrypt(session, how, key)
  if (token.decrypt(session, sealed, modulus.length).equals(sample)) return
  throw new HsmError('ERR_BACKEND_RESPONSE', `${algorithm}: other bytes come back than were encrypted`)
}

/** Bytes of the modulus. */
export function rsaBytes(token: Token, session: Handle, key: Handle): number {
  return publicHalf(token, session, key).modulus.length
}

function publicHalf(token: Token, session: Handle, key: Handle) {
  const half = rsaPublic(token, session, key)
  if (half !== undefined) return half
  throw new HsmError('ERR_KEY_UNUSABLE', 'the RSA key does not tell CKA_MODULUS and CKA_PUBLIC_EXPONENT')
}
