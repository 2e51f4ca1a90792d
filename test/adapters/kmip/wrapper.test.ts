/** What the wrapper does with servers of every version, habit and state. The server is a fake; see pykmip.test.ts. */
import { createCipheriv, randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ringKey } from '../../../src/domain/keys.js'
import { kekPart } from '../../../src/ports/key_id.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { RecordingMetrics } from '../../doubles/recording_metrics.js'
import { OPERATIONS, type Habits } from '../../support/fakes/kmip.js'
import { at } from '../../support/fakes/kmip_codec.js'
import { clock, failureOf, GUARD_MS, Scene, within } from './scene.js'

const policy = {
  maxRetries: 0,
  callTimeoutMs: 20_000,
  totalTimeoutMs: 20_000,
  initialDelayMs: 1,
  maxDelayMs: 1,
}

let scene: Scene

beforeEach(async () => {
  scene = await Scene.start()
})

afterEach(async () => scene.close())

/** A server with these habits in the place of the good one. */
function habits(change: Habits): void {
  scene.fake.habits = change
}

describe('the way to wrap', () => {
  test.each([
    ['1.4', { versions: ['1.4', '1.3'] }, 1],
    ['2.0 alone', { versions: ['2.0'] }, 1],
    ['2.1 and 2.0', { versions: ['2.1', '2.0'] }, 1],
    ['1.4 before 2.1', { versions: ['2.1', '2.0', '1.4', '1.3'] }, 1],
    ['1.3 with the tag behind the data', { versions: ['1.3'], appendsTag: true }, 2],
    ['1.2 with the tag behind the data', { versions: ['1.2', '1.1', '1.0'], appendsTag: true }, 2],
    ['1.3 without a tag, but AES-KWP', { versions: ['1.3'], modes: [9, 12, 13] }, 4],
    ['1.2 without GCM', { versions: ['1.2'], modes: [13] }, 3],
    ['1.4 without GCM', { versions: ['1.4'], modes: [12] }, 4],
    ['no DiscoverVersions', { versions: ['1.3'], appendsTag: true, hasDiscovery: false }, 2],
  ] as const)('fits the server and opens again: %s', async (_name, change, format) => {
    habits(change)
    const wrapped = await scene.roundTrip(scene.open())
    expect(wrapped.bytes[0]).toBe(format)
    expect(Buffer.from(wrapped.bytes).includes(scene.dek)).toBe(false)
  })

  test('at 1.3 without a tag is refused before anything is stored, and the message says why', async () => {
    habits({ versions: ['1.3'] })
    const error = await failureOf(scene.open().wrap(scene.dek, within()))
    expect(error.code).toBe('ERR_KEY_UNUSABLE')
    expect(error.message).toContain('at KMIP 1.3 returns no authentication tag')
  })

  test('at 1.4 without a tag is refused as well', async () => {
    habits({ dropsTag: true })
    const error = await failureOf(scene.open().wrap(scene.dek, within()))
    expect(error.message).toContain('at KMIP 1.4 returns no authentication tag')
  })

  test('sends no DEK while it is chosen', async () => {
    habits({ versions: ['1.3'] })
    await failureOf(scene.open().wrap(scene.dek, within()))
    expect(scene.fake.requests.some(({ message }) => message.includes(scene.dek))).toBe(false)
  })

  test('of a server that ignores the tag is refused', async () => {
    habits({ ignoresTag: true })
    const error = await failureOf(scene.open().wrap(scene.dek, within()))
    expect(error.message).toContain('opens what was altered')
  })

  test('of a server that ignores the associated data is refused', async () => {
    habits({ ignoresAad: true })
    const error = await failureOf(scene.open().wrap(scene.dek, within()))
    expect(error.message).toContain('ignores the associated data')
  })

  test('is chosen once, and again when the server has changed its version', async () => {
    habits({ versions: ['1.3'], appendsTag: true })
    const wrapper = scene.open()
    const old = await scene.roundTrip(wrapper)
    scene.fake.counted()
    await scene.roundTrip(wrapper)
    expect(scene.fake.counted()).toEqual({ [OPERATIONS.encrypt]: 1, [OPERATIONS.decrypt]: 1 })
    habits({ versions: ['1.4', '1.3'], appendsTag: true })
    scene.fake.hangUp()
    scene.fake.counted()
    expect((await failureOf(wrapper.wrap(scene.dek, within()))).code).toBe('ERR_BACKEND_UNAVAILABLE')
    expect(scene.fake.counted()[OPERATIONS.encrypt]).toBeUndefined()
    expect((await scene.roundTrip(wrapper)).bytes[0]).toBe(1)
    expect(Buffer.from(await wrapper.unwrap(old, within())).equals(scene.dek)).toBe(true)
  })

  test('is chosen once for all who wrap at once, and whoever leaves ends it for nobody', async () => {
    const wrapper = scene.open()
    await wrapper.currentKeyId(within())
    scene.fake.counted()
    const leaving = new AbortController()
    const gone = failureOf(wrapper.wrap(scene.dek, { deadlineMs: Infinity, signal: leaving.signal }))
    const calls = Array.from({ length: 16 }, async () => scene.roundTrip(wrapper))
    while (!scene.fake.requests.some(({ operation }) => operation === OPERATIONS.encrypt))
      await clock.sleep(1)
    leaving.abort()
    await Promise.all([gone, ...calls])
    const counts = scene.fake.counted()
    expect([counts[OPERATIONS.query], counts[OPERATIONS.encrypt]]).toEqual([1, 17])
    expect(counts[OPERATIONS.decrypt]).toBe(19)
  })

  test.each([[0x100], [0x2a]])('is not a lesser one because the server failed once: %i', async (reason) => {
    scene.fake.failNext({ reason }, 1, ({ operation }) => operation === OPERATIONS.encrypt)
    expect((await scene.roundTrip(scene.open())).bytes[0]).toBe(1)
  })

  test('of an old DEK is not that of a new one: what 1.4 wrapped is refused with words at 1.3', async () => {
    const wrapped = await scene.roundTrip(scene.open())
    habits({ versions: ['1.3'], appendsTag: true })
    const error = await failureOf(scene.open().unwrap(wrapped, within()))
    expect([error.code, error.message]).toEqual([
      'ERR_UNWRAP_AMBIGUOUS',
      expect.stringContaining('the form of KMIP 1.4'),
    ])
  })

  test('that the first byte of an altered DEK names is no fault of the server: at 1.3 a DEK of 1.4 is bad data', async () => {
    habits({ versions: ['1.3'], appendsTag: true })
    const held = ringKey('kek', scene.open(), policy, clock, new RecordingMetrics()).wrapper
    const wrapped = await held.wrap(scene.dek, within())
    await held.unwrap(wrapped, within())
    const bytes = Buffer.from(wrapped.bytes)
    bytes.writeUInt8(1, 0)
    expect((await failureOf(held.unwrap({ ...wrapped, bytes }, within()))).code).toBe('ERR_DECRYPTION_FAILED')
  })

  test('binds the DEK to the name of its KEK', async () => {
    const wrapper = scene.open()
    const wrapped = await scene.roundTrip(wrapper)
    const iv = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', scene.key.material, iv)
    const bare = Buffer.concat([
      Buffer.of(1),
      iv,
      cipher.update(scene.dek),
      cipher.final(),
      cipher.getAuthTag(),
    ])
    expect((await failureOf(wrapper.unwrap({ ...wrapped, bytes: bare }, within()))).code).toBe(
      'ERR_DECRYPTION_FAILED',
    )
  })

  test('uses an IV of 12 random bytes of ours, another each time', async () => {
    const wrapper = scene.open()
    const ivs = new Set<string>()
    for (let i = 0; i < 8; i += 1)
      ivs.add(Buffer.from((await scene.roundTrip(wrapper)).bytes.subarray(1, 13)).toString('hex'))
    expect(ivs.size).toBe(8)
  })
})

