/** What a call of the port costs the server, and the defects of OVHcloud's own plugin that this backend has not. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { OPERATIONS } from '../../support/fakes/kmip.js'
import { failureOf, Scene, within } from './scene.js'

let scene: Scene

beforeEach(async () => {
  scene = await Scene.start()
})

afterEach(async () => scene.close())

describe('what it costs', () => {
  test('to start: a greeting, the key, and one self-test', async () => {
    const wrapper = scene.open()
    await wrapper.currentKeyId(within())
    expect(scene.fake.counted()).toEqual({ [OPERATIONS.discover]: 1, [OPERATIONS.getAttributes]: 1 })
    await wrapper.wrap(scene.dek, within())
    expect(scene.fake.counted()).toEqual({
      [OPERATIONS.query]: 1,
      [OPERATIONS.encrypt]: 2,
      [OPERATIONS.decrypt]: 3,
    })
  })

  test.each([
    ['keyId', { [OPERATIONS.getAttributes]: 1 }],
    ['keyLabel', { [OPERATIONS.locate]: 1, [OPERATIONS.getAttributes]: 1 }],
  ] as const)(
    'afterwards: one call to wrap, one to unwrap, and the key looked at by %s',
    async (by, look) => {
      const wrapper = scene.open(by === 'keyLabel' ? { keyLabel: 'kek-1' } : {})
      const wrapped = await wrapper.wrap(scene.dek, within())
      scene.fake.counted()
      await wrapper.wrap(scene.dek, within())
      expect(scene.fake.counted()).toEqual({ [OPERATIONS.encrypt]: 1 })
      await wrapper.unwrap(wrapped, within())
      expect(scene.fake.counted()).toEqual({ [OPERATIONS.decrypt]: 1 })
      await wrapper.currentKeyId(within())
      expect(scene.fake.counted()).toEqual(look)
      expect(scene.fake.connections).toBe(1)
    },
  )

  test('a plugin that only opens: no self-test and no query', async () => {
    const wrapped = await scene.roundTrip(scene.open())
    scene.fake.counted()
    await scene.open().unwrap(wrapped, within())
    expect(scene.fake.counted()).toEqual({
      [OPERATIONS.discover]: 1,
      [OPERATIONS.getAttributes]: 1,
      [OPERATIONS.decrypt]: 1,
    })
  })
})

describe('not as okms-k8s-encryption-provider', () => {
  test('the probe fetches no key and looks at its state', async () => {
    const wrapper = scene.open()
    await wrapper.currentKeyId(within())
    expect(scene.fake.counted()[OPERATIONS.get]).toBeUndefined()
    scene.key.state = 3
    expect((await failureOf(wrapper.currentKeyId(within()))).code).toBe('ERR_KEY_DISABLED')
  })

  test('of several keys with the label none is taken because it comes first', async () => {
    scene.fake.addKey({ name: 'kek-1' })
    const error = await failureOf(scene.open({ keyLabel: 'kek-1' }).wrap(scene.dek, within()))
    expect(error.code).toBe('ERR_KEY_UNUSABLE')
  })

  test('a label that no key has is no key, rather than one of zeros', async () => {
    expect((await failureOf(scene.open({ keyLabel: 'none' }).currentKeyId(within()))).code).toBe(
      'ERR_KEY_NOT_FOUND',
    )
  })

  test('fewer than 16 bytes are bad data, and stop nothing', async () => {
    const wrapper = scene.open()
    const wrapped = await scene.roundTrip(wrapper)
    for (let length = 0; length < 17; length += 1) {
      const bytes = wrapped.bytes.subarray(0, length)
      expect((await failureOf(wrapper.unwrap({ ...wrapped, bytes }, within()))).code).toBe(
        'ERR_DECRYPTION_FAILED',
      )
    }
    await scene.roundTrip(wrapper)
  })

  test('associated data is sent with each Encrypt and Decrypt', async () => {
    await scene.roundTrip(scene.open())
    const ciphers = scene.fake.requests.filter(({ operation }) => operation >= OPERATIONS.encrypt)
    expect(ciphers.length).toBeGreaterThan(1)
    for (const { message } of ciphers) expect(message.includes(Buffer.from('4200fe08', 'hex'))).toBe(true)
  })

  test('nothing is stored that KMIP 1.3 gave no tag for', async () => {
    scene.fake.habits = { versions: ['1.3'] }
    expect((await failureOf(scene.open().wrap(scene.dek, within()))).code).toBe('ERR_KEY_UNUSABLE')
  })

  test('a server that does not answer the handshake ends the call in time', async () => {
    scene.fake.faultsGreetings = true
    scene.fake.failNext('stall', Infinity)
    expect((await failureOf(scene.open({}, 300).currentKeyId(within()))).code).toBe('ERR_DEADLINE_EXCEEDED')
  })

  test('a DEK opens under the key id that it was wrapped under, and no other', async () => {
    const other = scene.fake.addKey({ material: scene.key.material })
    const wrapped = await scene.roundTrip(scene.open())
    const wrapper = scene.open({ keyId: other.uid })
    const keyId = await wrapper.currentKeyId(within())
    scene.fake.counted()
    expect((await failureOf(wrapper.unwrap(wrapped, within()))).code).toBe('ERR_KEY_UNKNOWN')
    expect(scene.fake.counted()).toEqual({})
    // Even where both keys are the same bytes: the key id is associated data.
    expect((await failureOf(wrapper.unwrap({ ...wrapped, keyId }, within()))).code).toBe(
      'ERR_DECRYPTION_FAILED',
    )
  })
})
