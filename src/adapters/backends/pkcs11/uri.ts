/**
 * What does a `pkcs11:` URI name? RFC 7512, without what we cannot match: an attribute that we do not know is
 * refused, since leaving it out could name another key.
 */
import type { KeyQuery, TokenQuery } from './shared/messages.js'

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
const keyTypes: readonly string[] = ['secret-key', 'private']

/** @throws {Error} with a message for the operator that quotes nothing of the query, where a PIN may stand. */
export function parsePkcs11Uri(text: string): Pkcs11Uri {
  if (!text.startsWith('pkcs11:')) throw new Error('must begin with pkcs11:')
  const [path = '', query = '', ...rest] = text.slice('pkcs11:'.length).split('?')
  if (rest.length > 0) throw new Error('has more than one ?')
  const attributes = parts(path, ';')
  for (const name of attributes.keys()) {
    if (!known.includes(name)) throw new Error(`has the attribute ${name}; known are ${known.join(', ')}`)
  }
  const type = attributes.get('type')?.toString()
  if (type !== undefined && !keyTypes.includes(type))
    throw new Error('has a type that is no KEK: use secret-key or private')
  return { token: tokenOf(attributes), key: keyOf(attributes), ...fromQuery(parts(query, '&')) }
}

function tokenOf(attributes: ReadonlyMap<string, Buffer>): TokenQuery {
  const text = (name: string): string | undefined => attributes.get(name)?.toString('utf8')
  const [label, serial, manufacturer, model, slot] = tokenAttributes.map(text)
  if (slot !== undefined && !/^\d{1,9}$/.test(slot)) throw new Error('has a slot-id that is no number')
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
  if (ckaId?.length === 0) throw new Error('has an empty id')
  return { ...(label === undefined ? {} : { label }), ...(ckaId === undefined ? {} : { ckaId }) }
}

function fromQuery(query: ReadonlyMap<string, Buffer>): Pick<Pkcs11Uri, 'module' | 'pinPath'> {
  if (query.has('pin-value'))
    throw new Error('has a pin-value; a PIN never stands in this file, use pin-source')
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
    found.set(name, unescaped(part.slice(at + 1)))
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
