/** How values that another plugin sealed are found and opened. */
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { KmsError } from '../../src/ports/errors.js'
import type { ForeignDecoder, NativeCiphertext, OpeningPlan } from '../../src/ports/foreign.js'
import { buildProvedCore, type Core, type CoreSettings } from '../doubles/core.js'
import { FaultyKeyWrapper } from '../doubles/faulty_key_wrapper.js'
import { ManualClock, settled } from '../doubles/manual_clock.js'
import { outcomeOf } from '../doubles/outcome.js'
import { nestedFormat, toyFormat } from '../doubles/toy_formats.js'

const OUR_MAGIC = Buffer.from([0x93, 0x4b, 0x4d, 0x53])

async function coreThatDecodes(
  decoders: readonly (readonly ForeignDecoder[])[],
  settings: Partial<CoreSettings> = {},
) {
  const clock = new ManualClock()
  const decryptOnly = decoders.slice(1).map((_, i) => new FaultyKeyWrapper(`old ${i}`, clock))
  return buildProvedCore(settings, { clock, decryptOnly, decoders })
}

async function decrypt(core: Core, ciphertext: Uint8Array, keyId?: string, annotations = {}) {
  const request = { ciphertext, annotations, ...(keyId === undefined ? {} : { keyId }) }
  return core.service.decrypt(request, core.within())
}

const sealedBy = (key: FaultyKeyWrapper, prefix: string, plaintext: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(prefix), key.encryptNative(plaintext)])

describe('a value that no key decodes', () => {
  test('is refused without asking any key, and the error says what to add to the configuration', async () => {
    const core = await buildProvedCore(
      {},
      {
        describeForeign: () => ({ format: 'toy', writtenBy: 'toy-plugin', fields: [] }),
      },
    )
    const calls = core.primary.totalCalls
    const error = await decrypt(core, Buffer.from('toy:x')).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(KmsError)
    expect((error as KmsError).code).toBe('ERR_VALUE_FOREIGN')
    expect((error as KmsError).message).toContain('no key lists toy')
    expect(core.primary.totalCalls).toBe(calls)
    expect(core.metrics.events.foreignDecoded).toEqual([])
  })

  test('and that is of no known format is malformed, as ever', async () => {
    const core = await coreThatDecodes([[toyFormat('toy')]])
    for (const bytes of [Buffer.alloc(0), Buffer.from('toy'), randomBytes(64)]) {
      expect(await outcomeOf(decrypt(core, bytes))).toBe('ERR_MALFORMED_ENVELOPE')
    }
    expect(core.primary.calls.decryptNative).toBe(0)
  })
})

describe('a value of a format that a key decodes', () => {
  test('opens, and each use is counted by format', async () => {
    const core = await coreThatDecodes([[toyFormat('toy')]])
    const value = sealedBy(core.primary, 'toy:', Buffer.from('seed'))
    expect(Buffer.from(await decrypt(core, value)).toString()).toBe('seed')
    expect(Buffer.from(await decrypt(core, value, 'any key id')).toString()).toBe('seed')
    expect(core.metrics.events.foreignDecoded).toEqual([
      ['toy', 'OK'],
      ['toy', 'OK'],
    ])
  })

  test('that was altered is refused, counted, and changes no health', async () => {
    const core = await coreThatDecodes([[toyFormat('toy')]])
    const value = sealedBy(core.primary, 'toy:', Buffer.from('seed'))
    value[20]! ^= 1
    expect(await outcomeOf(decrypt(core, value))).toBe('ERR_DECRYPTION_FAILED')
    expect(core.metrics.events.foreignDecoded).toEqual([['toy', 'ERR_DECRYPTION_FAILED']])
    expect(core.service.status().problem).toBeUndefined()
  })

  test('that is cut is refused before any key is asked', async () => {
    const core = await coreThatDecodes([[toyFormat('toy')]])
    expect(await outcomeOf(decrypt(core, Buffer.from('toy:')))).toBe('ERR_MALFORMED_ENVELOPE')
    expect(core.primary.calls.decryptNative).toBe(0)
  })

  test('is retried, bounded in time and told from bad data as every call to a backend', async () => {
    const core = await coreThatDecodes([[toyFormat('toy')]])
    const value = sealedBy(core.primary, 'toy:', Buffer.from('seed'))
    core.primary.fail('decryptNative', 'ERR_BACKEND_UNREACHABLE', 1)
    const retried = decrypt(core, value)
    await core.clock.advance(100)
    expect(Buffer.from(await retried).toString()).toBe('seed')
    core.primary.hold('decryptNative')
    const hung = outcomeOf(decrypt(core, value))
    await core.clock.advance(3000)
    expect(await hung).toBe('ERR_DEADLINE_EXCEEDED')
  })

  test('that the backend cannot tell from a fault of its own is judged by what is known to open', async () => {
    const core = await coreThatDecodes([[toyFormat('toy')]])
    core.primary.ambiguous = true
    const value = sealedBy(core.primary, 'toy:', Buffer.from('seed'))
    value[20]! ^= 1
    expect(await outcomeOf(decrypt(core, value))).toBe('ERR_DECRYPTION_FAILED')
  })

  test('on a key that only decodes, the last foreign value that opened is the canary', async () => {
    const core = await coreThatDecodes([[], [toyFormat('toy')]])
    const [old] = core.decryptOnly
    old!.ambiguous = true
    const good = sealedBy(old!, 'toy:', Buffer.from('seed'))
    const bad = Buffer.from(good)
    bad[20]! ^= 1
    expect(await outcomeOf(decrypt(core, bad))).toBe('ERR_UNWRAP_AMBIGUOUS')
    await decrypt(core, good)
    expect(await outcomeOf(decrypt(core, bad))).toBe('ERR_DECRYPTION_FAILED')
    expect(old!.calls.decryptNative).toBe(4)
  })

  test('leaves no plaintext behind in a buffer of the backend', async () => {
    const core = await coreThatDecodes([[toyFormat('toy')]])
    await decrypt(core, sealedBy(core.primary, 'toy:', randomBytes(32)))
    expect(core.primary.rawDeks.at(-1)!.every((byte) => byte === 0)).toBe(true)
  })
})

