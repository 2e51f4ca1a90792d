/** Whether raw DEKs are wiped, and whether anything that is printed shows a key. */
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { a256gcm } from '../../src/domain/a256gcm.js'
import { a256cbcHs512 } from '../../src/domain/a256cbc_hs512.js'
import { Dek, type ValueKeys } from '../../src/domain/dek.js'
import { openEnvelope, sealEnvelope } from '../../src/domain/envelope.js'
import { parseEnvelope } from '../../src/domain/envelope_format.js'
import { keyId } from '../../src/ports/key_id.js'
import { buildCore, buildProvedCore, type Core } from '../doubles/core.js'
import { FaultyKeyWrapper } from '../doubles/faulty_key_wrapper.js'
import { ManualClock, settled } from '../doubles/manual_clock.js'
import { outcomeNow, outcomeOf } from '../doubles/outcome.js'

const ID = keyId(`local:${'a'.repeat(26)}.${'b'.repeat(26)}`)

/** How many of the buffers that crossed the port are not wiped; and how many crossed it. */
function rawDeks({ primary }: Core): { left: number; all: number } {
  const left = primary.rawDeks.filter((raw) => raw.some((byte) => byte !== 0)).length
  return { left, all: primary.rawDeks.length }
}

async function cold(core: Core): Promise<Core> {
  core.primary.rawDeks.length = 0
  return buildCore({ maxRetries: 1 }, { clock: core.clock, primary: core.primary })
}

describe('raw DEKs are zero', () => {
  test.each(['reused', 'fresh'] as const)('after sealing and opening (%s)', async (dek) => {
    const core = await buildProvedCore({ dek, dekMaxSeals: 1, dekCacheTimeoutMs: 0 })
    for (let i = 0; i < 5; i += 1) {
      const { ciphertext } = await core.encrypt(Buffer.from('value'))
      await core.decrypt(ciphertext)
    }
    await core.probe.once()
    expect(rawDeks(core)).toMatchObject({ left: 0 })
    expect(rawDeks(core).all).toBeGreaterThan(15)
  })

  test.each([
    ['the wrap fails', (core: Core) => core.primary.fail('wrap', 'ERR_ACCESS_DENIED')],
    ['the wrap gives wrong bytes', (core: Core) => core.primary.corrupt('wrap')],
    ['the verification fails', (core: Core) => core.primary.fail('unwrap', 'ERR_BACKEND_UNAVAILABLE')],
    ['the verification gives other bytes', (core: Core) => core.primary.corrupt('unwrap')],
    ['the wrap hangs', (core: Core) => core.primary.hold('wrap')],
  ])('after a renewal in which %s', async (_, spoil) => {
    const core = buildCore({ maxRetries: 0 })
    spoil(core)
    const probing = core.probe.once()
    await core.clock.advance(10_000)
    await probing
    expect(core.health.report().ready).toBe(false)
    expect(rawDeks(core)).toMatchObject({ left: 0 })
    expect(rawDeks(core).all).toBeGreaterThan(0)
  })

  test('after an envelope that does not authenticate', async () => {
    const warm = await buildProvedCore()
    const bad = Uint8Array.from((await warm.encrypt(Buffer.from('value'))).ciphertext)
    bad[bad.length - 1]! ^= 1
    const core = await cold(warm)
    expect(await outcomeOf(core.decrypt(bad))).toBe('ERR_DECRYPTION_FAILED')
    expect(rawDeks(core)).toEqual({ left: 0, all: 1 })
  })

  test('after canaries, and after probes of keys that only open', async () => {
    const clock = new ManualClock()
    const warm = await buildProvedCore({}, { clock, primary: new FaultyKeyWrapper('old', clock) })
    const { ciphertext } = await warm.encrypt(Buffer.from('value'))
    warm.primary.rawDeks.length = 0
    const core = await buildProvedCore({}, { clock, decryptOnly: [warm.primary] })
    await core.decrypt(ciphertext)
    warm.primary.ambiguous = true
    const bad = Uint8Array.from(ciphertext)
    bad[100]! ^= 1
    expect(await outcomeOf(core.decrypt(bad))).toBe('ERR_DECRYPTION_FAILED')
    await core.probe.once()
    await settled()
    expect(rawDeks(warm)).toEqual({ left: 0, all: 4 })
  })

  test('after an answer that came when everyone had left', async () => {
    const warm = await buildProvedCore()
    const { ciphertext } = await warm.encrypt(Buffer.from('value'))
    const core = await cold(warm)
    const release = core.primary.hold('unwrap')
    const outcome = outcomeOf(core.decrypt(ciphertext))
    await core.clock.advance(10_000)
    expect(await outcome).toBe('ERR_DEADLINE_EXCEEDED')
    await release()
    expect(rawDeks(core)).toEqual({ left: 0, all: 2 })
  })
})

