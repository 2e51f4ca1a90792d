/** What tells one RSA key from another? Its public half, which private key objects show as well. */
import { createHash } from 'node:crypto'
import type { Handle } from './pkcs11js.js'
import type { Token } from './token.js'

/** SHA-256 over modulus ‖ public exponent; `undefined` when the token does not tell both. */
export function rsaCheckValue(token: Token, session: Handle, key: Handle): Buffer | undefined {
  const half = rsaPublic(token, session, key)
  return half && createHash('sha256').update(half.modulus).update(half.exponent).digest()
}

/** Big-endian numbers without leading zeros; `undefined` when the token does not tell both. */
export function rsaPublic(
  token: Token,
  session: Handle,
  key: Handle,
): { readonly modulus: Buffer; readonly exponent: Buffer } | undefined {
  const modulus = modulusOf(token, session, key)
  const exponent = token.attribute(session, key, token.p11.CKA_PUBLIC_EXPONENT)
  if (modulus === undefined || exponent === undefined || exponent.length === 0) return undefined
  return { modulus, exponent: trimmed(exponent) }
}

/** Bits of the modulus; 0 when the token does not tell. */
export function rsaBits(token: Token, session: Handle, key: Handle): number {
  return (modulusOf(token, session, key)?.length ?? 0) * 8
}

function modulusOf(token: Token, session: Handle, key: Handle): Buffer | undefined {
  const modulus = token.attribute(session, key, token.p11.CKA_MODULUS)
  return modulus === undefined || modulus.length === 0 ? undefined : trimmed(modulus)
}

/** Big-endian; some modules add leading zeros. */
function trimmed(number: Buffer): Buffer {
  const start = number.findIndex((byte) => byte !== 0)
  return start < 0 ? number : number.subarray(start)
}