describe('versions', () => {
  test.each([[['1.1', '1.0']], [['1.0']]])(
    'a server of %j is refused with its versions named',
    async (versions) => {
      habits({ versions })
      const error = await failureOf(scene.open().currentKeyId(within()))
      expect(error.code).toBe('ERR_CONFIG_INVALID')
      expect(error.message).toContain('1.2')
    },
  )

  test('a server that reads no 1.1 is asked in the others', async () => {
    habits({ versions: ['1.4'] })
    await scene.roundTrip(scene.open())
    habits({ versions: ['2.0'] })
    await scene.roundTrip(scene.open())
  })
})

describe('the key id', () => {
  test('is the same over another address, and another on another server with the same small identifier', async () => {
    const id = await scene.open().currentKeyId(within())
    expect(await scene.open({ address: `localhost:${scene.fake.port}` }).currentKeyId(within())).toBe(id)
    const other = await Scene.start()
    other.key.initialDate = 1
    try {
      expect(other.key.uid).toBe(scene.key.uid)
      expect(kekPart(await other.open().currentKeyId(within()))).not.toBe(kekPart(id))
    } finally {
      await other.close()
    }
  })

  test('does not move when somebody edits the name, and moves with a label that names another key', async () => {
    const wrapper = scene.open({ keyLabel: 'kek-1' })
    const before = await wrapper.currentKeyId(within())
    expect(before).toBe(await scene.open().currentKeyId(within()))
    const wrapped = await scene.roundTrip(wrapper)
    scene.key.name = 'old'
    scene.fake.addKey({ name: 'kek-1' })
    const after = await wrapper.currentKeyId(within())
    expect(kekPart(after)).not.toBe(kekPart(before))
    expect(scene.logger.texts('warn').join()).toContain('the label names another key')
    scene.fake.counted()
    expect((await failureOf(wrapper.unwrap(wrapped, within()))).code).toBe('ERR_KEY_UNKNOWN')
    expect(scene.fake.counted()).toEqual({})
    expect(Buffer.from(await scene.open().unwrap(wrapped, within())).equals(scene.dek)).toBe(true)
  })

  test('of a time when the server told no Initial Date is still opened', async () => {
    scene.key.initialDate = undefined
    const wrapped = await scene.roundTrip(scene.open())
    scene.key.initialDate = 1_700_000_000
    const wrapper = scene.open()
    expect(await wrapper.currentKeyId(within())).not.toBe(wrapped.keyId)
    expect(wrapper.recognizes(wrapped.keyId)).toBe('yes')
    expect(Buffer.from(await wrapper.unwrap(wrapped, within())).equals(scene.dek)).toBe(true)
  })

  test('stays while the server does not tell the Initial Date that it told before', async () => {
    const wrapper = scene.open()
    const keyId = await wrapper.currentKeyId(within())
    scene.key.initialDate = undefined
    expect(await wrapper.currentKeyId(within())).toBe(keyId)
  })

  test('of a time when the server told the Initial Date is opened after a start at which it does not', async () => {
    const wrapped = await scene.roundTrip(scene.open())
    scene.key.initialDate = undefined
    const other = scene.open({ keyId: scene.fake.addKey({ initialDate: undefined }).uid })
    const wrapper = scene.open()
    await Promise.all([wrapper, other].map(async (one) => one.currentKeyId(within())))
    expect(wrapper.recognizes(wrapped.keyId)).toBe('unknown')
    expect(Buffer.from(await wrapper.unwrap(wrapped, within())).equals(scene.dek)).toBe(true)
    for (const badTagReason of [0x0a, 0x100]) {
      habits({ badTagReason })
      expect((await failureOf(other.unwrap(wrapped, within()))).code).toBe('ERR_KEY_UNKNOWN')
    }
  })

  test('of another version is unknown before any bytes go anywhere', async () => {
    const wrapper = scene.open()
    const wrapped = await scene.roundTrip(wrapper)
    const keyId = `${kekPart(wrapped.keyId)}.${'b'.repeat(26)}` as typeof wrapped.keyId
    scene.fake.counted()
    expect((await failureOf(wrapper.unwrap({ ...wrapped, keyId }, within()))).code).toBe('ERR_KEY_UNKNOWN')
    expect(scene.fake.counted()).toEqual({})
  })
})