describe('which format a value has', () => {
  test('annotations decide before the key id, and the key id before the first bytes; nothing else is tried', async () => {
    const [byNote, byId, byBytes] = [
      toyFormat('note', { prefix: '', sign: 'annotation' }),
      toyFormat('id', { prefix: '', sign: 'keyId' }),
      toyFormat('bytes', { prefix: 'b' }),
    ]
    const core = await coreThatDecodes([[byBytes, byId, byNote]])
    const value = sealedBy(core.primary, 'b', Buffer.from('seed'))
    const noted = { 'note.example.org': Buffer.of(1) }
    await outcomeOf(decrypt(core, value, 'id', noted))
    await outcomeOf(decrypt(core, value, 'id'))
    await outcomeOf(decrypt(core, value, 'other'))
    const counts = [byNote, byId, byBytes].map(({ plans }) => plans.length)
    expect(counts).toEqual([1, 1, 1])
  })

  test('a value with annotations that nobody knows is not guessed at by its first bytes', async () => {
    const toy = toyFormat('toy')
    const core = await coreThatDecodes([[toy]])
    const value = sealedBy(core.primary, 'toy:', Buffer.from('seed'))
    const outcome = await outcomeOf(decrypt(core, value, 'id', { 'unknown.example.com': Buffer.of(1) }))
    expect(outcome).toBe('ERR_MALFORMED_ENVELOPE')
    expect(toy.plans).toEqual([])
  })

  test('our own values are never given to a decoder, even where a format would take them', async () => {
    const greedy = toyFormat('greedy', { prefix: '' })
    const core = await coreThatDecodes([[greedy]])
    const { ciphertext, keyId } = await core.encrypt(Buffer.from('ours'))
    expect(Buffer.from(await decrypt(core, ciphertext)).toString()).toBe('ours')
    expect(Buffer.from(await decrypt(core, ciphertext, keyId)).toString()).toBe('ours')
    expect(greedy.plans).toEqual([])
  })

  test('a value under a key id of ours is never taken for that of another plugin', async () => {
    const toy = toyFormat('toy')
    const core = await coreThatDecodes([[toy]])
    const { keyId } = await core.encrypt(Buffer.from('ours'))
    const value = sealedBy(core.primary, 'toy:', Buffer.from('seed'))
    expect(await outcomeOf(decrypt(core, value, keyId))).toBe('ERR_MALFORMED_ENVELOPE')
    expect(toy.plans).toEqual([])
  })

  test('our own value opens whatever annotations it is sent back with', async () => {
    const core = await coreThatDecodes([[toyFormat('note', { prefix: '', sign: 'annotation' })]])
    const { ciphertext, keyId } = await core.encrypt(Buffer.from('ours'))
    const opened = await decrypt(core, ciphertext, keyId, { 'other.example.com': Buffer.of(1) })
    expect(Buffer.from(opened).toString()).toBe('ours')
  })

  test('a foreign value that happens to begin with our magic is known by its annotation', async () => {
    const core = await coreThatDecodes([[toyFormat('note', { prefix: 'x'.repeat(4), sign: 'annotation' })]])
    const value = Buffer.concat([OUR_MAGIC, core.primary.encryptNative(Buffer.from('seed'))])
    const opened = await decrypt(core, value, 'id', { 'note.example.org': Buffer.of(1) })
    expect(Buffer.from(opened).toString()).toBe('seed')
  })
})