test('the keys of a value are zero after they are wiped', () => {
  const dek = new Dek(Buffer.alloc(32, 7), { keyId: ID, bytes: Buffer.of(1) }, 0)
  for (const suite of [a256gcm, a256cbcHs512]) {
    const keys = dek.deriveValueKeys(suite, Buffer.alloc(32))
    expect(keys.key.some((byte) => byte !== 0)).toBe(true)
    keys.wipe()
    expect([...keys.key, ...keys.commitment].every((byte) => byte === 0)).toBe(true)
  }
})

test.each([a256gcm, a256cbcHs512])(
  '$name: sealing and opening wipe the keys of the value, also when they fail',
  (suite) => {
    const dek = new Dek(Buffer.alloc(32, 7), { keyId: ID, bytes: Buffer.of(1) }, 0)
    const derived: ValueKeys[] = []
    const derive = dek.deriveValueKeys.bind(dek)
    dek.deriveValueKeys = (...args) => {
      const keys = derive(...args)
      derived.push(keys)
      return keys
    }
    const sealed = sealEnvelope(dek, suite, Buffer.from('value'))
    openEnvelope(dek, parseEnvelope(sealed))
    sealed[sealed.length - 1]! ^= 1
    expect(outcomeNow(() => openEnvelope(dek, parseEnvelope(sealed)))).toBe('ERR_DECRYPTION_FAILED')
    expect(derived).toHaveLength(3)
    expect(
      derived.flatMap(({ key, commitment }) => [...key, ...commitment]).every((byte) => byte === 0),
    ).toBe(true)
  },
)

test('a DEK keeps a copy: its owner may wipe the raw bytes at once', () => {
  const raw = Buffer.alloc(32, 7)
  const dek = new Dek(raw, { keyId: ID, bytes: Buffer.of(1) }, 0)
  const before = Buffer.from(dek.deriveValueKeys(a256gcm, Buffer.alloc(32)).key)
  raw.fill(0)
  expect(before.equals(dek.deriveValueKeys(a256gcm, Buffer.alloc(32)).key)).toBe(true)
})

describe('nothing that prints shows a key', () => {
  /** Every usual spelling of bytes. */
  const spellings = (bytes: Buffer) => [
    bytes.toString('hex'),
    bytes.toString('base64'),
    bytes.toString('base64url'),
    bytes.toString('latin1'),
    [...bytes].join(', '),
    [...bytes].join(','),
    (bytes.toString('hex').match(/../g) ?? []).join(' '),
  ]
  const prints = (thing: unknown) => [
    inspect(thing, { depth: Infinity, showHidden: true, maxArrayLength: null, breakLength: Infinity }),
    JSON.stringify(thing),
    String(thing),
  ]

  test('neither a DEK nor the service, its cache, its ring or its log, nor an error', async () => {
    const secrets: Buffer[] = [Buffer.from('a plaintext that nobody may read')]
    const core = await buildProvedCore({ dekMaxSeals: 1 })
    const wrap = core.primary.wrap.bind(core.primary)
    core.primary.wrap = async (raw, options) => {
      secrets.push(Buffer.from(raw))
      return wrap(raw, options)
    }
    const { ciphertext } = await core.encrypt(secrets[0]!)
    await core.encrypt(secrets[0]!)
    await core.decrypt(ciphertext)
    const bad = Uint8Array.from(ciphertext)
    bad[bad.length - 1]! ^= 1
    const error = await core.decrypt(bad).catch((thrown: unknown) => thrown)

    const { service, publication, opening, sealing, keys, maker, probe, health, logger, metrics } = core
    const things = { dek: publication.dek, service, publication, opening, sealing, maker, probe, health }
    const printed = [...Object.values(things), keys.decryptOnly, logger.lines, metrics.events, error]
      .flatMap(prints)
      .join('\n')
    expect(secrets.length).toBeGreaterThan(1)
    for (const secret of secrets) {
      for (const spelling of spellings(secret)) expect(printed.includes(spelling)).toBe(false)
    }
  })
})
