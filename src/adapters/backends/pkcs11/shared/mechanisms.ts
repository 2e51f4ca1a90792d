/** What may an operator call the way in which a token wraps DEKs? */

/** From the best to the last: what `auto` tries in this order. */
export const mechanismNames = ['aes-gcm', 'aes-kwp', 'aes-kw', 'aes-cbc-hmac', 'rsa-oaep-sha256'] as const

export type MechanismName = (typeof mechanismNames)[number]

/** What a key may be allowed to do. */
export const usageNames = [
  'CKA_ENCRYPT',
  'CKA_DECRYPT',
  'CKA_WRAP',
  'CKA_UNWRAP',
  'CKA_SIGN',
  'CKA_VERIFY',
  'CKA_DERIVE',
] as const

export type UsageName = (typeof usageNames)[number]

/** Attributes that keep a key from being a KEK unless the operator excepts them by these names. */
export const weaknessNames = ['CKA_SENSITIVE', 'CKA_EXTRACTABLE', 'CKA_PRIVATE', ...usageNames] as const

export type WeaknessName = (typeof weaknessNames)[number]
