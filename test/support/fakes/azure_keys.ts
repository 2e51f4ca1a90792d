/** The keys of a fake vault: versions with states and dates, real RSA and real AES key wrap. */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
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

/** A version that was there before. */
export interface VersionWish {
  /** 32 hexadecimal digits. */
  readonly version: string
  /** RSA, PKCS #8 in PEM. */
  readonly privateKey: string
}

/** Making one takes long; versions are told apart by their ids all the same, and by their keys where a test wants that. */
const pairs = new Map<string, { publicKey: KeyObject; privateKey: KeyObject }[]>()

function pairOf(bits: number, nth: number): { publicKey: KeyObject; privateKey: KeyObject } {
  const made = pairs.get(String(bits)) ?? []
  pairs.set(String(bits), made)
  const pair = (made[nth] ??= generateKeyPairSync('rsa', { modulusLength: bits }))
  return pair
}

/**
 * @param nth Which of several keys of this kind.
 * @param wish In their place.
 */
export function makeVersion(kty: Kty, bits: number, nth: number, wish?: VersionWish): FakeVersion {
  const state = {
    version: wish?.version ?? randomBytes(16).toString('hex'),
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
  const { publicKey, privateKey } = wish === undefined ? pairOf(bits, nth) : pairIn(wish.privateKey)
  const { n = '', e = '' } = publicKey.export({ format: 'jwk' })
  return { ...state, jwk: { n, e }, ...rsa(publicKey, privateKey) }
}

function pairIn(pem: string): { publicKey: KeyObject; privateKey: KeyObject } {
  return { publicKey: createPublicKey(pem), privateKey: createPrivateKey(pem) }
}

function rsa(publicKey: KeyObject, privateKey: KeyObject): Pick<FakeVersion, 'wrap' | 'unwrap'> {
  const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }
  const pkcs1 = { padding: constants.RSA_PKCS1_PADDING }
  const paddings: Readonly<Record<string, typeof oaep | typeof pkcs1>> = {
    'RSA-OAEP-256': oaep,
    RSA1_5: pkcs1,
  }
  return {
    wrap: (alg, dek) => {
      const padding = paddings[alg]
      return padding === undefined ? undefined : publicEncrypt({ key: publicKey, ...padding }, dek)
    },
    unwrap: (alg, bytes) => {
      if (alg === 'RSA1_5') return unpadded(privateKey, bytes)
      return alg === 'RSA-OAEP-256' ? privateDecrypt({ key: privateKey, ...oaep }, bytes) : undefined
    },
  }
}

/** RFC 8017 section 7.2.2. By hand, since Node gives random bytes for a bad padding, and the service an error. */
function unpadded(privateKey: KeyObject, bytes: Buffer): Buffer {
  const block = privateDecrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, bytes)
  const end = block.indexOf(0, 2)
  if (block[0] !== 0 || block[1] !== 2 || end < 10) throw new Error('bad padding')
  return block.subarray(end + 1)
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
