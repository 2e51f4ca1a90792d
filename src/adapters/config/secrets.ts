/**
 * Which settings of a key are secrets, and is what stands there a reference and no secret?
 *
 * Rule: no secret in the file, whatever a backend's schema would accept. Known by the last word of the name, so
 * `pin`, `apiKey` and `secretId` are secrets, `tokenLabel`, `keyId` and `roleId` are none.
 */
import { EMPTY_VALUE, type Mistake } from './mistake.js'

/** What the printed config shows in place of a secret; not a reference, so it is refused when read back. */
const MASK = '********'

const lastWord =
  /(^| )(pin|password|passphrase|secret|token|jwt|credentials?|secret ?id|(api|access|private|secret) ?key)$/

/** Mappings whose names the operator chooses, and whose values AWS writes into its log: no secrets, whatever they are called. */
const named = ['encryptionContext']

/** A file by its absolute path, or an environment variable by its name. */
const reference = /^(file:\/.+|env:[A-Za-z_][A-Za-z0-9_]*)$/s

/** The API key in a file of IBM's layout, which is a literal there. */
const apiKeyReference = /^ibm-config:\/.+$/s

/** What stands in a config for the API_KEY of the IBM file at this absolute path. */
export function apiKeyIn(file: string): string {
  return `ibm-config:${file}`
}

/** One mistake for each secret in place of a reference, at any depth. */
export function secretMistakes(settings: object, path: readonly string[]): Mistake[] {
  return Object.entries(settings).flatMap(([name, value]: [string, unknown]) => {
    const here = [...path, name]
    if (named.includes(name)) return []
    if (isSecret(name)) return mayStand(name, value) ? [] : [{ path: here, text: secretText(value) }]
    return typeof value === 'object' && value !== null ? secretMistakes(value, here) : []
  })
}

function secretText(value: unknown): string {
  if (value === null) return EMPTY_VALUE
  return 'must be a reference such as file:/etc/kmsplugin/pin; a secret never stands in this file'
}

/** A copy of the settings of a key in which every secret that is no reference reads {@link MASK}. */
export function masked(value: unknown, name = ''): unknown {
  if (value === undefined || named.includes(name)) return value
  if (isSecret(name)) return mayStand(name, value) ? value : MASK
  if (Array.isArray(value)) return value.map((item) => masked(item))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, masked(inner, key)]))
}

/** Whether it says where a secret is, as it may stand in any file. */
export function isReference(value: unknown): boolean {
  return typeof value === 'string' && reference.test(value)
}

/** @param name Of the setting: only an API key may be in a file of IBM's layout. */
function mayStand(name: string, value: unknown): boolean {
  if (isReference(value)) return true
  return name === 'apiKey' && typeof value === 'string' && apiKeyReference.test(value)
}

/** @param name In camelCase, or with `-` or `_`. */
function isSecret(name: string): boolean {
  const words = name.replace(/([a-z0-9])([A-Z])/g, '$1 $2').replace(/[-_]/g, ' ')
  return lastWord.test(words.toLowerCase())
}