describe('the label', () => {
  test.each([
    ['nobody has', async () => Promise.resolve({ keyLabel: 'kek-2' }), 'ERR_KEY_NOT_FOUND', 'no key has'],
    [
      'two Active keys have',
      async () => {
        scene.fake.addKey({ name: 'kek-1' })
        return Promise.resolve({ keyLabel: 'kek-1' })
      },
      'ERR_KEY_UNUSABLE',
      '1, 2',
    ],
    [
      'a pre-active key has',
      async () => {
        scene.key.state = 1
        return Promise.resolve({ keyLabel: 'kek-1' })
      },
      'ERR_KEY_DISABLED',
      'activate it',
    ],
    [
      'a deactivated key has',
      async () => {
        scene.key.state = 3
        return Promise.resolve({ keyLabel: 'kek-1' })
      },
      'ERR_KEY_DISABLED',
      'deactivated',
    ],
  ] as const)('that %s is refused', async (_name, setting, code, text) => {
    const error = await failureOf(scene.open(await setting()).currentKeyId(within()))
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(text)])
  })

  test('that retired keys have too names the Active one', async () => {
    scene.key.state = 3
    const active = scene.fake.addKey({ name: 'kek-1' })
    const id = await scene.open({ keyLabel: 'kek-1' }).currentKeyId(within())
    expect(id).toBe(await scene.open({ keyId: active.uid }).currentKeyId(within()))
  })

  test.each([['Name'], ['State'], ['Object Type']])(
    'is looked at itself when the server passes over the filter %s',
    async (filter) => {
      habits({ ignoresFilters: [filter] })
      scene.key.state = 3
      scene.fake.addKey({ name: 'kek-10' })
      const active = scene.fake.addKey({ name: 'kek-1' })
      const id = await scene.open({ keyLabel: 'kek-1' }).currentKeyId(within())
      expect(id).toBe(await scene.open({ keyId: active.uid }).currentKeyId(within()))
    },
  )

  test('that more keys have than anybody looks at is refused', async () => {
    for (let i = 0; i < 40; i += 1) scene.fake.addKey({ name: 'kek-1' })
    const error = await failureOf(scene.open({ keyLabel: 'kek-1' }).currentKeyId(within()))
    expect(error.code).toBe('ERR_KEY_UNUSABLE')
  })

  test.each(['1.4', '2.0'])('is found at %s', async (version) => {
    habits({ versions: [version] })
    await scene.roundTrip(scene.open({ keyLabel: 'kek-1' }))
  })

  test('is not lost with another key of that name which goes while it is looked at', async () => {
    const gone = scene.fake.addKey({ name: 'kek-1' })
    scene.fake.fault = ({ operation, payload }) =>
      operation === OPERATIONS.getAttributes && at(payload, 0x420094) === gone.uid ? { reason: 1 } : undefined
    const id = await scene.open({ keyLabel: 'kek-1' }).currentKeyId(within())
    expect(id).toBe(await scene.open().currentKeyId(within()))
  })

  test.each(['\u001b[2Jok', 'a\nb', '', 'x'.repeat(100_000)])(
    'found on a key whose identifier is no line is refused, and no message has it: %#',
    async (uid) => {
      scene.fake.addKey({ name: 'kek-1', uid })
      const error = await failureOf(scene.open({ keyLabel: 'kek-1' }).currentKeyId(within()))
      expect(error.code).toBe('ERR_BACKEND_RESPONSE')
      expect(error.message).toMatch(/^[\x20-\x7e]{1,200}$/)
    },
  )

  test('is looked up again after its key has gone', async () => {
    const wrapper = scene.open({ keyLabel: 'kek-1' })
    await scene.roundTrip(wrapper)
    scene.fake.keys.delete(scene.key.uid)
    scene.fake.keys.set('9', { ...scene.key, uid: '9' })
    expect((await failureOf(wrapper.wrap(scene.dek, within()))).code).toBe('ERR_KEY_NOT_FOUND')
    await scene.roundTrip(wrapper)
  })
})

