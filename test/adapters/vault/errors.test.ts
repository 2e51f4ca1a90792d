/** What does each answer of the server mean? By the texts of HashiCorp Vault and of OpenBao. */
import { describe, expect, test } from 'vitest'
import { decryptErrorOf, errorOf } from '../../../src/adapters/backends/vault/errors.js'

const question = { service: 'Vault at https://vault:8200', path: 'transit/encrypt/kek', kek: 'the key kek' }
const reply = (status: number, ...errors: string[]) => ({ status, body: { errors }, retryAfterMs: undefined })

describe('an answer to encrypt or to reading the key', () => {
  test.each([
    [400, 'encryption key not found', 'ERR_KEY_NOT_FOUND'],
    [400, 'refusing to use soft-deleted key', 'ERR_KEY_DISABLED'],
    [400, 'ciphertext or signature version is disallowed by policy (too old)', 'ERR_KEY_UNUSABLE'],
    [
      400,
      "missing 'context' for key derivation; the key was created using a derived key",
      'ERR_CONFIG_INVALID',
    ],
    [400, "'[0].associated_data' provided for non-AEAD cipher suite rsa-2048", 'ERR_CONFIG_INVALID'],
    [400, 'message encryption not supported for key type ed25519', 'ERR_KEY_UNUSABLE'],
    [
      400,
      'requested version for encryption is higher than the latest key version',
      'ERR_BACKEND_UNAVAILABLE',
    ],
    [
      400,
      'requested version for encryption is less than the minimum encryption key version',
      'ERR_BACKEND_UNAVAILABLE',
    ],
    [400, 'no such key version', 'ERR_BACKEND_UNAVAILABLE'],
    [400, 'something new', 'ERR_BACKEND_RESPONSE'],
    [404, '', 'ERR_KEY_NOT_FOUND'],
    [404, 'no handler for route "transit/keys/kek". route entry not found.', 'ERR_KEY_NOT_FOUND'],
    [404, 'namespace not found', 'ERR_KEY_NOT_FOUND'],
    [405, '1 error occurred:\n\t* unsupported operation\n\n', 'ERR_CONFIG_INVALID'],
    [412, 'required index state not present', 'ERR_BACKEND_UNAVAILABLE'],
    [413, 'http: request body too large', 'ERR_BACKEND_RESPONSE'],
    [429, 'request path "transit/encrypt/kek": rate limit quota exceeded', 'ERR_BACKEND_THROTTLED'],
    [472, '', 'ERR_BACKEND_UNAVAILABLE'],
    [473, '', 'ERR_BACKEND_UNAVAILABLE'],
    [500, 'internal error', 'ERR_BACKEND_UNAVAILABLE'],
    [500, 'local node not active but active cluster node not found', 'ERR_BACKEND_UNAVAILABLE'],
    [501, '', 'ERR_BACKEND_UNAVAILABLE'],
    [502, 'upstream rate limited', 'ERR_BACKEND_UNAVAILABLE'],
    [503, 'Vault is sealed', 'ERR_BACKEND_UNAVAILABLE'],
    [503, 'API access to this namespace has been locked by an administrator', 'ERR_BACKEND_UNAVAILABLE'],
    [504, '', 'ERR_BACKEND_UNAVAILABLE'],
  ] as const)('%i %j is %s', (status, text, code) => {
    expect(errorOf(question, reply(status, text)).code).toBe(code)
  })

  test('how long the server wants to be left alone is kept', () => {
    for (const status of [429, 503, 500, 502]) {
      expect(errorOf(question, { ...reply(status), retryAfterMs: 7000 }).retryAfterMs).toBe(7000)
    }
  })

  test('that nobody knows is quoted by its words, without anything that may be a key, a token or a DEK', () => {
    const token = 'hvs.CAESIJ0f9GfA2'
    const dek = Buffer.alloc(32, 1).toString('base64')
    const { message } = errorOf(question, reply(400, `odd request: ${token} sent ${dek}\n\tto us`))
    expect(message).toBe(
      'Vault at https://vault:8200 answered 400 at transit/encrypt/kek: odd request: … sent … to us',
    )
  })

  test('that is no JSON, or whose errors are no texts, has no words', () => {
    for (const body of [{}, { errors: 'x' }, { errors: [1, null, {}] }]) {
      const { message } = errorOf(question, { status: 418, body, retryAfterMs: undefined })
      expect(message).toBe('Vault at https://vault:8200 answered 418 at transit/encrypt/kek')
    }
  })
})

describe('an answer to decrypt', () => {
  const rsa = '1 error occurred:\n\t* failed to RSA decrypt the ciphertext: crypto/rsa: decryption error\n\n'
  test.each([
    ['aes256-gcm96', 400, 'cipher: message authentication failed', 'ERR_DECRYPTION_FAILED'],
    ['aes256-gcm96', 400, 'invalid ciphertext: unable to decrypt', 'ERR_DECRYPTION_FAILED'],
    ['aes256-gcm96', 400, 'invalid ciphertext length', 'ERR_DECRYPTION_FAILED'],
    ['aes256-gcm96', 400, 'invalid ciphertext: version is too new', 'ERR_DECRYPTION_FAILED'],
    ['chacha20-poly1305', 400, 'chacha20poly1305: message authentication failed', 'ERR_DECRYPTION_FAILED'],
    ['aes256-gcm96', 400, 'words that nobody has seen', 'ERR_UNWRAP_AMBIGUOUS'],
    ['rsa-2048', 500, rsa, 'ERR_UNWRAP_AMBIGUOUS'],
    ['rsa-4096', 500, 'internal error', 'ERR_BACKEND_UNAVAILABLE'],
    ['aes256-gcm96', 500, rsa, 'ERR_BACKEND_UNAVAILABLE'],
    ['aes256-gcm96', 500, 'internal error', 'ERR_BACKEND_UNAVAILABLE'],
    ['aes256-gcm96', 503, 'Vault is sealed', 'ERR_BACKEND_UNAVAILABLE'],
    ['aes256-gcm96', 400, 'encryption key not found', 'ERR_KEY_NOT_FOUND'],
  ] as const)('by a key of type %s, %i %j, is %s', (type, status, text, code) => {
    expect(decryptErrorOf(question, reply(status, text), type).code).toBe(code)
  })
})