describe('several keys with the same format', () => {
  test('are asked in turn until it is the value of one', async () => {
    const core = await coreThatDecodes([[toyFormat('toy')], [toyFormat('toy')], [toyFormat('toy')]])
    const value = sealedBy(core.decryptOnly[1]!, 'toy:', Buffer.from('seed'))
    expect(Buffer.from(await decrypt(core, value)).toString()).toBe('seed')
    expect(core.metrics.events.foreignDecoded).toEqual([['toy', 'OK']])
  })

  test('an outage of one is not taken for bad data, and the others are still asked', async () => {
    const core = await coreThatDecodes([[toyFormat('toy')], [toyFormat('toy')]], { maxRetries: 0 })
    const old = core.decryptOnly[0]!
    core.primary.fail('decryptNative', 'ERR_BACKEND_UNREACHABLE')
    const ofOld = sealedBy(old, 'toy:', Buffer.from('seed'))
    expect(Buffer.from(await decrypt(core, ofOld)).toString()).toBe('seed')
    const ofPrimary = sealedBy(core.primary, 'toy:', Buffer.from('seed'))
    expect(await outcomeOf(decrypt(core, ofPrimary))).toBe('ERR_BACKEND_UNREACHABLE')
  })

  test('one that hangs leaves the others their part of the time', async () => {
    const core = await coreThatDecodes([[toyFormat('toy')], [toyFormat('toy')], [toyFormat('toy')]])
    const value = sealedBy(core.decryptOnly[1]!, 'toy:', Buffer.from('seed'))
    core.primary.hold('decryptNative')
    core.decryptOnly[0]!.hold('decryptNative')
    const opened = outcomeOf(decrypt(core, value))
    await core.clock.advance(2500)
    expect(await opened).toBe('OK')
    const lost = outcomeOf(decrypt(core, sealedBy(core.primary, 'toy:', Buffer.from('seed'))))
    await core.clock.advance(2500)
    expect(await lost).toBe('ERR_DEADLINE_EXCEEDED')
  })

  test('one that is slow has all the time of the request all the same', async () => {
    const settings = { callTimeoutMs: 2500 }
    const core = await coreThatDecodes([[toyFormat('toy')], [toyFormat('toy')], [toyFormat('toy')]], settings)
    core.primary.latencyMs = () => 2400
    const opened = outcomeOf(decrypt(core, sealedBy(core.primary, 'toy:', Buffer.from('seed'))))
    await core.clock.advance(2400)
    expect(await opened).toBe('OK')
  })

  test('the plaintext of one that answers after another is wiped', async () => {
    const made: Uint8Array[] = []
    const watched = (questions: OpeningPlan['questions']): ForeignDecoder => ({
      ...toyFormat('toy'),
      plan: () => ({
        questions,
        finish: () => {
          const plaintext = Buffer.from('seed')
          made.push(plaintext)
          return plaintext
        },
      }),
    })
    const questions: NativeCiphertext[] = []
    const settings = { callTimeoutMs: 2500 }
    const core = await coreThatDecodes([[watched(questions)], [watched([])]], settings)
    questions.push({ bytes: core.primary.encryptNative(Buffer.from('seed')) })
    const release = core.primary.hold('decryptNative')
    const opened = decrypt(core, Buffer.from('toy:'))
    await core.clock.advance(1250)
    expect(Buffer.from(await opened).toString()).toBe('seed')
    await release()
    expect(made.map((plaintext) => Buffer.from(plaintext).toString())).toEqual(['seed', '\0\0\0\0'])
  })

  test('that a format on another key does not list is not asked', async () => {
    const core = await coreThatDecodes([[], [toyFormat('toy')]])
    await decrypt(core, sealedBy(core.decryptOnly[0]!, 'toy:', Buffer.from('seed')))
    expect(core.primary.calls.decryptNative).toBe(0)
  })
})

