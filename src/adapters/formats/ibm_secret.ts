/**
 * What does a value of IBM's KMS plug-in hold? Base64 of a gob stream of a struct with the fields KpVersion, WrappedDEK and
 * Cipher, the last two as text; decoded from the value that IBM's documentation prints.
 */
import { GobError } from './gob_reader.js'
import { gobTypesAtStart, readGobStruct, type GobScalar } from './gob.js'
import { BLOCK_BYTES } from './kube_dek_cbc.js'
import { NotOfFormat } from './reading.js'

export interface IbmSecret {
  /** Which KP_CONFIG made it, by its VERSION; 0 where the stream has none, as Go leaves out what is zero. */
  readonly version: bigint
  /** What the service answered to `wrap`: opaque ASCII. */
  readonly wrappedDek: Uint8Array
  /** 16 bytes. */
  readonly iv: Uint8Array
  /** At least one block of 16 bytes. */
  readonly blocks: Uint8Array
}

const FIELDS = ['KpVersion', 'WrappedDEK', 'Cipher']

/** Several times what the service has ever answered. */
const WRAPPED_DEK_MAX_CHARACTERS = 4096
/** Of the service: visible ASCII. */
const OPAQUE = /^[\x21-\x7e]+$/
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/

/** Base64 of enough for the definition of the struct, wherever in it the fields stand. */
const START_CHARACTERS = 512

/** By what it defines at its beginning: however damaged what follows is, no other plugin writes this. */
export function looksLikeIbmSecret(ciphertext: Uint8Array): boolean {
  const text = asciiOf(ciphertext.subarray(0, START_CHARACTERS))
  if (!BASE64.test(text)) return false
  const types = gobTypesAtStart(Buffer.from(text, 'base64'))
  return types.some(({ fieldNames }) => ['WrappedDEK', 'Cipher'].every((name) => fieldNames.includes(name)))
}

/** @throws {NotOfFormat} */
export function readIbmSecret(ciphertext: Uint8Array): IbmSecret {
  const fields = fieldsOf(base64(asciiOf(ciphertext), 'is no base64'))
  const version = fields.get('KpVersion') ?? 0n
  if (typeof version !== 'bigint') throw new NotOfFormat('has a KpVersion that is no number')
  const wrappedDek = textAt(fields, 'WrappedDEK')
  if (wrappedDek.length > WRAPPED_DEK_MAX_CHARACTERS)
    throw new NotOfFormat('has a WrappedDEK that is too long')
  if (!OPAQUE.test(wrappedDek)) throw new NotOfFormat('has a WrappedDEK that is no visible ASCII')
  const cipher = base64(textAt(fields, 'Cipher'), 'has a Cipher that is no base64')
  if (cipher.length < 2 * BLOCK_BYTES || cipher.length % BLOCK_BYTES !== 0) {
    throw new NotOfFormat(`has a Cipher of ${cipher.length} bytes, which are no IV and whole blocks`)
  }
  return {
    version,
    wrappedDek: Buffer.from(wrappedDek, 'ascii'),
    iv: cipher.subarray(0, BLOCK_BYTES),
    blocks: cipher.subarray(BLOCK_BYTES),
  }
}

/** A field that we do not know may change what the others mean, so it is refused; Go would pass over it. */
function fieldsOf(stream: Uint8Array): ReadonlyMap<string, GobScalar> {
  try {
    const { fields } = readGobStruct(stream)
    const unknown = [...fields.keys()].find((name) => !FIELDS.includes(name))
    if (unknown !== undefined) throw new NotOfFormat('has a field beside KpVersion, WrappedDEK and Cipher')
    return fields
  } catch (error) {
    if (error instanceof GobError) throw new NotOfFormat(`is base64 of a gob stream that ${error.message}`)
    throw error
  }
}

/** Either as `string` or as `[]byte`: a program may declare the field as it likes. */
function textAt(fields: ReadonlyMap<string, GobScalar>, name: string): string {
  const value = fields.get(name)
  if (value === undefined || typeof value === 'bigint') throw new NotOfFormat(`has no ${name}`)
  return typeof value === 'string' ? value : asciiOf(value)
}

function asciiOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

/** @throws {NotOfFormat} Anything but standard base64 with padding in its one way to write it. */
function base64(text: string, otherwise: string): Buffer {
  const bytes = Buffer.from(text, 'base64')
  if (text === '' || bytes.toString('base64') !== text) throw new NotOfFormat(otherwise)
  return bytes
}
