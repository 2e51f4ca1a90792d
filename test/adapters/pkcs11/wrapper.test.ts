import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { KekIdentity } from '../../../src/adapters/backends/pkcs11/shared/messages.js'
import { keyIdOfKek } from '../../../src/adapters/backends/pkcs11/wrapper.js'
import { keyId } from '../../../src/ports/key_id.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { makeSoftHsm, onSoftHsm, softHsmMissing, type SoftHsm } from '../../support/softhsm.js'
import { backend, openOn, settingsOf, soon, type Opened } from './opened.js'

test('the key id is a function of CKA_ID, check value and key type alone', () => {
  const kek: KekIdentity = {
    keyType: 'AES-256',
    ckaId: Buffer.from('0123456789abcdef'),
    checkValue: Buffer.from('a1b2c3', 'hex'),
  }
  expect(keyIdOfKek(kek)).toBe('pkcs11:m6parjq7w6pimwwedd3pe7yrym.csnlew5q5mvq2mtze7kjzhm42i')
  expect(keyIdOfKek({ ...kek, checkValue: Buffer.from('a1b2c4', 'hex') })).not.toBe(keyIdOfKek(kek))
})

describe.skipIf(softHsmMissing !== undefined)(onSoftHsm('a KEK on a token'), () => {
  let hsm: SoftHsm
  let opened: Opened
  const dek = randomBytes(32)

  beforeAll(async () => {
    hsm = await makeSoftHsm()
    opened = openOn(hsm)
    await backend.keygen?.(settingsOf(hsm), opened.deps)
  })

  afterAll(async () => {
    await opened.wrapper.close()
    await hsm.remove()
  })

  test('every byte flipped in a wrapped DEK is refused, and the process stays', async () => {
    const { wrapper, pid, starts } = opened
    const wrapped = await wrapper.wrap(dek, soon())
    const [first, started] = [pid(), starts()]
    const outcomes: string[] = []
    for (let at = 0; at < wrapped.bytes.length; at++) {
      const bytes = Buffer.from(wrapped.bytes)
      bytes.writeUInt8(bytes.readUInt8(at) ^ 0x80, at)
      outcomes.push(await outcomeOf(wrapper.unwrap({ ...wrapped, bytes }, soon())))
    }
    // Though SoftHSM before 2.7 answers altered bytes as it answers a fault of its own.
    expect(new Set(outcomes)).toEqual(new Set(['ERR_DECRYPTION_FAILED']))
    expect(await outcomeOf(wrapper.unwrap(wrapped, soon()))).toBe('OK')
    expect([pid(), starts()]).toEqual([first, started])
  })

  test('bytes of another format or length are refused without a process, let alone the token', async () => {
    const unused = openOn(hsm)
    const id = keyId(`pkcs11:${'a'.repeat(26)}.${'a'.repeat(26)}`)
    const wrong = [Buffer.alloc(0), Buffer.alloc(60, 1), Buffer.alloc(62, 1), Buffer.alloc(61, 2)]
    for (const bytes of wrong) {
      const call = unused.wrapper.unwrap({ keyId: id, bytes }, soon())
      expect(await outcomeOf(call)).toBe('ERR_DECRYPTION_FAILED')
    }
    expect(unused.log.lines).toEqual([])
    await unused.wrapper.close()
  })

  test('a key id of another backend or another KEK is not recognised and not unwrapped', async () => {
    const { wrapper } = opened
    const wrapped = await wrapper.wrap(dek, soon())
    const foreign = [
      keyId(wrapped.keyId.replace('pkcs11:', 'local:')),
      keyId(`pkcs11:${'a'.repeat(26)}.${'a'.repeat(26)}`),
    ]
    for (const id of foreign) {
      expect(wrapper.recognizes(id)).toBe('no')
      expect(await outcomeOf(wrapper.unwrap({ ...wrapped, keyId: id }, soon()))).toBe('ERR_KEY_UNKNOWN')
    }
    const otherVersion = keyId(wrapped.keyId.replace(/\..*/, `.${'a'.repeat(26)}`))
    expect(await outcomeOf(wrapper.unwrap({ ...wrapped, keyId: otherVersion }, soon()))).toBe(
      'ERR_KEY_UNKNOWN',
    )
  })

  test('a wrapped DEK is format 1, an IV that never repeats, 32 bytes and a tag: 61 bytes', async () => {
    const all = await Promise.all(Array.from({ length: 64 }, async () => opened.wrapper.wrap(dek, soon())))
    for (const { bytes } of all) expect([bytes.length, bytes[0]]).toEqual([61, 1])
    expect(new Set(all.map(({ bytes }) => Buffer.from(bytes.subarray(1, 13)).toString('hex'))).size).toBe(64)
  })

  test('64 unwraps at once each get their own DEK', async () => {
    const deks = Array.from({ length: 64 }, () => randomBytes(32))
    const wrapped = await Promise.all(deks.map(async (one) => opened.wrapper.wrap(one, soon())))
    const back = await Promise.all(wrapped.map(async (one) => opened.wrapper.unwrap(one, soon())))
    expect(back.every((one, i) => deks[i]!.equals(one))).toBe(true)
  })

  test('a DEK of another length is a bug of ours and never wrapped', async () => {
    expect(await outcomeOf(opened.wrapper.wrap(randomBytes(31), soon()))).toBe('ERR_INTERNAL')
  })

  test('the caller keeps its DEK, and what it unwraps lies in memory of its own', async () => {
    const before = Buffer.from(dek)
    const wrapped = await opened.wrapper.wrap(dek, soon())
    expect(dek.equals(before)).toBe(true)
    const back = await opened.wrapper.unwrap(wrapped, soon())
    expect(back.buffer.byteLength).toBe(32)
  })

  test('the key id is the same after a restart', async () => {
    const again = openOn(hsm)
    const id = await again.wrapper.currentKeyId(soon())
    await again.wrapper.close()
    expect(id).toBe(await opened.wrapper.currentKeyId(soon()))
  })
})