describe('several keys with a format whose values may name no key and prove none', () => {
  const SEALED_BYTES = 12 + 4 + 16
  /** Each key finds in the value what opens under it, as under AES-CBC all bytes do under all keys. */
  const blind = (at: number): ForeignDecoder => ({
    format: 'blind',
    recognize: () => 'bytes',
    plan: ({ ciphertext }) => ({
      questions: [{ bytes: ciphertext.subarray(at * SEALED_BYTES, (at + 1) * SEALED_BYTES) }],
      opensUnderAnyKey: true,
      finish: ([answer]) => Buffer.from(answer ?? []),
    }),
  })
  const twoKeys = async () => coreThatDecodes([[blind(0)], [blind(1)]], { maxRetries: 0 })
  const openingTo = (core: Core, one: string, other: string): Buffer =>
    Buffer.concat([
      core.primary.encryptNative(Buffer.from(one)),
      core.decryptOnly[0]!.encryptNative(Buffer.from(other)),
    ])

  test('a value that two keys open to different bytes is refused, and the error says what to change', async () => {
    const core = await twoKeys()
    const error = await decrypt(core, openingTo(core, 'this', 'that')).catch((thrown: unknown) => thrown)
    expect((error as KmsError).code).toBe('ERR_CONFIG_INVALID')
    expect((error as KmsError).message).toContain('list blind under one of them')
    expect(core.primary.rawDeks.at(-1)!.every((byte) => byte === 0)).toBe(true)
  })

  test('opens where one key alone can open it, or all open it to the same bytes', async () => {
    const core = await twoKeys()
    expect(Buffer.from(await decrypt(core, openingTo(core, 'seed', 'seed'))).toString()).toBe('seed')
    const value = openingTo(core, 'this', 'that')
    core.primary.fail('decryptNative', 'ERR_KEY_UNKNOWN')
    expect(Buffer.from(await decrypt(core, value)).toString()).toBe('that')
    core.primary.heal()
    core.decryptOnly[0]!.fail('decryptNative', 'ERR_DECRYPTION_FAILED')
    expect(Buffer.from(await decrypt(core, value)).toString()).toBe('this')
  })

  test('is not opened by one while another one is out, whose value it may be', async () => {
    const core = await twoKeys()
    core.decryptOnly[0]!.fail('decryptNative', 'ERR_BACKEND_UNAVAILABLE')
    expect(await outcomeOf(decrypt(core, openingTo(core, 'this', 'that')))).toBe('ERR_BACKEND_UNAVAILABLE')
  })
})