describe('the key', () => {
  test.each([
    ['pre-active', { state: 1 }, 'ERR_KEY_DISABLED', 'activate it'],
    ['deactivated', { state: 3 }, 'ERR_KEY_DISABLED', 'deactivated'],
    ['compromised', { state: 4 }, 'ERR_KEY_DISABLED', 'compromised'],
    ['destroyed', { state: 5 }, 'ERR_KEY_NOT_FOUND', 'destroyed'],
    ['of 128 bits', { bits: 128 }, 'ERR_KEY_UNUSABLE', '128 bits'],
    ['no AES key', { algorithm: 2 }, 'ERR_KEY_UNUSABLE', 'no AES key'],
    ['not to encrypt', { mask: 8 }, 'ERR_KEY_UNUSABLE', 'may not Encrypt'],
    ['not to decrypt', { mask: 4 }, 'ERR_KEY_UNUSABLE', 'may not Decrypt'],
    ['forbidden to us', { isForbidden: true }, 'ERR_ACCESS_DENIED', 'grant'],
  ] as const)('that is %s is told apart by the probe', async (_name, change, code, text) => {
    Object.assign(scene.key, change)
    const error = await failureOf(scene.open().currentKeyId(within()))
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(text)])
  })

  test.each([
    ['deactivated', { state: 3 }, 'ERR_KEY_DISABLED'],
    ['compromised', { state: 4 }, 'ERR_KEY_DISABLED'],
    ['not to decrypt', { mask: 4 }, 'ERR_KEY_UNUSABLE'],
    ['forbidden to us', { isForbidden: true }, 'ERR_ACCESS_DENIED'],
  ] as const)(
    'that has become %s is told apart where the server only says PermissionDenied',
    async (_name, change, code) => {
      const wrapper = scene.open()
      const wrapped = await scene.roundTrip(wrapper)
      Object.assign(scene.key, change)
      expect((await failureOf(wrapper.unwrap(wrapped, within()))).code).toBe(code)
    },
  )

  test('that is deactivated opens old values where the server lets it', async () => {
    const wrapped = await scene.roundTrip(scene.open())
    scene.key.state = 3
    habits({ deactivatedOpens: true })
    const wrapper = scene.open()
    expect(Buffer.from(await wrapper.unwrap(wrapped, within())).equals(scene.dek)).toBe(true)
    expect((await failureOf(wrapper.currentKeyId(within()))).code).toBe('ERR_KEY_DISABLED')
  })

  test.each([
    ['deactivated', { state: 3 }, 'OK'],
    ['compromised', { state: 4 }, 'OK'],
    ['not to encrypt any more', { mask: 8 }, 'OK'],
    ['pre-active', { state: 1 }, 'ERR_KEY_DISABLED'],
    ['destroyed', { state: 5 }, 'ERR_KEY_NOT_FOUND'],
    ['not to decrypt', { mask: 4 }, 'ERR_KEY_UNUSABLE'],
  ] as const)('that only opens and is %s: %j is what check makes of it', async (_name, change, outcome) => {
    Object.assign(scene.key, change)
    expect(await outcomeOf(scene.open({}, GUARD_MS, false).currentKeyId(within()))).toBe(outcome)
  })

  test('that is not there is not found', async () => {
    expect((await failureOf(scene.open({ keyId: '99' }).currentKeyId(within()))).code).toBe(
      'ERR_KEY_NOT_FOUND',
    )
  })

  test('that stops by itself within a month is warned of, once', async () => {
    scene.key.deactivationDate = Math.floor(Date.now() / 1000) + 86_400
    const wrapper = scene.open()
    await wrapper.currentKeyId(within())
    await wrapper.currentKeyId(within())
    const warnings = scene.logger.texts('warn')
    expect(warnings).toEqual([expect.stringContaining('it is deactivated from')])
  })

  test('that stops by itself in a year is not warned of', async () => {
    scene.key.deactivationDate = Math.floor(Date.now() / 1000) + 365 * 86_400
    await scene.open().currentKeyId(within())
    expect(scene.logger.texts('warn')).toEqual([])
  })

  test('is never fetched', async () => {
    const wrapper = scene.open({ keyLabel: 'kek-1' })
    await wrapper.currentKeyId(within())
    await scene.roundTrip(wrapper)
    scene.key.state = 3
    await failureOf(wrapper.wrap(scene.dek, within()))
    const asked = Object.keys(scene.fake.counted()).map(Number)
    const allowed: number[] = [8, 11, 24, 30, 31, 32]
    expect(asked.every((operation) => allowed.includes(operation))).toBe(true)
    expect(asked).not.toContain(OPERATIONS.get)
  })
})

