/**
 * What does a `pkcs11:` URI name? RFC 7512, without what we cannot match: an attribute that we do not know is
 * refused, since leaving it out could name another key.
 */
import { closestMatch } from 'leven'
import { isUtf8 } from 'node:buffer'
import type { KeyKind, KeyQuery, TokenQuery } from './shared/messages.js'

export interface Pkcs11Uri {
  readonly token: TokenQuery
  readonly key: KeyQuery
  /** `module-path`. */
  readonly module?: string
  /** `pin-source`, an absolute path. */
  readonly pinPath?: string
}

const tokenAttributes = ['token', 'serial', 'manufacturer', 'model', 'slot-id'] as const
const keyAttributes = ['object', 'id', 'type'] as const
const known: readonly string[] = [...tokenAttributes, ...keyAttributes]
/** Of a longer name, no more is shown. */
const NAME_MAX_LENGTH = 40
const kinds: Readonly<Record<string, KeyKind>> = { 'secret-key': 'AES', private: 'RSA' }

/** What fits into a CK_ULONG everywhere. */
export const MAX_SLOT = 2 ** 32 - 1

/** @throws {Error} with a message for the operator that quotes nothing of the query, where a PIN may stand. */
export function parsePkcs11Uri(text: string): Pkcs11Uri {
  if (!text.startsWith('pkcs11:')) throw new Error('must begin with pkcs11:')
  const [path = '', query = '', ...rest] = text.slice('pkcs11:'.length).split('?')
  if (rest.length > 0) throw new Error('has more than one ?')
  // Wherever it stands, and whatever the escapes: what this file says may be printed.
  if (/pin-value/i.test(unescaped(text.replace(/%(?![0-9a-fA-F]{2})/g, '')).toString('latin1')))
    throw new Error('has a pin-value; a PIN never stands in this file, use pin-source')
  const attributes = parts(path, ';')
  for (const name of attributes.keys()) {
    if (known.includes(name)) continue
    const near = closestMatch(name.slice(0, NAME_MAX_LENGTH), known, { maxDistance: 3 })
    const hint = near === undefined ? `known are ${known.join(', ')}` : `did you mean ${near}?`
    throw new Error(`has the unknown attribute ${name.slice(0, NAME_MAX_LENGTH)}; ${hint}`)
  }
  const type = attributes.get('type')?.toString()
  if (type !== undefined && kinds[type] === undefined)
    throw new Error('has a type that is no KEK: use secret-key or private')
  return { token: tokenOf(attributes), key: keyOf(attributes), ...fromQuery(parts(query, '&')) }
}

function tokenOf(attributes: ReadonlyMap<string, Buffer>): TokenQuery {
  const text = (name: string): string | undefined => attributes.get(name)?.toString('utf8')
  const [label, serial, manufacturer, model, slot] = tokenAttributes.map(text)
  if (slot !== undefined && !(/^\d{1,10}$/.test(slot) && Number(slot) <= MAX_SLOT))
    throw new Error(`has a slot-id that is no number up to ${MAX_SLOT}`)
  return {
    ...(label === undefined ? {} : { label }),
    ...(serial === undefined ? {} : { serial }),
    ...(manufacturer === undefined ? {} : { manufacturer }),
    ...(model === undefined ? {} : { model }),
    ...(slot === undefined ? {} : { slot: Number(slot) }),
  }
}

function keyOf(attributes: ReadonlyMap<string, Buffer>): KeyQuery {
  const label = attributes.get('object')?.toString('utf8')
  const ckaId = attributes.get('id')
  const kind = kinds[attributes.get('type')?.toString('utf8') ?? '']
  return {
    ...(label === undefined ? {} : { label }),
    ...(ckaId === undefined ? {} : { ckaId }),
    ...(kind === undefined ? {} : { kind }),
  }
}

function fromQuery(query: ReadonlyMap<string, Buffer>): Pick<Pkcs11Uri, 'module' | 'pinPath'> {
  for (const name of query.keys()) {
    if (name !== 'module-path' && name !== 'pin-source') {
      throw new Error('has a query attribute other than module-path and pin-source')
    }
  }
  const module = query.get('module-path')?.toString('utf8')
  const pinPath = query
    .get('pin-source')
    ?.toString('utf8')
    .replace(/^file:(?:\/\/)?/, '')
  if (module?.startsWith('/') === false) throw new Error('has a module-path that is not absolute')
  if (pinPath?.startsWith('/') === false)
    throw new Error('has a pin-source that is no absolute path of a file')
  return { ...(module === undefined ? {} : { module }), ...(pinPath === undefined ? {} : { pinPath }) }
}

function parts(text: string, separator: string): Map<string, Buffer> {
  const found = new Map<string, Buffer>()
  for (const part of text.split(separator)) {
    if (part === '') continue
    const at = part.indexOf('=')
    if (at < 1) throw new Error('has a part without a name and =')
    const name = part.slice(0, at)
    if (found.has(name)) throw new Error(`names ${known.includes(name) ? name : 'an attribute'} twice`)
    const value = unescaped(part.slice(at + 1))
    if (value.length === 0)
      throw new Error(`has ${known.includes(name) ? `an empty ${name}` : 'an empty part'}`)
    if (name !== 'id' && (!isUtf8(value) || value.includes(0)))
      throw new Error(`has ${known.includes(name) ? `a ${name}` : 'a part'} that is no text`)
    found.set(name, value)
  }
  return found
}

/** Bytes, since an id is no text. */
function unescaped(value: string): Buffer {
  if (/%(?![0-9a-fA-F]{2})/.test(value)) throw new Error('has a % that two hexadecimal digits do not follow')
  const latin1 = Buffer.from(value, 'utf8').toString('latin1')
  const bytes = latin1.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  return Buffer.from(bytes, 'latin1')
}
