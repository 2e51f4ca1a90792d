/** Which of the plugin's algorithm families made a JWE, and what does it say without a key? */
import type { ForeignExplanation } from '../../ports/foreign.js'
import { asKmsError } from '../../ports/errors.js'
import { readGoseCbc } from './gose_cbc.js'
import { printableText } from './printable_text.js'
import { malformed, parseCompactJwe, type CompactJwe } from './jwe_compact.js'

export type JweFamily = 'aes-gcm' | 'aes-cbc' | 'rsa-oaep'

/** By `alg` of the header, with what `enc` may be beside it. */
const families: Readonly<Record<string, { readonly family: JweFamily; readonly enc: readonly string[] }>> = {
  dir: { family: 'aes-gcm', enc: ['A128GCM', 'A192GCM', 'A256GCM'] },
  A256CBC: { family: 'aes-cbc', enc: ['A256CBC'] },
  'RSA-OAEP': { family: 'rsa-oaep', enc: ['A256GCM'] },
  'RSA-OAEP-256': { family: 'rsa-oaep', enc: ['A256GCM'] },
}

/** Members that gose writes; others might change what the bytes mean, as `zip` does. */
const MEMBERS: readonly string[] = ['alg', 'kid', 'typ', 'cty', '_thales_aad', 'enc']

/** @throws {KmsError} `ERR_MALFORMED_ENVELOPE` for a header that the plugin does not write. */
export function familyOf(header: CompactJwe['header']): JweFamily {
  const { alg, enc } = header
  const row = typeof alg === 'string' && Object.hasOwn(families, alg) ? families[alg] : undefined
  if (row === undefined || typeof enc !== 'string' || !row.enc.includes(enc)) {
    throw malformed('its header names algorithms that the plugin does not use')
  }
  const isForeign = Object.keys(header).some((name) => !MEMBERS.includes(name))
  if (isForeign) throw malformed('its header has a member that the plugin does not write')
  if (row.family !== 'aes-cbc' && header['_thales_aad'] !== undefined) {
    throw malformed('its header has additional data, which the plugin gives to none of its values')
  }
  return row.family
}

/** Never throws. */
export function explainJwe(bytes: Uint8Array): Omit<ForeignExplanation, 'format' | 'writtenBy'> {
  const fields: { label: string; value: string }[] = []
  const say = (label: string, value: string): void => void fields.push({ label, value })
  try {
    const jwe = parseCompactJwe(bytes)
    for (const name of MEMBERS) {
      const value = jwe.header[name]
      if (typeof value === 'string') say(`header ${name}`, printableText(value) ?? 'not readable')
    }
    const family = familyOf(jwe.header)
    say('family', family)
    if (family === 'rsa-oaep') say('encrypted key', `${jwe.encryptedKey.length} bytes, OAEP with SHA-256`)
    say('IV', jwe.iv.toString('hex'))
    say('ciphertext', `${jwe.ciphertext.length} bytes`)
    if (family === 'aes-cbc') {
      say('plaintext', `${readGoseCbc(jwe).plaintextBytes} bytes`)
      say('tag', jwe.tag.length === 32 ? AUTHENTIC_IF : NOT_AUTHENTIC)
    } else {
      say('tag', jwe.tag.toString('hex'))
    }
    return { fields }
  } catch (error) {
    return { fields, problem: asKmsError(error).message }
  }
}

const AUTHENTIC_IF = '32 bytes: of the value, or, before gose 1.0.0, of nothing; only the HMAC key tells'
const NOT_AUTHENTIC = 'the whole input before an HMAC of nothing: it protects nothing'