describe('a wrapped DEK that was altered', () => {
  test('is bad data where the server says CryptographicFailure, and open to question where it says GeneralFailure', async () => {
    const wrapper = scene.open()
    const wrapped = await scene.roundTrip(wrapper)
    const bytes = Buffer.from(wrapped.bytes)
    bytes.writeUInt8(bytes.readUInt8(40) ^ 1, 40)
    expect((await failureOf(wrapper.unwrap({ ...wrapped, bytes }, within()))).code).toBe(
      'ERR_DECRYPTION_FAILED',
    )
    habits({ badTagReason: 0x100 })
    expect((await failureOf(wrapper.unwrap({ ...wrapped, bytes }, within()))).code).toBe(
      'ERR_UNWRAP_AMBIGUOUS',
    )
  })

  test.each([0, 1, 12, 15, 16, 60, 62, 640])('to %i bytes costs no call and harms nobody', async (length) => {
    const wrapper = scene.open()
    const wrapped = await scene.roundTrip(wrapper)
    scene.fake.counted()
    const bytes = Buffer.alloc(length, 1)
    expect((await failureOf(wrapper.unwrap({ ...wrapped, bytes }, within()))).code).toBe(
      'ERR_DECRYPTION_FAILED',
    )
    expect(scene.fake.counted()).toEqual({})
  })

  test('to hold something else than a DEK is bad data', async () => {
    const wrapper = scene.open()
    const wrapped = await scene.roundTrip(wrapper)
    const iv = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', scene.key.material, iv).setAAD(
      Buffer.from(`kmsplugin/v1 dek ${wrapped.keyId}`),
    )
    const sealed = Buffer.concat([cipher.update(randomBytes(32)), cipher.final(), cipher.getAuthTag()])
    // The server opens 16 of the 32 bytes.
    scene.fake.failNext(
      { bytes: (answer) => withData(answer, randomBytes(16)) },
      1,
      ({ operation }) => operation === OPERATIONS.decrypt,
    )
    const bytes = Buffer.concat([Buffer.of(1), iv, sealed])
    expect((await failureOf(wrapper.unwrap({ ...wrapped, bytes }, within()))).code).toBe(
      'ERR_DECRYPTION_FAILED',
    )
  })
})

