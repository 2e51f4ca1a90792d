/** What OVHcloud KMS opens that its own plugin had it encrypt by REST: recorded from that plugin. */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { KeyWrapper } from '../../../src/ports/key_wrapper.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { byLabel, OkmsSubject } from '../../support/okms_subject.js'

interface Recorded {
  readonly key: { readonly keys: readonly { readonly id: string; readonly material: string }[] }
  readonly values: readonly {
    readonly ciphertext: string
    readonly plaintext: string
    readonly note: string
  }[]
}

const { key, values } = JSON.parse(
  readFileSync(new URL('../../vectors/foreign/okms-rest.json', import.meta.url), 'utf8'),
) as Recorded
const [recorded] = key.keys as [Recorded['key']['keys'][number]]
const [first] = values as [Recorded['values'][number]]
const bytesOf = (text: string): Buffer => Buffer.from(text, 'base64')

const options = { deadlineMs: Infinity }
let subject: OkmsSubject
let wrapper: KeyWrapper

beforeEach(async () => {
  subject = await OkmsSubject.start()
  subject.fake.addKey({ id: recorded.id, material: bytesOf(recorded.material), name: 'old' })
  wrapper = subject.open()
})
afterEach(async () => subject.close())

const open = async (bytes: Uint8Array, keyName = recorded.id, by = wrapper) =>
  by.decryptNative!({ bytes, keyName }, options)

describe('is refused, and never as a fault of the service:', () => {
  test('any altered letter', async () => {
    const text = bytesOf(first.ciphertext).toString()
    // Each place in the one text, two letters on.
    for (let at = 0; at < text.length; at += 7) {
      const letter = text[at] === 'A' ? 'Q' : 'A'
      const altered = Buffer.from(text.slice(0, at) + letter + text.slice(at + 1))
      expect(await outcomeOf(open(altered)), String(at)).toBe('ERR_DECRYPTION_FAILED')
    }
  })

  test.each([
    '',
    'eyJ',
    'a.b.c',
    'a..c.d',
    'a..c.d.e.f',
    '.b.c.d.e',
    'a.b.c.d.é',
    `a.b.c.${'d'.repeat(6000)}.e`,
  ])('what has not the form of a JWE (%j), before it is sent', async (text) => {
    expect(await outcomeOf(open(Buffer.from(text)))).toBe('ERR_DECRYPTION_FAILED')
    expect(subject.fake.server.requests).toEqual([])
  })

  test('another key of the domain', async () => {
    expect(await outcomeOf(open(bytesOf(first.ciphertext), subject.key.id))).toBe('ERR_DECRYPTION_FAILED')
  })

  test('a key that the domain has not, in words that name it', async () => {
    const id = randomUUID()
    const call = open(bytesOf(first.ciphertext), id)
    await expect(call).rejects.toMatchObject({ code: 'ERR_KEY_UNKNOWN' })
    await expect(call).rejects.toThrow(`the value needs service key ${id}`)
  })

  test.each(['', 'kubernetes', '../servicekey'])(
    'a key named by no UUID (%j), before it is sent',
    async (name) => {
      expect(await outcomeOf(open(bytesOf(first.ciphertext), name))).toBe('ERR_KEY_UNKNOWN')
      expect(subject.fake.server.requests).toEqual([])
    },
  )

  test('a key that is deactivated, in those words; the key of the settings stays in use', async () => {
    const labelled = subject.open(byLabel())
    await labelled.currentKeyId(options)
    subject.fake.keys.find(({ id }) => id === recorded.id)!.state = 'deactivated'
    expect(await outcomeOf(open(bytesOf(first.ciphertext), recorded.id, labelled))).toBe('ERR_KEY_DISABLED')
    subject.fake.server.requests.splice(0)
    await labelled.wrap(Buffer.alloc(32), options)
    expect(subject.fake.server.requests).toHaveLength(1)
  })
})

describe('is opened:', () => {
  test('what OVHcloud’s plugin made with any form of key id, in both forms of JWE', async () => {
    expect(values.length).toBeGreaterThan(8)
    for (const { ciphertext, plaintext, note } of values) {
      const opened = await open(bytesOf(ciphertext))
      expect(Buffer.from(opened).toString('base64'), note).toBe(plaintext)
    }
  })

  test('with the key of the settings where the value names none', async () => {
    const bound = subject.open({ keyId: recorded.id })
    const opened = await bound.decryptNative!({ bytes: bytesOf(first.ciphertext) }, options)
    expect(Buffer.from(opened).toString('base64')).toBe(first.plaintext)
  })

  test('without the key material, which no question asks for', async () => {
    await wrapper.currentKeyId(options)
    await open(bytesOf(first.ciphertext))
    await outcomeOf(open(Buffer.from('e.e.e.e.e')))
    const looks = subject.fake.server.requests.filter(({ method }) => method === 'GET')
    expect(looks).toHaveLength(2)
    // `?format=jwk` would have the service hand it out.
    for (const { url } of looks) expect(url.search).toBe('')
  })

  test('without the context of the settings, which that plugin never sends', async () => {
    const bound = subject.open({ context: 'ours' })
    expect(await outcomeOf(open(bytesOf(first.ciphertext), recorded.id, bound))).toBe('OK')
    const { body } = subject.fake.server.requests.at(-1)!
    expect(Object.keys(JSON.parse(body.toString()) as object)).toEqual(['ciphertext'])
  })
})
