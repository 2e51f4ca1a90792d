/**
 * How does a token decrypt what another program had one of its keys encrypt?
 *
 * The bytes are not of our making: nothing is known of them but their algorithm, so whatever is wrong with them is told
 * from a fault of the device by a probe under the same key.
 */
import type { NativeAlgorithm } from '../../../../ports/foreign.js'
import type { DecryptRequest, KeyKind, KeyQuery } from '../shared/messages.js'
import { HsmError } from './cryptoki.js'
import { findNamedKey, findSecret } from './native_key.js'
import type { Handle, Mechanism } from './pkcs11js.js'
import { probeBlock, probeRsa, rsaBytes } from './native_probe.js'
import { oaep } from './strategies/rsa_oaep.js'
import { doubting, SPARE_BYTES } from './strategies/strategy.js'
import type { Token } from './token.js'

const TAG_BITS = 128
const MAC_BYTES = 32
/** kube-apiserver has had nothing else encrypted with RSA1_5. */
const RSA1_5_PLAINTEXT_BYTES = 32

/** One operation on its way. */
interface Work {
  readonly token: Token
  readonly session: Handle
  readonly key: Handle
  readonly request: DecryptRequest
}

interface Operation {
  /** Which of the keys that the settings name does it; another secret of the token where none does. */
  readonly kind: KeyKind | 'secret'
  readonly run: (work: Work) => Buffer
  /** Tells after a doubtful answer whether the device is well. Absent where no bytes of the right length are bad. */
  readonly prove?: (work: Work) => void
}

const operations: Readonly<Record<NativeAlgorithm, Operation>> = {
  'AES-GCM': {
    kind: 'AES',
    run: ({ token, session, key, request }) => {
      const iv = bufferOf(request.iv)
      const parameter = {
        type: token.p11.CK_PARAMS_AES_GCM_v240,
        iv,
        ivBits: iv.length * 8,
        aad: bufferOf(request.aad),
        tagBits: TAG_BITS,
      }
      return opened(token, session, { mechanism: token.p11.CKM_AES_GCM, parameter }, key, request.bytes)
    },
    prove: ({ token, session, key }) => probeBlock(token, session, key),
  },
  // Whole blocks and no padding: whatever they hold, they decrypt to something.
  'AES-CBC': {
    kind: 'AES',
    run: ({ token, session, key, request }) => {
      token.startDecrypt(session, { mechanism: token.p11.CKM_AES_CBC, parameter: bufferOf(request.iv) }, key)
      return token.decrypt(session, bufferOf(request.bytes), request.bytes.length + SPARE_BYTES)
    },
  },
  'HMAC-SHA256': {
    kind: 'secret',
    run: ({ token, session, key, request }) => {
      const mechanism = { mechanism: token.p11.CKM_SHA256_HMAC }
      // Of no bytes as well: SoftHSM wants a pointer to them all the same.
      const message =
        request.bytes.length > 0 ? bufferOf(request.bytes) : Buffer.allocUnsafeSlow(1).subarray(1)
      return token.sign(session, mechanism, key, message, MAC_BYTES + SPARE_BYTES)
    },
  },
  RSA1_5: { kind: 'RSA', run: openPkcs1 },
  'RSA-OAEP-256': {
    kind: 'RSA',
    run: ({ token, session, key, request }) => {
      refuseOtherModulus(token, session, key, request)
      return opened(token, session, oaep(token, 'SHA-256'), key, request.bytes)
    },
    prove: ({ token, session, key }) => probeRsa(token, session, key, 'RSA-OAEP-256'),
  },
}

/**
 * @param query The key of the settings.
 * @throws {HsmError} `ERR_DECRYPTION_FAILED`; `ERR_UNWRAP_AMBIGUOUS`, to be settled by {@link proveNative};
 * `ERR_KEY_UNKNOWN` when the key of the settings is not the one that is asked for.
 */
export function decryptNative(
  token: Token,
  session: Handle,
  query: KeyQuery,
  request: DecryptRequest,
): Buffer {
  const { run } = operations[request.algorithm]
  return run({ token, session, key: keyOf(token, session, query, request), request })
}

/**
 * Returns when the key does what it is asked with bytes that are good, so that those which raised the doubt are bad.
 *
 * @throws {HsmError} what the device answers; where it can not be asked, as when it lacks the mechanism,
 * `ERR_KEY_UNUSABLE` or `ERR_ACCESS_DENIED`.
 */
export function proveNative(token: Token, session: Handle, query: KeyQuery, request: DecryptRequest): void {
  const { prove } = operations[request.algorithm]
  prove?.({ token, session, key: keyOf(token, session, query, request), request })
}

function keyOf(token: Token, session: Handle, query: KeyQuery, { algorithm, key }: DecryptRequest): Handle {
  const { kind } = operations[algorithm]
  return kind === 'secret' ? findSecret(token, session, key) : findNamedKey(token, session, query, kind, key)
}

function opened(token: Token, session: Handle, how: Mechanism, key: Handle, bytes: Uint8Array): Buffer {
  try {
    token.startDecrypt(session, how, key)
  } catch (error) {
    throw unsupported(error)
  }
  return doubting(() => token.decrypt(session, bufferOf(bytes), bytes.length + SPARE_BYTES))
}

/**
 * PKCS #1 v1.5 tells him who may try many ciphertexts what they hold, if he learns whether the padding was right
 * (RFC 8017, section 7.2.2). So the device is proved before, every time: a refusal then takes as many calls as a success,
 * and is one error with one text, whatever was wrong. Also where the padding is right and the length is not: else a
 * metric of calls would tell.
 */
function openPkcs1({ token, session, key, request }: Work): Buffer {
  refuseOtherModulus(token, session, key, request)
  probeRsa(token, session, key, 'RSA1_5')
  token.startDecrypt(session, { mechanism: token.p11.CKM_RSA_PKCS }, key)
  let plaintext: Buffer = Buffer.alloc(0)
  try {
    plaintext = doubting(() =>
      token.decrypt(session, bufferOf(request.bytes), request.bytes.length + SPARE_BYTES),
    )
  } catch (error) {
    if (!(error instanceof HsmError && dataFailures.includes(error.code))) throw error
  }
  if (plaintext.length === RSA1_5_PLAINTEXT_BYTES) return plaintext
  plaintext.fill(0)
  throw new HsmError('ERR_DECRYPTION_FAILED', 'the RSA key does not open these bytes')
}

const dataFailures: readonly string[] = ['ERR_DECRYPTION_FAILED', 'ERR_UNWRAP_AMBIGUOUS']

/** Bytes that are not as long as the modulus never reach the token: what it answers to them says nothing. */
function refuseOtherModulus(token: Token, session: Handle, key: Handle, { bytes }: DecryptRequest): void {
  const length = rsaBytes(token, session, key)
  if (bytes.length === length) return
  throw new HsmError('ERR_KEY_UNKNOWN', `the RSA key has ${8 * length} bits, and these bytes are of another`)
}

/** So SoftHSM says that it has no such hash, and NSS that it has no such mode. */
function unsupported(error: unknown): unknown {
  if (!(error instanceof HsmError && error.code === 'ERR_BACKEND_RESPONSE')) return error
  return new HsmError('ERR_KEY_UNUSABLE', error.message, 'none', error.rv)
}

/** The same memory, in the class that pkcs11js wants. */
function bufferOf(bytes: Uint8Array | undefined): Buffer {
  if (bytes === undefined) return Buffer.alloc(0)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
