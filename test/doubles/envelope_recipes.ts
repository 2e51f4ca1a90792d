/** From what the golden vectors in envelope_v1.json are made: every input is derived from a text, none is random. */
import { createHash } from 'node:crypto'
import { layOut, referenceSeal, type Fields, type Lies, type Recipe } from './reference_envelope.js'

/** One envelope that must open for ever; bytes as hex. */
export interface GoldenVector {
  readonly name: string
  readonly suite: 'A256GCM' | 'A256CBC-HS512'
  readonly keyId: string
  readonly wrapped: string
  readonly dek: string
  readonly salt: string
  readonly iv: string
  readonly plaintext: string
  readonly commitment: string
  readonly envelope: string
}

/** One that must be refused for ever, and why. */
export interface RefusedVector {
  readonly name: string
  readonly code: 'ERR_MALFORMED_ENVELOPE' | 'ERR_DECRYPTION_FAILED'
  readonly dek: string
  readonly envelope: string
}

const SUITES = { 1: 'A256GCM', 2: 'A256CBC-HS512' } as const

/** 55, 60 and 86 characters: the shortest key id, one of PKCS#11, the longest. */
const KEY_IDS = ['x', 'pkcs11', 'backend0123456789backend01234567'].map(
  (backend, i) => `${backend}:${base32ish(`kek ${i}`)}.${base32ish(`version ${i}`)}`,
)

const [SHORT_ID = '', USUAL_ID = '', LONG_ID = ''] = KEY_IDS

export function makeGoldenVectors(): GoldenVector[] {
  const vectors: GoldenVector[] = []
  for (const suite of [1, 2] as const) {
    for (const plaintextBytes of [0, 1, 15, 16, 17, 32, 1024]) {
      vectors.push(golden(recipe(suite, USUAL_ID, 61, plaintextBytes)))
    }
    for (const keyId of [SHORT_ID, USUAL_ID, LONG_ID]) {
      for (const wrappedBytes of [1, 61, 640]) {
        if (keyId !== USUAL_ID || wrappedBytes !== 61)
          vectors.push(golden(recipe(suite, keyId, wrappedBytes, 32)))
      }
    }
  }
  return vectors
}

