/**
 * Which scheme, version and name stand before a stored value?
 *
 * `k8s:enc:<scheme>:<version>:<name>:<payload>`, as kube-apiserver's encryptionconfig writes it. Everything behind the
 * prefix is binary.
 */
import { utf8 } from './report.js'

const MARK = Buffer.from('k8s:enc:', 'latin1')
const COLON = 0x3a

/** Ample for the schemes and versions that exist. */
const WORD_MAX_BYTES = 32

/** Our bound, so that no search for a colon runs through a whole payload. */
export const NAME_MAX_BYTES = 1024

export interface Prefix {
  /** Both lower-case words; empty where the value ends or goes wrong before them. */
  readonly scheme: string
  readonly version: string
  /** Offset of the name. */
  readonly nameAt: number
}

export interface Split<Payload> {
  readonly name: string
  readonly payload: Payload
}

/** `undefined` for a value that no provider but identity wrote. */
export function readPrefix(value: Uint8Array): Prefix | undefined {
  if (!MARK.equals(value.subarray(0, MARK.length))) return undefined
  const scheme = readWord(value, MARK.length)
  const versionAt = MARK.length + scheme.length + 1
  const version = scheme === '' ? '' : readWord(value, versionAt)
  return { scheme, version, nameAt: versionAt + version.length + 1 }
}

/**
 * Splits name and payload at the first colon whose right side parses: names may contain colons.
 *
 * @param parse Gets the payload and its offset; `undefined` means that it does not parse.
 */
export function splitName<Payload>(
  value: Uint8Array,
  nameAt: number,
  parse: (payload: Uint8Array, at: number) => Payload | undefined,
): Split<Payload> | undefined {
  const end = Math.min(value.length, nameAt + NAME_MAX_BYTES + 1)
  for (
    let colon = value.indexOf(COLON, nameAt);
    colon >= 0 && colon < end;
    colon = value.indexOf(COLON, colon + 1)
  ) {
    const name = utf8(value.subarray(nameAt, colon))
    // Every longer name begins with the same bytes, so it is no text either.
    if (name === undefined) return undefined
    const payload = name === '' ? undefined : parse(value.subarray(colon + 1), colon + 1)
    if (payload !== undefined) return { name, payload }
  }
  return undefined
}

/** The word up to the next colon, or '' where none follows in reach. */
function readWord(value: Uint8Array, at: number): string {
  const end = value.subarray(at, at + WORD_MAX_BYTES + 1).indexOf(COLON)
  const word = end < 0 ? '' : Buffer.from(value.subarray(at, at + end)).toString('latin1')
  return /^[a-z0-9]+$/.test(word) ? word : ''
}
