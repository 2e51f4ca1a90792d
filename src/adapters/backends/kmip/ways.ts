/** In which ways can a KMIP server wrap a DEK, and how is each one opened again? */
import { randomBytes } from 'node:crypto'
import { KmsError } from '../../../ports/errors.js'
import { DEK_BYTES } from '../../../ports/key_wrapper.js'
import type { Transform, Transformed } from './calls.js'
import {
  GCM_APPENDED_FORMAT,
  GCM_FORMAT,
  IV_BYTES,
  KEY_WRAP_BYTES,
  KW_FORMAT,
  KWP_FORMAT,
  TAG_BYTES,
  type WrapFormat,
} from './formats.js'
import { blockCipherModes } from './tags.js'
import { AEAD_FIELDS, isAtLeast, versionText, type KmipVersion } from './version.js'

export interface Way {
  /** In logs and messages. */
  readonly name: string
  readonly format: WrapFormat
  readonly isFor: (version: KmipVersion) => boolean
  /** What Encrypt is asked. */
  readonly seal: (uid: string, dek: Uint8Array, aad: Uint8Array) => Transform
  /**
   * What follows the format byte, from what Encrypt answered.
   *
   * @throws {KmsError} `ERR_KEY_UNUSABLE`: what could never be opened, or opened in any state that somebody gives it.
   */
  readonly sealed: (asked: Transform, answer: Transformed, version: KmipVersion) => Buffer
  /**
   * What Decrypt is asked.
   *
   * @throws {KmsError} `ERR_UNWRAP_AMBIGUOUS`: this version cannot say it.
   */
  readonly open: (uid: string, body: Buffer, aad: Uint8Array, version: KmipVersion) => Transform
}

const { GCM, AES_KEY_WRAP_PADDING, NIST_KEY_WRAP } = blockCipherModes

/** The IV is always ours: some servers choose one of 16 bytes, which GCM hashes down. */
const freshIv = (): Buffer => randomBytes(IV_BYTES)

const gcm: Way = {
  name: 'AES-GCM',
  format: GCM_FORMAT,
  isFor: (version) => isAtLeast(version, AEAD_FIELDS),
  seal: (uid, data, aad) => ({ uid, mode: GCM, data, iv: freshIv(), aad }),
  sealed: ({ iv = new Uint8Array() }, { data, tag }, version) => {
    if (tag === undefined) throw noTag(version)
    if (tag.length !== TAG_BYTES || data.length !== DEK_BYTES)
      throw wrongLength('AES-GCM', data.length + tag.length)
    return Buffer.concat([iv, data, tag])
  },
  open: (uid, body, aad, version) => {
    if (isAtLeast(version, AEAD_FIELDS)) return { ...separate(uid, body), aad }
    // Or its first byte was altered: whether this server opens what it made tells.
    const text = `the wrapped DEK has the form of KMIP 1.4, and the server speaks ${versionText(version)} now, which cannot open it; switch 1.4 on again`
    throw new KmsError('ERR_UNWRAP_AMBIGUOUS', text)
  },
}

/** A tag has no field before 1.4: a server either puts it behind the data, or throws it away and the DEK with it. */
const gcmAppended: Way = {
  name: 'AES-GCM with the tag behind the data',
  format: GCM_APPENDED_FORMAT,
  isFor: (version) => !isAtLeast(version, AEAD_FIELDS),
  seal: (uid, data) => ({ uid, mode: GCM, data, iv: freshIv() }),
  sealed: ({ iv = new Uint8Array() }, { data }, version) => {
    if (data.length === DEK_BYTES) throw noTag(version)
    if (data.length !== DEK_BYTES + TAG_BYTES) throw wrongLength('AES-GCM', data.length)
    return Buffer.concat([iv, data])
  },
  open: (uid, body, _aad, version) =>
    isAtLeast(version, AEAD_FIELDS)
      ? separate(uid, body)
      : { uid, mode: GCM, iv: body.subarray(0, IV_BYTES), data: body.subarray(IV_BYTES) },
}

function separate(uid: string, body: Buffer): Transform {
  return {
    uid,
    mode: GCM,
    iv: body.subarray(0, IV_BYTES),
    data: body.subarray(IV_BYTES, -TAG_BYTES),
    tag: body.subarray(-TAG_BYTES),
  }
}

/** Authenticated without tag or associated data: the check value is inside. */
const keyWrap = (name: string, format: WrapFormat, mode: number): Way => ({
  name,
  format,
  isFor: () => true,
  seal: (uid, data) => ({ uid, mode, data }),
  sealed: (_asked, { data }) => {
    if (data.length !== KEY_WRAP_BYTES) throw wrongLength(name, data.length)
    return Buffer.from(data)
  },
  open: (uid, data) => ({ uid, mode, data }),
})

/** The best first. CBC is not among them: it authenticates nothing. */
export const ways: readonly Way[] = [
  gcm,
  gcmAppended,
  keyWrap('AES-KWP', KWP_FORMAT, AES_KEY_WRAP_PADDING),
  keyWrap('AES-KW', KW_FORMAT, NIST_KEY_WRAP),
]

export function wayOf(format: WrapFormat): Way {
  const way = ways.find((one) => one.format === format)
  if (way === undefined) throw new KmsError('ERR_INTERNAL', `format ${format} has no way`)
  return way
}

function noTag(version: KmipVersion): KmsError {
  const text = `at KMIP ${versionText(version)} returns no authentication tag with AES-GCM, so that what it encrypts could not be opened`
  return new KmsError('ERR_KEY_UNUSABLE', text)
}

function wrongLength(name: string, length: number): KmsError {
  return new KmsError('ERR_KEY_UNUSABLE', `makes ${length} bytes of a DEK by ${name}`)
}