/** The answer to Decrypt with other data of 16 bytes in the place of the 32 at its end. */
function withData(answer: Buffer, data: Buffer): Buffer {
  const shorter = Buffer.concat([answer.subarray(0, -32), data])
  const fix = (at: number, less: number) => shorter.writeUInt32BE(shorter.readUInt32BE(at) - less, at)
  fix(4, 16)
  shorter.writeUInt32BE(16, answer.length - 32 - 4)
  for (const tag of [0x42000f, 0x42007c]) {
    const found = shorter.indexOf(Buffer.from([tag >> 16, (tag >> 8) & 255, tag & 255, 1]))
    fix(found + 4, 16)
  }
  return shorter
}

describe('the server', () => {
  test('that offers no Encrypt to us is refused with words', async () => {
    habits({ offers: [8, 10, 11] })
    const error = await failureOf(scene.open().wrap(scene.dek, within()))
    expect([error.code, error.message]).toEqual([
      'ERR_CONFIG_INVALID',
      expect.stringContaining('offers no Encrypt'),
    ])
  })

  test.each([
    [0x01, 'ERR_KEY_NOT_FOUND', 'ERR_KEY_NOT_FOUND'],
    [0x03, 'ERR_LOGIN_REFUSED', 'ERR_LOGIN_REFUSED'],
    [0x04, 'ERR_BACKEND_RESPONSE', 'ERR_BACKEND_RESPONSE'],
    [0x05, 'ERR_CONFIG_INVALID', 'ERR_CONFIG_INVALID'],
    [0x07, 'ERR_KEY_UNUSABLE', 'ERR_UNWRAP_AMBIGUOUS'],
    [0x08, 'ERR_CONFIG_INVALID', 'ERR_UNWRAP_AMBIGUOUS'],
    [0x09, 'ERR_BACKEND_UNAVAILABLE', 'ERR_BACKEND_UNAVAILABLE'],
    [0x0a, 'ERR_KEY_UNUSABLE', 'ERR_DECRYPTION_FAILED'],
    [0x0b, 'ERR_KEY_UNUSABLE', 'ERR_KEY_UNUSABLE'],
    [0x0c, 'ERR_ACCESS_DENIED', 'ERR_ACCESS_DENIED'],
    [0x0d, 'ERR_KEY_DISABLED', 'ERR_KEY_DISABLED'],
    [0x2a, 'ERR_BACKEND_UNAVAILABLE', 'ERR_BACKEND_UNAVAILABLE'],
    [0x36, 'ERR_KEY_NOT_FOUND', 'ERR_KEY_NOT_FOUND'],
    [0x39, 'ERR_ACCESS_DENIED', 'ERR_ACCESS_DENIED'],
    [0x3a, 'ERR_BACKEND_THROTTLED', 'ERR_BACKEND_THROTTLED'],
    [0x43, 'ERR_KEY_DISABLED', 'ERR_KEY_DISABLED'],
    [0x44, 'ERR_BACKEND_UNAVAILABLE', 'ERR_BACKEND_UNAVAILABLE'],
    [0x100, 'ERR_BACKEND_UNAVAILABLE', 'ERR_UNWRAP_AMBIGUOUS'],
    [0x7777, 'ERR_BACKEND_RESPONSE', 'ERR_UNWRAP_AMBIGUOUS'],
    [-1, 'ERR_CONFIG_INVALID', 'ERR_CONFIG_INVALID'],
  ] as const)('that refuses with reason %i is understood', async (reason, onEncrypt, onDecrypt) => {
    const wrapper = scene.open()
    const wrapped = await scene.roundTrip(wrapper)
    const isCipher = ({ operation }: { operation: number }) => operation >= OPERATIONS.encrypt
    const message = `${scene.dek.toString('hex')} is a secret`
    scene.fake.failNext({ reason, message }, Infinity, isCipher)
    const sealing = await failureOf(wrapper.wrap(scene.dek, within()))
    const opening = await failureOf(wrapper.unwrap(wrapped, within()))
    expect([sealing.code, opening.code]).toEqual([onEncrypt, onDecrypt])
    expect(`${sealing.message} ${opening.message}`).not.toContain('secret')
  })

  test('is quoted in one line of ASCII where no DEK was sent', async () => {
    scene.fake.failNext({ reason: 1, message: 'no\nsuch\u001b[31m key' }, Infinity)
    const { message } = await failureOf(scene.open().currentKeyId(within()))
    expect(message).toContain('"no such [31m key"')
    expect(message).toMatch(/^[\x20-\x7e]+$/)
  })
})
