/** What a token decrypts of other programs, with keys that may do nothing else. */
import {
  constants,
  createCipheriv,
  createHmac,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
  type KeyObject,
} from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { NativeCiphertext } from '../../../src/ports/foreign.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { makeNss, nssMissing } from '../../support/modules/nss.js'
import { makeSoftHsm, onSoftHsm, softHsmMissing } from '../../support/softhsm.js'
import { changeToken, type TokenStep } from '../../support/token_objects.js'
import { openOn, soon, type Opened, type UsableToken } from './opened.js'

const plaintext = randomBytes(32)
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const otherRsa = generateKeyPairSync('rsa', { modulusLength: 3072 })
const aes = { 16: randomBytes(16), 24: randomBytes(24), 32: randomBytes(32) } as const
const macKey = randomBytes(32)

const onlyDecrypt = { encrypt: false, decrypt: true }
const steps: readonly TokenStep[] = [
  { do: 'importAes', label: 'aes', id: '0a0b', value: aes[32].toString('hex'), ...onlyDecrypt },
  { do: 'importAes', label: 'aes-192', value: aes[24].toString('hex'), ...onlyDecrypt },
  { do: 'importAes', label: 'aes-128', value: aes[16].toString('hex'), ...onlyDecrypt },
  { do: 'importSecret', label: 'mac', id: '0c0d', value: macKey.toString('hex'), verify: false },
  { do: 'importRsa', label: 'rsa', id: '0e0f', key: rsa.privateKey.export({ format: 'jwk' }) },
]

function gcm(key: Buffer, aad: Buffer, ivBytes = 12): NativeCiphertext & { readonly tag: Buffer } {
  const iv = randomBytes(ivBytes)
  const cipher = createCipheriv(`aes-${8 * key.length}-gcm` as 'aes-256-gcm', key, iv).setAAD(aad)
  const bytes = Buffer.concat([cipher.update(plaintext), cipher.final()])
  return { algorithm: 'AES-GCM', bytes, iv, tag: cipher.getAuthTag(), aad }
}

function cbc(key: Buffer): NativeCiphertext {
  const iv = randomBytes(16)
  const cipher = createCipheriv(`aes-${8 * key.length}-cbc`, key, iv).setAutoPadding(false)
  return { algorithm: 'AES-CBC', bytes: Buffer.concat([cipher.update(plaintext), cipher.final()]), iv }
}

function pkcs1(key: KeyObject, bytes = plaintext): NativeCiphertext {
  const padding = constants.RSA_PKCS1_PADDING
  return { algorithm: 'RSA1_5', bytes: publicEncrypt({ key, padding }, bytes) }
}

function oaep(key: KeyObject): NativeCiphertext {
  return { algorithm: 'RSA-OAEP-256', bytes: publicEncrypt({ key, oaepHash: 'sha256' }, plaintext) }
}

function flipped(bytes: Uint8Array, at: number): Buffer {
  const copy = Buffer.from(bytes)
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at)
  return copy
}

async function open({ wrapper }: Opened, ciphertext: NativeCiphertext): Promise<Buffer> {
  return Buffer.from((await wrapper.decryptNative?.(ciphertext, soon())) ?? [])
}

const refusal = async (opened: Opened, ciphertext: NativeCiphertext) => outcomeOf(open(opened, ciphertext))

