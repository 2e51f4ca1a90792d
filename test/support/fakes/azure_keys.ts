/** The keys of a fake vault: versions with states and dates, real RSA and real AES key wrap. */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  type KeyObject,
} from 'node:crypto'

export type Kty = 'RSA' | 'RSA-HSM' | 'oct-HSM' | 'EC'

export interface FakeVersion {
  readonly version: string
  readonly kty: Kty
  operations: string[]
  enabled: boolean
  /** Seconds since 1970. */
  nbf: number | undefined
  exp: number | undefined
  exportable: boolean
  recoveryLevel: string
  readonly jwk: Readonly<Record<string, string>>
  /** `undefined`: the algorithm is not for this key. */
  wrap(alg: string, dek: Buffer): Buffer | undefined
  /** `undefined`: the algorithm is not for this key; throws on bad bytes. */
  unwrap(alg: string, bytes: Buffer): Buffer | undefined
}

/** Making one takes long; versions are told apart by their ids all the same, and by their keys where a test wants that. */
const pairs = new Map<string, { publicKey: KeyObject; privateKey: KeyObject }[]>()

function pairOf(bits: number, nth: number): { publicKey: KeyObject; privateKey: KeyObject } {
  const made = pairs.get(String(bits)) ?? []
  pairs.set(String(bits), made)
  const pair = (made[nth] ??= generateKeyPairSync('rsa', { modulusLength: bits }))
  return pair
}

/** @param nth Which of several keys of this kind. */
export function makeVersion(kty: Kty, bits: number, nth: number): FakeVersion {
  const state = {
    version: randomBytes(16).toString('hex'),
    kty,
    operations: ['wrapKey', 'unwrapKey'],
    enabled: true,
    nbf: undefined,
    exp: undefined,
    exportable: false,
    recoveryLevel: 'Recoverable',
  }
  if (kty === 'oct-HSM') return { ...state, jwk: {}, ...aesKeyWrap(randomBytes(32)) }
  if (kty === 'EC') {
    const none = () => undefined
    return { ...state, jwk: { crv: 'P-256', x: 'AA', y: 'AA' }, wrap: none, unwrap: none }
  }
  const { publicKey, privateKey } = pairOf(bits, nth)
  const { n = '', e = '' } = publicKey.export({ format: 'jwk' })
  return { ...state, jwk: { n, e }, ...rsaOaep(publicKey, privateKey) }
}

function rsaOaep(publicKey: KeyObject, privateKey: KeyObject): Pick<FakeVersion, 'wrap' | 'unwrap'> {
  const padding = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }
  return {
    wrap: (alg, dek) =>
      alg === 'RSA-OAEP-256' ? publicEncrypt({ key: publicKey, ...padding }, dek) : undefined,
    unwrap: (alg, bytes) =>
      alg === 'RSA-OAEP-256' ? privateDecrypt({ key: privateKey, ...padding }, bytes) : undefined,
  }
}

/** RFC 3394. */
function aesKeyWrap(key: Buffer): Pick<FakeVersion, 'wrap' | 'unwrap'> {
  const iv = Buffer.alloc(8, 0xa6)
  return {
    wrap: (alg, dek) => {
      if (alg !== 'A256KW') return undefined
      const cipher = createCipheriv('id-aes256-wrap', key, iv)
      return Buffer.concat([cipher.update(dek), cipher.final()])
    },
    unwrap: (alg, bytes) => {
      if (alg !== 'A256KW') return undefined
      const decipher = createDecipheriv('id-aes256-wrap', key, iv)
      return Buffer.concat([decipher.update(bytes), decipher.final()])
    },
  }
}
