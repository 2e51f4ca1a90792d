/**
 * Whether the two suites are the algorithms that their names say: NIST CAVP and Project Wycheproof.
 *
 * The vectors are not part of the project. They are read from the folder that KMSPLUGIN_VECTORS names, else from
 * ../shared/vectors beside the project; where neither exists these tests skip.
 */
import { createCipheriv, createHmac } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { env } from 'node:process'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { a256cbcHs512 } from '../../src/domain/a256cbc_hs512.js'
import { a256gcm } from '../../src/domain/a256gcm.js'
import type { CipherSuite } from '../../src/domain/cipher_suite.js'
import { hkdfSha512 } from '../doubles/reference_envelope.js'

const folder = env['KMSPLUGIN_VECTORS'] ?? fileURLToPath(new URL('../../../shared/vectors', import.meta.url))
const isMissing = !existsSync(folder)

interface AeadCase {
  readonly key: string
  readonly iv: string
  readonly aad: string
  readonly msg: string
  readonly ct: string
  readonly tag: string
  readonly result: 'valid' | 'invalid'
}

interface HkdfCase {
  readonly ikm: string
  readonly salt: string
  readonly info: string
  readonly size: number
  readonly okm: string
  readonly result: 'valid' | 'invalid'
}

interface Group<Case> {
  readonly ivSize?: number
  readonly keySize: number
  readonly tagSize?: number
  readonly tests: readonly Case[]
}

const bytesOf = (hex: string) => Buffer.from(hex, 'hex')

function wycheproof<Case>(file: string): Group<Case>[] {
  const text = readFileSync(join(folder, 'wycheproof', file), 'utf8')
  return (JSON.parse(text) as { testGroups: Group<Case>[] }).testGroups
}

/** The groups of a CAVP response file with a 96-bit IV and a 128-bit tag, as cases. */
function cavpGcm(file: string): AeadCase[] {
  const cases: AeadCase[] = []
  let parameters: Record<string, string> = {}
  for (const paragraph of readFileSync(join(folder, 'nist-cavp', file), 'utf8').split(/\r?\n\r?\n/)) {
    const fields = Object.fromEntries(
      [...paragraph.matchAll(/^\[?(\w+) = ?([0-9a-f]*)\]?\r?$/gm)].map(([, name, value]) => [name, value]),
    ) as Record<string, string>
    if (fields['IVlen'] !== undefined) parameters = fields
    const isOurs = parameters['IVlen'] === '96' && parameters['Taglen'] === '128'
    if (!isOurs || fields['Key'] === undefined) continue
    cases.push({
      key: fields['Key'],
      iv: fields['IV'] ?? '',
      aad: fields['AAD'] ?? '',
      msg: fields['PT'] ?? '',
      ct: fields['CT'] ?? '',
      tag: fields['Tag'] ?? '',
      result: /^FAIL\r?$/m.test(paragraph) ? 'invalid' : 'valid',
    })
  }
  return cases
}

/** Opens every case; seals the valid ones anew to the same bytes. */
function expectAll(suite: CipherSuite, cases: readonly AeadCase[]): void {
  for (const { key, iv, aad, msg, ct, tag, result } of cases) {
    const opened = suite.open(bytesOf(key), bytesOf(iv), bytesOf(aad), bytesOf(ct), bytesOf(tag))
    expect(opened?.toString('hex')).toBe(result === 'valid' ? msg : undefined)
    if (result === 'invalid') continue
    const sealed = suite.seal(bytesOf(key), bytesOf(iv), bytesOf(aad), bytesOf(msg))
    expect([sealed.ciphertext.toString('hex'), sealed.tag.toString('hex')]).toEqual([ct, tag])
    expect(sealed.ciphertext.length).toBe(suite.ciphertextBytes(bytesOf(msg).length))
    expect(suite.isCiphertextLength(sealed.ciphertext.length)).toBe(true)
  }
}

describe.skipIf(isMissing)('with the vectors of NIST and Wycheproof (KMSPLUGIN_VECTORS)', () => {
  test('A256GCM is AES-256-GCM: Wycheproof', () => {
    const cases = wycheproof<AeadCase>('aes_gcm_test.json')
      .filter((group) => group.keySize === 256 && group.ivSize === 96 && group.tagSize === 128)
      .flatMap(({ tests }) => tests)
    expect(cases).toHaveLength(66)
    expectAll(a256gcm, cases)
  })

  test.each(['gcmDecrypt256.rsp', 'gcmEncryptExtIV256.rsp'])('A256GCM is AES-256-GCM: CAVP %s', (file) => {
    const cases = cavpGcm(file)
    expect(cases).toHaveLength(375)
    expectAll(a256gcm, cases)
  })

  test('A256CBC-HS512 is that of RFC 7518: Wycheproof', () => {
    const cases = wycheproof<AeadCase>('a256cbc_hs512_test.json').flatMap(({ tests }) => tests)
    expect(cases).toHaveLength(94)
    expectAll(a256cbcHs512, cases)
  })

  test('the derivation of the second implementation is HKDF-SHA-512: Wycheproof', () => {
    const cases = wycheproof<HkdfCase>('hkdf_sha512_test.json').flatMap(({ tests }) => tests)
    const valid = cases.filter(({ result }) => result === 'valid')
    expect(valid).toHaveLength(80)
    for (const { ikm, salt, info, size, okm } of valid) {
      expect(hkdfSha512(bytesOf(ikm), bytesOf(salt), bytesOf(info), size).toString('hex')).toBe(okm)
    }
  })
})

test('A256GCM refuses a tag that was cut short', () => {
  const [key, iv, aad] = [Buffer.alloc(32), Buffer.alloc(12), Buffer.alloc(0)]
  const { ciphertext, tag } = a256gcm.seal(key, iv, aad, Buffer.from('value'))
  expect(() => a256gcm.open(key, iv, aad, ciphertext, tag.subarray(0, 4))).toThrow()
})

test('A256CBC-HS512 refuses padding that it never makes, even behind a right MAC', () => {
  const [key, iv, aad] = [Buffer.alloc(64, 1), Buffer.alloc(16, 2), Buffer.from('aad')]
  for (const padded of [Buffer.alloc(32), Buffer.alloc(32, 17), Buffer.alloc(16, 3).fill(2, 14, 15)]) {
    const cipher = createCipheriv('aes-256-cbc', key.subarray(32), iv).setAutoPadding(false)
    const ciphertext = Buffer.concat([cipher.update(padded), cipher.final()])
    const aadBits = Buffer.from([0, 0, 0, 0, 0, 0, 0, aad.length * 8])
    const mac = createHmac('sha512', key.subarray(0, 32))
      .update(aad)
      .update(iv)
      .update(ciphertext)
      .update(aadBits)
    const tag = mac.digest().subarray(0, 32)
    expect(a256cbcHs512.open(key, iv, aad, ciphertext, tag)).toBeUndefined()
  }
})