function suite(
  name: string,
  missing: string | undefined,
  make: () => Promise<Made>,
  rsaAlgorithm: 'RSA1_5' | 'RSA-OAEP-256',
) {
  const sealRsa = rsaAlgorithm === 'RSA1_5' ? pkcs1 : oaep

  describe.skipIf(missing !== undefined)(
    `${name}${missing === undefined ? '' : ` (skipped: ${missing})`}`,
    () => {
      let token: Made
      const opened = new Map<string, Opened>()
      const on = (keyLabel: string): Opened => {
        const known = opened.get(keyLabel)
        if (known !== undefined) return known
        const made = openOn(token, { keyLabel }, { isPrimary: false })
        opened.set(keyLabel, made)
        return made
      }

      beforeAll(async () => {
        token = await make()
        changeToken(token, steps)
      })

      afterAll(async () => {
        for (const { wrapper } of opened.values()) await wrapper.close()
        await token.remove()
      })

      test.each([
        ['aes', 32],
        ['aes-192', 24],
        ['aes-128', 16],
      ] as const)('a key %s that can only decrypt opens AES-GCM and AES-CBC', async (label, bytes) => {
        expect((await open(on(label), gcm(aes[bytes], Buffer.from('bound')))).equals(plaintext)).toBe(true)
        expect((await open(on(label), cbc(aes[bytes]))).equals(plaintext)).toBe(true)
      })

      test('an altered ciphertext, tag, IV or AAD is bad data, whatever code the module has for it, and no fault of the token', async () => {
        const good = gcm(aes[32], Buffer.from('bound'))
        const bad: NativeCiphertext[] = [
          { ...good, bytes: flipped(good.bytes, 0) },
          { ...good, bytes: good.bytes.subarray(1) },
          { ...good, tag: flipped(good.tag, 15) },
          { ...good, iv: flipped(good.iv!, 3) },
          { ...good, aad: Buffer.from('other') },
          { ...good, aad: Buffer.alloc(0) },
          gcm(aes[16], Buffer.from('bound')),
        ]
        for (const each of bad) expect(await refusal(on('aes'), each)).toBe('ERR_DECRYPTION_FAILED')
        expect((await open(on('aes'), good)).equals(plaintext)).toBe(true)
        expect(on('aes').starts()).toBe(1)
      })

      test('the longest value that passes is answered, and no process ends for it', async () => {
        const long = gcm(aes[32], randomBytes(49_000))
        expect((await open(on('aes'), long)).equals(plaintext)).toBe(true)
        const label = `label:${'x'.repeat(24_000)}€`
        expect(await refusal(on('aes'), { ...gcm(aes[32], Buffer.alloc(0)), keyName: label })).toBe(
          'ERR_KEY_UNKNOWN',
        )
        const tooLong = `label:${'x'.repeat(40_000)}€`
        expect(await refusal(on('aes'), { ...gcm(aes[32], Buffer.alloc(0)), keyName: tooLong })).toBe(
          'ERR_DECRYPTION_FAILED',
        )
        expect(on('aes').starts()).toBe(1)
      })

      test('lengths that the algorithm does not make are refused before the token is asked', async () => {
        const good = gcm(aes[32], Buffer.alloc(0))
        const asked = openOn(token, { keyLabel: 'aes' }, { isPrimary: false })
        const bad: NativeCiphertext[] = [
          { ...good, tag: good.tag.subarray(1) },
          { ...good, iv: randomBytes(11) },
          { algorithm: 'AES-GCM', bytes: good.bytes, tag: good.tag },
          { ...cbc(aes[32]), bytes: Buffer.alloc(0) },
          { ...cbc(aes[32]), bytes: Buffer.alloc(31) },
          { algorithm: rsaAlgorithm, bytes: Buffer.alloc(255) },
          { algorithm: 'AES-CBC', iv: randomBytes(16), bytes: Buffer.alloc(64 * 1024) },
        ]
        for (const each of bad) expect(await refusal(asked, each)).toBe('ERR_DECRYPTION_FAILED')
        expect(asked.starts()).toBe(0)
        await asked.wrapper.close()
      })

      test('the key of the settings has to be the one that is asked for, by CKA_ID or by label', async () => {
        const good = gcm(aes[32], Buffer.alloc(0))
        for (const keyName of ['id:0a0b', 'id:0A0B', 'label:aes']) {
          expect((await open(on('aes'), { ...good, keyName })).equals(plaintext)).toBe(true)
        }
        for (const keyName of ['id:0a', 'id:0a0c', 'label:aes-128', 'label:AES']) {
          expect(await refusal(on('aes'), { ...good, keyName })).toBe('ERR_KEY_UNKNOWN')
        }
        expect(await refusal(on('rsa'), good)).toBe('ERR_KEY_UNKNOWN')
        expect(await refusal(on('aes'), sealRsa(rsa.publicKey))).toBe('ERR_KEY_UNKNOWN')
        expect(await refusal(on('nobody'), good)).toBe('ERR_KEY_NOT_FOUND')
        expect(await refusal(on('mac'), good)).toBe('ERR_KEY_UNUSABLE')
      })

      test.each(['label:mac', 'id:0c0d'])(
        'the HMAC key %s of the token makes a MAC, of nothing as well',
        async (keyName) => {
          for (const bytes of [Buffer.alloc(0), Buffer.from('a message')]) {
            const mac = await open(on('aes'), { algorithm: 'HMAC-SHA256', bytes, keyName })
            expect(mac.equals(createHmac('sha256', macKey).update(bytes).digest())).toBe(true)
          }
        },
      )

      test('an HMAC key that is not there, and an AES key in its place, are said', async () => {
        for (const keyName of ['label:other', 'label:aes']) {
          const question = { algorithm: 'HMAC-SHA256', bytes: Buffer.alloc(0), keyName } as const
          expect(await refusal(on('aes'), question)).toBe('ERR_KEY_NOT_FOUND')
        }
      })

      test(`${rsaAlgorithm} opens, and nothing but what this very key sealed`, async () => {
        const good = sealRsa(rsa.publicKey)
        // As Azure's plugin names it: a hash of the URL that the key had before it came here.
        const cloudName = 'a'.repeat(64)
        expect((await open(on('rsa'), { ...good, keyName: cloudName })).equals(plaintext)).toBe(true)
        expect((await open(on('rsa'), { ...good, keyName: 'id:0e0f' })).equals(plaintext)).toBe(true)
        for (const at of [0, 1, 100, 255]) {
          expect(await refusal(on('rsa'), { ...good, bytes: flipped(good.bytes, at) })).toBe(
            'ERR_DECRYPTION_FAILED',
          )
        }
        expect(await refusal(on('rsa'), sealRsa(otherRsa.publicKey))).toBe('ERR_KEY_UNKNOWN')
        expect((await open(on('rsa'), good)).equals(plaintext)).toBe(true)
        expect(on('rsa').starts()).toBe(1)
      })
    },
  )
}

type Made = UsableToken & { readonly remove: () => Promise<void> }

suite(onSoftHsm('SoftHSM, for other programs'), softHsmMissing, async () => makeSoftHsm(), 'RSA1_5')
suite('NSS, for other programs', nssMissing, makeNss, 'RSA-OAEP-256')
