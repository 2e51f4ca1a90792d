/** What a KMIP server opens that another program had it encrypt: recorded from OVHcloud's own plugin. */
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NativeCiphertext } from '../../../src/ports/foreign.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { OPERATIONS } from '../../support/fakes/kmip.js'
import { failureOf, Scene, within } from './scene.js'

interface Recorded {
  readonly key: { readonly servers: readonly { readonly uid: string; readonly material: string }[] }
  readonly values: readonly {
    readonly ciphertext: string
    readonly keyId: string
    readonly annotations: Readonly<Record<string, string>>
    readonly plaintext: string
    readonly note: string
  }[]
}

const { key, values } = JSON.parse(
  readFileSync(new URL('../../vectors/foreign/okms-kmip.json', import.meta.url), 'utf8'),
) as Recorded

const bytesOf = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'base64')

function native(value: Recorded['values'][number]): NativeCiphertext & { readonly keyName: string } {
  const whole = bytesOf(value.ciphertext)
  return {
    bytes: whole.subarray(0, -16),
    tag: whole.subarray(-16),
    iv: bytesOf(value.annotations['iv.okms.ovh.com']),
    keyName: value.keyId,
  }
}

let scene: Scene
beforeEach(async () => {
  scene = await Scene.start({ appendsTag: true })
  for (const { uid, material } of key.servers) scene.fake.addKey({ uid, material: bytesOf(material) })
})
afterEach(async () => scene.close())

const only = (version: string) => Object.assign(scene.fake.habits, { versions: [version] })
const [first] = values as [Recorded['values'][number]]

describe('is refused, and never as a fault of the server:', () => {
  test.each(['1.4', '1.3', '1.2'])('any altered byte, at KMIP %s', async (version) => {
    only(version)
    const wrapper = scene.open()
    const good = native(first)
    for (const part of ['bytes', 'tag', 'iv'] as const) {
      for (let at = 0; at < good[part]!.length; at += 1) {
        const altered = Buffer.from(good[part]!)
        altered[at]! ^= 1
        const outcome = await outcomeOf(wrapper.decryptNative({ ...good, [part]: altered }, within()))
        expect(outcome, `${part} ${at}`).toBe('ERR_DECRYPTION_FAILED')
      }
    }
  })

  test.each([
    ['a tag of 15 bytes', { tag: Buffer.alloc(15) }],
    ['a tag of 4 bytes', { tag: Buffer.alloc(4) }],
    ['no tag', { tag: undefined }],
    ['an IV of 16 bytes', { iv: Buffer.alloc(16) }],
    ['no IV', { iv: undefined }],
  ])('%s, before anything is sent', async (_, change) => {
    const wrapper = scene.open()
    await wrapper.currentKeyId(within())
    scene.fake.counted()
    const call = wrapper.decryptNative({ ...native(first), ...change } as NativeCiphertext, within())
    expect(await outcomeOf(call)).toBe('ERR_DECRYPTION_FAILED')
    expect(scene.fake.counted()).toEqual({})
  })

  test('another key of the server', async () => {
    const wrapper = scene.open()
    const call = wrapper.decryptNative({ ...native(first), keyName: scene.key.uid }, within())
    expect(await outcomeOf(call)).toBe('ERR_DECRYPTION_FAILED')
  })

  test('a key that the server has not, in words that name it', async () => {
    const wrapper = scene.open()
    const error = await failureOf(wrapper.decryptNative({ ...native(first), keyName: 'gone' }, within()))
    expect(error.code).toBe('ERR_KEY_UNKNOWN')
    expect(error.message).toContain('the value needs the key gone')
  })

  test.each(['', 'a\nb', 'x'.repeat(256)])(
    'a key that can be none (%j), before anything is sent',
    async (keyName) => {
      const wrapper = scene.open()
      expect(await outcomeOf(wrapper.decryptNative({ ...native(first), keyName }, within()))).toBe(
        'ERR_KEY_UNKNOWN',
      )
      expect(scene.fake.counted()).toEqual({})
    },
  )

  test('associated data, where the version has no field for it', async () => {
    only('1.3')
    const call = scene.open().decryptNative({ ...native(first), aad: Buffer.of(1) }, within())
    expect(await outcomeOf(call)).toBe('ERR_CONFIG_INVALID')
  })
})

describe('is opened:', () => {
  // Servers change, values stay: what was made in one version is asked for in another.
  test.each(['1.4', '1.3', '1.2'])(
    'what OVHcloud’s plugin made in any version, at KMIP %s',
    async (version) => {
      only(version)
      const wrapper = scene.open()
      expect(values.length).toBeGreaterThan(9)
      for (const value of values) {
        const opened = await wrapper.decryptNative(native(value), within())
        expect(Buffer.from(opened).toString('base64'), value.note).toBe(value.plaintext)
      }
    },
  )

  test('whatever the case of the key id: servers answer with their own way to write a UUID', async () => {
    const keyName = first.keyId.toUpperCase()
    expect(keyName).not.toBe(first.keyId)
    scene.fake.keys.set(keyName, scene.fake.keys.get(first.keyId)!)
    const wrapper = scene.open({ keyId: keyName })
    const opened = await wrapper.decryptNative({ ...native(first), keyName }, within())
    expect(Buffer.from(opened).toString('base64')).toBe(first.plaintext)
    await scene.roundTrip(wrapper)
  })

  test('with the key of the settings where the value names none', async () => {
    const wrapper = scene.open({ keyId: first.keyId })
    const { bytes, iv, tag } = native(first)
    const opened = await wrapper.decryptNative({ bytes, iv: iv!, tag: tag! }, within())
    expect(Buffer.from(opened).toString('base64')).toBe(first.plaintext)
  })

  test('under a key that is too small to seal with here', async () => {
    scene.fake.keys.get(first.keyId)!.bits = 128
    const opened = await scene.open().decryptNative(native(first), within())
    expect(Buffer.from(opened).toString('base64')).toBe(first.plaintext)
    expect(await outcomeOf(scene.open({ keyId: first.keyId }).currentKeyId(within()))).toBe(
      'ERR_KEY_UNUSABLE',
    )
  })

  test('without the key material, which no operation asks for', async () => {
    const wrapper = scene.open()
    await wrapper.currentKeyId(within())
    await wrapper.decryptNative(native(first), within())
    const asked = scene.fake.counted()
    expect(asked[OPERATIONS.decrypt]).toBe(1)
    expect(Object.keys(asked).map(Number)).not.toContain(OPERATIONS.get)
  })

  test('by a deactivated key where the server lets it; otherwise the refusal says why', async () => {
    const wrapper = scene.open()
    scene.fake.keys.get(first.keyId)!.state = 3
    expect(await outcomeOf(wrapper.decryptNative(native(first), within()))).toBe('ERR_KEY_DISABLED')
    Object.assign(scene.fake.habits, { deactivatedOpens: true })
    expect(await outcomeOf(wrapper.decryptNative(native(first), within()))).toBe('OK')
  })
})
