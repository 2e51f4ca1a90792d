/** What the service opens that IBM's own plug-in had it wrap. */
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { KeyWrapper } from '../../../src/ports/key_wrapper.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { seal } from '../../support/fakes/ibm_keys.js'
import { IbmSubject } from '../../support/ibm_subject.js'

interface Recorded {
  readonly key: Readonly<Record<'rootKeyId' | 'versionId' | 'material' | 'dek' | 'wrappedDek', string>>
}

const { key: recorded } = JSON.parse(
  readFileSync(new URL('../../vectors/foreign/ibm-kmsplugin.json', import.meta.url), 'utf8'),
) as Recorded
const version = {
  id: recorded.versionId,
  material: Buffer.from(recorded.material, 'base64'),
  creationDate: '2026-11-27T00:00:00Z',
}

const options = { deadlineMs: Infinity }
let subject: IbmSubject
let wrapper: KeyWrapper

beforeEach(async () => {
  subject = await IbmSubject.start()
  subject.fake.addKey({ id: recorded.rootKeyId, versions: [version] })
  wrapper = subject.open({ keyId: recorded.rootKeyId })
})
afterEach(async () => subject.close())

const open = async (text: string, by = wrapper) =>
  by.decryptNative!({ bytes: Buffer.from(text, 'latin1') }, options)

describe('is refused, and never as a fault of the service:', () => {
  test('any altered letter', async () => {
    const { wrappedDek } = recorded
    for (let at = 0; at < wrappedDek.length; at += 5) {
      const altered =
        wrappedDek.slice(0, at) + (wrappedDek[at] === 'A' ? 'Q' : 'A') + wrappedDek.slice(at + 1)
      expect(await outcomeOf(open(altered)), String(at)).toBe('ERR_DECRYPTION_FAILED')
    }
  })

  test.each(['', 'a b', 'é', 'a\n', 'A'.repeat(4097)])(
    'what the service cannot have answered (%j), before it is sent',
    async (text) => {
      expect(await outcomeOf(open(text))).toBe('ERR_DECRYPTION_FAILED')
      expect(subject.fake.kmsRequests).toEqual([])
    },
  )

  test('what another root key has wrapped', async () => {
    expect(await outcomeOf(open(recorded.wrappedDek, subject.open()))).toBe('ERR_DECRYPTION_FAILED')
  })
})

describe('is opened:', () => {
  test('the DEK of the plug-in, from the text as it was answered, also after a rotation of the root key', async () => {
    for (const rotations of [0, 1]) {
      const key = subject.fake.addKey({ versions: [version] })
      if (rotations > 0) key.versions.push({ ...version, id: 'b1f0d1a0-0000-4000-8000-000000000000' })
      const opened = await open(recorded.wrappedDek, subject.open({ keyId: key.id }))
      expect(Buffer.from(opened).toString('base64')).toBe(recorded.dek)
      const { body } = subject.fake.kmsRequests.at(-1)!
      expect(JSON.parse(body.toString())).toEqual({ ciphertext: recorded.wrappedDek })
    }
  })

  test('without the additional data of the settings, which that plug-in never sends', async () => {
    const bound = subject.open({ keyId: recorded.rootKeyId, aad: ['ours'] })
    expect(await outcomeOf(open(recorded.wrappedDek, bound))).toBe('OK')
  })

  test('bytes of any length: the format says what they must be', async () => {
    const text = seal(version, Buffer.alloc(5, 7), [])
    expect(Buffer.from(await open(text))).toEqual(Buffer.alloc(5, 7))
  })

  test('on the KMS of IBM Cloud Private, which knows the older addresses only', async () => {
    subject.fake.speaksOlderApi = true
    expect(await outcomeOf(open(recorded.wrappedDek))).toBe('OK')
  })
})
