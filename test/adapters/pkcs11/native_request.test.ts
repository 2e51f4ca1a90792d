import { serialize } from 'node:v8'
import { describe, expect, test } from 'vitest'
import { nativePlaintext, nativeRequest } from '../../../src/adapters/backends/pkcs11/native.js'
import type { NativeAlgorithm, NativeCiphertext } from '../../../src/ports/foreign.js'
import { KmsError } from '../../../src/ports/errors.js'
import { MAX_MESSAGE_BYTES } from '../../../src/adapters/backends/pkcs11/shared/channel.js'

const bytes = (length: number) => Buffer.alloc(length, 7)

const good: Readonly<Record<NativeAlgorithm, NativeCiphertext>> = {
  'AES-GCM': { algorithm: 'AES-GCM', bytes: bytes(32), iv: bytes(12), tag: bytes(16), aad: bytes(3) },
  'AES-CBC': { algorithm: 'AES-CBC', bytes: bytes(48), iv: bytes(16) },
  'HMAC-SHA256': { algorithm: 'HMAC-SHA256', bytes: bytes(0), keyName: 'label:mac' },
  RSA1_5: { algorithm: 'RSA1_5', bytes: bytes(256) },
  'RSA-OAEP-256': { algorithm: 'RSA-OAEP-256', bytes: bytes(512) },
}
/** Lengths of answers that a module in order can give, and cannot. */
const answers: Readonly<Record<NativeAlgorithm, readonly [number[], number[]]>> = {
  'AES-GCM': [[32], [0, 31, 33, 48]],
  'AES-CBC': [[48], [0, 32, 47, 49]],
  'HMAC-SHA256': [[32], [0, 20, 31, 33, 64]],
  RSA1_5: [
    [0, 32, 245],
    [246, 256],
  ],
  'RSA-OAEP-256': [
    [0, 32, 446],
    [447, 512, 60_000],
  ],
}

function codeOf(work: () => unknown): string {
  try {
    work()
    return 'OK'
  } catch (error) {
    return error instanceof KmsError ? error.code : String(error)
  }
}

describe.each(Object.keys(good) as NativeAlgorithm[])('%s', (algorithm) => {
  test('believes an answer only of a length that the algorithm can give, copies it and wipes what came', () => {
    const request = nativeRequest(good[algorithm])
    const [possible, impossible] = answers[algorithm]
    for (const length of possible) {
      const answer = bytes(length)
      expect(Buffer.from(nativePlaintext(request, answer)).equals(bytes(length))).toBe(true)
      expect(answer.every((byte) => byte === 0)).toBe(true)
    }
    for (const length of impossible) {
      const answer = bytes(length)
      expect(
        codeOf(() => nativePlaintext(request, answer)),
        `${length}`,
      ).toBe('ERR_BACKEND_RESPONSE')
      expect(answer.every((byte) => byte === 0)).toBe(true)
    }
  })
})

test('the tag of AES-GCM goes behind the ciphertext', () => {
  expect(nativeRequest(good['AES-GCM']).bytes).toHaveLength(48)
})

test('a key is named by its label or by its CKA_ID; what a cloud calls it says nothing', () => {
  const keyOf = (keyName: string) => nativeRequest({ ...good['AES-GCM'], keyName }).key
  expect(keyOf('label:id:00')).toEqual({ label: 'id:00' })
  expect(keyOf('id:0aFF')).toEqual({ ckaId: Buffer.from('0aff', 'hex') })
  expect(nativeRequest(good['AES-GCM']).key).toEqual({})
  for (const keyName of ['', 'label:', 'id:', 'id:0', 'id:xy', 'kek', 'name:kek', 'a'.repeat(64)]) {
    expect(keyOf(keyName), keyName).toEqual({})
    expect(codeOf(() => nativeRequest({ ...good['HMAC-SHA256'], keyName }))).toBe('ERR_DECRYPTION_FAILED')
  }
})

test('what no algorithm makes never reaches the token', () => {
  const bad: NativeCiphertext[] = [
    { ...good['AES-GCM'], bytes: bytes(60_000) },
    { ...good['AES-GCM'], bytes: bytes(20_000), aad: bytes(20_000), keyName: `label:${'x'.repeat(20_000)}` },
    { ...good['AES-GCM'], iv: bytes(13) },
    { ...good['AES-GCM'], tag: bytes(12) },
    { ...good['AES-CBC'], bytes: bytes(40) },
    { ...good['AES-CBC'], iv: bytes(12) },
    { ...good.RSA1_5, bytes: bytes(128) },
    { algorithm: 'HMAC-SHA256', bytes: bytes(3) },
  ]
  for (const each of bad) expect(codeOf(() => nativeRequest(each))).toBe('ERR_DECRYPTION_FAILED')
  expect(codeOf(() => nativeRequest({ bytes: bytes(32) }))).toBe('ERR_INTERNAL')
})

test.each(['x', 'é', '€', '😀'])(
  'no name of a key, not even with "%s" in it, makes a message at which the HSM process ends',
  (character) => {
    for (let length = 1000; length <= 60_000; length += 1000) {
      const ciphertext: NativeCiphertext = {
        ...good['AES-GCM'],
        aad: bytes(Math.ceil((4 / 3) * length)),
        keyName: `label:${'x'.repeat(length)}${character}`,
      }
      for (const each of [ciphertext, { ...ciphertext, aad: bytes(0) }]) {
        if (codeOf(() => nativeRequest(each)) !== 'OK') continue
        const message = serialize({ type: 'call', id: Number.MAX_SAFE_INTEGER, request: nativeRequest(each) })
        expect(message.length, `${length}`).toBeLessThanOrEqual(MAX_MESSAGE_BYTES)
      }
    }
  },
)