/** At least one vector per rule of the format, each a good envelope with one thing changed. */
export function makeRefusedVectors(): RefusedVector[] {
  return ([1, 2] as const).flatMap((suite) => {
    const good = recipe(suite, USUAL_ID, 61, 32)
    const { fields, bytes } = referenceSeal(good)
    const dek = hex(good.dek)
    const refused = (code: RefusedVector['code'], rule: string, envelope: Uint8Array): RefusedVector => ({
      name: `${SUITES[suite]}: ${rule}`,
      code,
      dek,
      envelope: hex(envelope),
    })
    const malformed = (rule: string, change: Partial<Fields>, lies?: Lies) =>
      refused('ERR_MALFORMED_ENVELOPE', rule, layOut({ ...fields, ...change }, lies))
    const altered = (rule: string, change: Partial<Fields>) =>
      refused('ERR_DECRYPTION_FAILED', rule, layOut({ ...fields, ...change }))
    const other = suite === 1 ? 2 : 1

    return [
      malformed('magic, first byte', { magic: Buffer.from('924b4d53', 'hex') }),
      malformed('magic, last byte', { magic: Buffer.from('934b4d52', 'hex') }),
      malformed('version 0', { version: 0 }),
      malformed('version 2', { version: 2 }),
      malformed('suite 0', { suite: 0 }),
      malformed('suite 3', { suite: 3 }),
      malformed('key id length 0', { keyId: Buffer.alloc(0) }),
      malformed('key id with an upper case letter', { keyId: Buffer.from(USUAL_ID.toUpperCase()) }),
      malformed('key id with a byte above ASCII', { keyId: withByte(fields.keyId, 10, 0xe1) }),
      malformed('key id with a NUL', { keyId: withByte(fields.keyId, 10, 0) }),
      malformed('key id with a line feed behind it', { keyId: Buffer.from(`${USUAL_ID}\n`) }),
      malformed('key id without a version', { keyId: fields.keyId.subarray(0, USUAL_ID.indexOf('.')) }),
      malformed('key id length too short by 1', {}, { keyIdLength: USUAL_ID.length - 1 }),
      malformed('key id length too long by 1', {}, { keyIdLength: USUAL_ID.length + 1 }),
      malformed('key id length 255', {}, { keyIdLength: 255 }),
      malformed('wrapped DEK of 0 bytes', { wrapped: Buffer.alloc(0) }),
      malformed('wrapped DEK of 641 bytes', { wrapped: stream('wrapped', 641) }),
      malformed('wrapped length too short by 1', {}, { wrappedLength: 60 }),
      malformed('wrapped length too long by 1', {}, { wrappedLength: 62 }),
      malformed('wrapped length beyond the end', {}, { wrappedLength: 640 }),
      malformed('salt of 31 bytes', { salt: fields.salt.subarray(1) }),
      malformed('commitment of 33 bytes', { commitment: Buffer.concat([fields.commitment, Buffer.of(0)]) }),
      malformed('ciphertext length too short by 1', {}, { ciphertextLength: fields.ciphertext.length - 1 }),
      malformed('ciphertext length too long by 1', {}, { ciphertextLength: fields.ciphertext.length + 1 }),
      malformed('ciphertext length too short by 16', {}, { ciphertextLength: fields.ciphertext.length - 16 }),
      malformed('ciphertext length too long by 16', {}, { ciphertextLength: fields.ciphertext.length + 16 }),
      malformed(
        'ciphertext length above 1 MiB',
        {},
        { ciphertextLength: suite === 1 ? 2 ** 20 + 1 : 2 ** 20 + 32 },
      ),
      malformed('ciphertext length 2^32 - 1', {}, { ciphertextLength: 2 ** 32 - 1 }),
      malformed('IV too short by 1', { iv: fields.iv.subarray(1) }),
      malformed('tag too short by 1', { tag: fields.tag.subarray(1) }),
      malformed('one byte behind the tag', { tag: Buffer.concat([fields.tag, Buffer.of(0)]) }),
      malformed('two envelopes in a row', { tag: Buffer.concat([fields.tag, bytes]) }),
      malformed('the other suite', { suite: other }),
      refused('ERR_MALFORMED_ENVELOPE', 'nothing', Buffer.alloc(0)),
      refused('ERR_MALFORMED_ENVELOPE', 'magic alone', bytes.subarray(0, 4)),
      refused('ERR_MALFORMED_ENVELOPE', 'cut behind the header', bytes.subarray(0, -64)),
      ...(suite === 2
        ? [
            malformed('ciphertext of 0 bytes', { ciphertext: Buffer.alloc(0) }),
            malformed('ciphertext of 33 bytes', { ciphertext: stream('ciphertext', 33) }),
          ]
        : []),
      altered('the other suite, with lengths that fit it', {
        suite: other,
        iv: stream('iv', other === 1 ? 12 : 16),
        tag: stream('tag', other === 1 ? 16 : 32),
      }),
      altered('key id of another version', { keyId: Buffer.from(USUAL_ID.slice(0, -1) + '2') }),
      altered('wrapped DEK flipped', { wrapped: flipped(fields.wrapped) }),
      altered('salt flipped', { salt: flipped(fields.salt) }),
      altered('commitment flipped', { commitment: flipped(fields.commitment) }),
      altered('IV flipped', { iv: flipped(fields.iv) }),
      altered('ciphertext flipped', { ciphertext: flipped(fields.ciphertext) }),
      altered('tag flipped', { tag: flipped(fields.tag) }),
      altered('tag of zeros', { tag: Buffer.alloc(fields.tag.length) }),
      { ...refused('ERR_DECRYPTION_FAILED', 'another DEK', bytes), dek: hex(stream('another dek', 32)) },
    ]
  })
}

function recipe(suite: 1 | 2, keyId: string, wrappedBytes: number, plaintextBytes: number): Recipe {
  const seed = `${SUITES[suite]} ${keyId} ${wrappedBytes} ${plaintextBytes}`
  return {
    suite,
    keyId,
    wrapped: stream(`wrapped ${seed}`, wrappedBytes),
    dek: stream(`dek ${seed}`, 32),
    salt: stream(`salt ${seed}`, 32),
    iv: stream(`iv ${seed}`, suite === 1 ? 12 : 16),
    plaintext: stream(`plaintext ${seed}`, plaintextBytes),
  }
}

function golden(from: Recipe): GoldenVector {
  const { fields, bytes } = referenceSeal(from)
  const { suite, keyId, wrapped, plaintext } = from
  return {
    name: `${SUITES[suite]}, key id ${keyId.length}, wrapped DEK ${wrapped.length}, plaintext ${plaintext.length}`,
    suite: SUITES[suite],
    keyId,
    wrapped: hex(wrapped),
    dek: hex(from.dek),
    salt: hex(from.salt),
    iv: hex(from.iv),
    plaintext: hex(plaintext),
    commitment: hex(fields.commitment),
    envelope: hex(bytes),
  }
}

/** SHA-256 over the text and a counter, as many blocks as it takes. */
function stream(text: string, length: number): Buffer {
  const blocks: Buffer[] = []
  for (let i = 0; i * 32 < length; i += 1) {
    blocks.push(createHash('sha256').update(`kmsplugin envelope v1 test vectors/${text}/${i}`).digest())
  }
  return Buffer.concat(blocks).subarray(0, length)
}

function base32ish(text: string): string {
  return [...stream(text, 26)].map((byte) => 'abcdefghijklmnopqrstuvwxyz234567'.charAt(byte & 31)).join('')
}

function withByte(bytes: Uint8Array, at: number, value: number): Uint8Array {
  return bytes.map((byte, i) => (i === at ? value : byte))
}

function flipped(bytes: Uint8Array): Uint8Array {
  return withByte(bytes, 0, bytes[0]! ^ 1)
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