describe('an answer that opens many values', () => {
  const reusable = () => toyFormat('toy', { isReusable: true })

  test('is asked for once, for all who wait and all who come while it is held', async () => {
    const core = await coreThatDecodes([[reusable()]])
    const value = sealedBy(core.primary, 'toy:', Buffer.from('seed'))
    const open = core.primary.hold('decryptNative')
    const storm = Array.from({ length: 64 }, async () => decrypt(core, value))
    await open()
    for (const plaintext of await Promise.all(storm)) expect(Buffer.from(plaintext).toString()).toBe('seed')
    expect(Buffer.from(await decrypt(core, value)).toString()).toBe('seed')
    expect(core.primary.calls.decryptNative).toBe(1)
    expect(core.metrics.events.foreignDecoded).toHaveLength(65)
  })

  test('is held no longer than an unwrapped DEK', async () => {
    const core = await coreThatDecodes([[reusable()]], { dekCacheTimeoutMs: 1000 })
    const value = sealedBy(core.primary, 'toy:', Buffer.from('seed'))
    await decrypt(core, value)
    await core.clock.advance(1000)
    await decrypt(core, value)
    expect(core.primary.calls.decryptNative).toBe(2)
  })

  test('is not held for a value that it did not open', async () => {
    const picky: ForeignDecoder = {
      ...reusable(),
      plan: (value) => ({
        questions: [{ bytes: value.ciphertext.subarray(4) }],
        isReusable: true,
        finish: () => {
          throw new KmsError('ERR_DECRYPTION_FAILED', 'does not authenticate')
        },
      }),
    }
    const core = await coreThatDecodes([[picky]])
    const value = sealedBy(core.primary, 'toy:', Buffer.from('seed'))
    for (let turn = 0; turn < 2; turn += 1)
      expect(await outcomeOf(decrypt(core, value))).toBe('ERR_DECRYPTION_FAILED')
    expect(core.primary.calls.decryptNative).toBe(2)
  })

  test('is left in no buffer that a format was given, whether the value opened or not', async () => {
    const given: Uint8Array[] = []
    const watched: ForeignDecoder = {
      ...reusable(),
      plan: ({ ciphertext }) => ({
        questions: [{ bytes: ciphertext.subarray(4, 36) }],
        isReusable: true,
        finish: ([answer = Buffer.alloc(0)]) => {
          given.push(answer)
          if (ciphertext.length > 36) throw new KmsError('ERR_DECRYPTION_FAILED', 'does not authenticate')
          return Buffer.from(answer)
        },
      }),
    }
    const core = await coreThatDecodes([[watched]])
    const good = sealedBy(core.primary, 'toy:', Buffer.from('seed'))
    const bad = Buffer.concat([good, Buffer.of(1)])
    const open = core.primary.hold('decryptNative')
    const storm = [bad, good, bad, good].map(async (value) => outcomeOf(decrypt(core, value)))
    await open()
    const refused = 'ERR_DECRYPTION_FAILED'
    expect(await Promise.all(storm)).toEqual([refused, 'OK', refused, 'OK'])
    expect(Buffer.from(await decrypt(core, good)).toString()).toBe('seed')
    expect(await outcomeOf(decrypt(core, bad))).toBe(refused)
    expect(core.primary.calls.decryptNative).toBe(1)
    expect(given.map((answer) => Buffer.from(answer).toString())).toEqual(given.map(() => '\0\0\0\0'))
  })

  test('is used while it is held before any other key is asked, or waited for', async () => {
    const core = await coreThatDecodes([[reusable()], [reusable()]])
    const value = sealedBy(core.decryptOnly[0]!, 'toy:', Buffer.from('seed'))
    await decrypt(core, value)
    core.primary.hold('decryptNative')
    let outcome = 'pending'
    void outcomeOf(decrypt(core, value)).then((code) => (outcome = code))
    await settled()
    expect(outcome).toBe('OK')
    expect(core.primary.calls.decryptNative).toBe(1)
  })

  test('with no cache every value asks', async () => {
    const core = await coreThatDecodes([[reusable()]], { dekCacheTimeoutMs: 0 })
    const value = sealedBy(core.primary, 'toy:', Buffer.from('seed'))
    await decrypt(core, value)
    await decrypt(core, value)
    expect(core.primary.calls.decryptNative).toBe(2)
  })

  test('a waiter that leaves does not end the flight of the others', async () => {
    const core = await coreThatDecodes([[reusable()]])
    const value = sealedBy(core.primary, 'toy:', Buffer.from('seed'))
    const open = core.primary.hold('decryptNative')
    const leaving = new AbortController()
    const gone = outcomeOf(
      core.service.decrypt({ ciphertext: value }, { ...core.within(), signal: leaving.signal }),
    )
    const staying = decrypt(core, value)
    await settled()
    leaving.abort()
    expect(await gone).toBe('ERR_CANCELLED')
    await open()
    expect(Buffer.from(await staying).toString()).toBe('seed')
  })
})

describe('a value with a value of another format inside', () => {
  const nested = (inner: Buffer, rest: string) =>
    Buffer.concat([Buffer.from('nest:'), Buffer.of(inner.length), inner, Buffer.from(rest)])

  test('opens with both formats of the same key, and the inner one is asked for once', async () => {
    const core = await coreThatDecodes([[nestedFormat(), toyFormat('toy')]])
    const inner = sealedBy(core.primary, 'toy:', Buffer.from('key'))
    expect(Buffer.from(await decrypt(core, nested(inner, '-1'))).toString()).toBe('key-1')
    expect(Buffer.from(await decrypt(core, nested(inner, '-2'))).toString()).toBe('key-2')
    expect(core.primary.calls.decryptNative).toBe(1)
  })

  test('whose inner format the key does not list is refused, and says so', async () => {
    const core = await coreThatDecodes([[nestedFormat()]])
    const inner = sealedBy(core.primary, 'toy:', Buffer.from('key'))
    expect(await outcomeOf(decrypt(core, nested(inner, '')))).toBe('ERR_VALUE_FOREIGN')
  })

  test('that nests once more is refused', async () => {
    const core = await coreThatDecodes([[nestedFormat(), toyFormat('toy')]])
    const inner = sealedBy(core.primary, 'toy:', Buffer.from('key'))
    expect(await outcomeOf(decrypt(core, nested(nested(inner, ''), '')))).toBe('ERR_VALUE_FOREIGN')
  })
})
