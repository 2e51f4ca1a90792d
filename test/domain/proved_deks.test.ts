/** Nothing is acknowledged that cannot be read back, and what is proved goes on sealing through an outage. */
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { KmsError } from '../../src/ports/errors.js'
import type { WrappedDek } from '../../src/ports/key_wrapper.js'
import { buildCore, buildProvedCore } from '../doubles/core.js'
import { outcomeOf } from '../doubles/outcome.js'

describe.each(['reused', 'fresh'] as const)('with %s DEKs', (dek) => {
  test('nothing is sealed before the primary has proved itself', async () => {
    const core = buildCore({ dek })
    expect(await outcomeOf(core.encrypt(Buffer.from('value')))).toBe('ERR_STARTING')
    expect(core.primary.totalCalls).toBe(0)
  })

  test('a backend that wraps to wrong bytes is found out and nothing is acknowledged', async () => {
    const core = buildCore({ dek })
    core.primary.corrupt('wrap')
    await core.probe.once()
    expect(core.health.report()).toMatchObject({ ready: false, keys: [{ outcome: 'ERR_WRAP_UNVERIFIED' }] })
    expect(await outcomeOf(core.encrypt(Buffer.from('value')))).toBe('ERR_STARTING')
    expect(core.publication.keyId).toBeUndefined()
  })

  test('a backend that unwraps to wrong bytes is found out and nothing is acknowledged', async () => {
    const core = buildCore({ dek })
    core.primary.corrupt('unwrap')
    await core.probe.once()
    expect(core.health.report()).toMatchObject({ ready: false, keys: [{ outcome: 'ERR_WRAP_UNVERIFIED' }] })
    expect(core.publication.keyId).toBeUndefined()
  })

  test('one wrong answer is thrown away and made anew', async () => {
    const core = buildCore({ dek })
    core.primary.corrupt('wrap', 1)
    await core.probe.once()
    expect(core.health.report().ready).toBe(true)
    expect(core.primary.calls).toMatchObject({ wrap: 2, unwrap: 2 })
    const { ciphertext } = await core.encrypt(Buffer.from('value'))
    const cold = buildCore({}, { clock: core.clock, primary: core.primary })
    expect(await cold.decrypt(ciphertext)).toEqual(Buffer.from('value'))
  })

  test.each([
    ['no bytes', 0],
    ['641 bytes', 641],
  ])('a wrapped DEK of %s is refused', async (_, length) => {
    const core = buildCore({ dek })
    core.primary.wrap = async (): Promise<WrappedDek> => ({
      keyId: core.primary.keyId,
      bytes: randomBytes(length),
    })
    await core.probe.once()
    expect(core.health.report().keys[0]?.outcome).toBe('ERR_BACKEND_RESPONSE')
    expect(core.publication.keyId).toBeUndefined()
  })

  test('a wrapped DEK that its own backend cannot place is not acknowledged', async () => {
    const core = buildCore({ dek })
    core.primary.unwrap = async () => {
      throw new KmsError('ERR_KEY_NOT_FOUND', 'this version is not there')
    }
    await core.probe.once()
    expect(core.publication.keyId).toBeUndefined()
  })

  test('each DEK is verified once, and what it seals opens with cold caches', async () => {
    const core = await buildProvedCore({ dek })
    const before = { ...core.primary.calls }
    const values = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const plaintext = randomBytes(32)
        return { plaintext, ciphertext: (await core.encrypt(plaintext)).ciphertext }
      }),
    )
    const made = dek === 'reused' ? 0 : 20
    expect(core.primary.calls.wrap - before.wrap).toBe(made)
    expect(core.primary.calls.unwrap - before.unwrap).toBe(made)
    const cold = buildCore({}, { clock: core.clock, primary: core.primary })
    for (const { plaintext, ciphertext } of values) expect(await cold.decrypt(ciphertext)).toEqual(plaintext)
  })
})

describe('while the backend is out', () => {
  test('sealing goes on under the proved DEK, without a call, until its age ends', async () => {
    const core = await buildProvedCore({ dekMaxAgeMs: 60_000 })
    core.primary.fail('any', 'ERR_BACKEND_UNREACHABLE')
    const probing = core.probe.once()
    await core.clock.advance(3000)
    await probing
    const before = core.primary.totalCalls
    await core.clock.advance(56_999)
    const { ciphertext } = await core.encrypt(Buffer.from('value'))
    expect(await core.decrypt(ciphertext)).toEqual(Buffer.from('value'))
    expect(core.primary.totalCalls).toBe(before)

    await core.clock.advance(1)
    const late = outcomeOf(core.encrypt(Buffer.from('value')))
    await core.clock.advance(3000)
    expect(await late).toBe('ERR_BACKEND_UNREACHABLE')
    core.primary.heal()
    expect(await outcomeOf(core.encrypt(Buffer.from('value')))).toBe('OK')
  })

  test('fresh DEKs cannot be had, and the code says why', async () => {
    const core = await buildProvedCore({ dek: 'fresh' })
    core.primary.fail('wrap', 'ERR_BACKEND_THROTTLED')
    const sealing = outcomeOf(core.encrypt(Buffer.from('value')))
    await core.clock.advance(3000)
    expect(await sealing).toBe('ERR_BACKEND_THROTTLED')
  })
})

describe('a fault that only an operator can end', () => {
  test('stops sealing when a probe first sees it; opening goes on from the cache until that ends', async () => {
    const core = await buildProvedCore({ dekCacheTimeoutMs: 60_000 })
    const { ciphertext } = await core.encrypt(Buffer.from('value'))
    core.primary.fail('any', 'ERR_KEY_DISABLED')
    expect(await outcomeOf(core.encrypt(Buffer.from('value')))).toBe('OK')
    await core.probe.once()
    const before = core.primary.totalCalls
    expect(await outcomeOf(core.encrypt(Buffer.from('value')))).toBe('ERR_KEY_DISABLED')
    expect(await core.decrypt(ciphertext)).toEqual(Buffer.from('value'))
    expect(core.primary.totalCalls).toBe(before)

    await core.clock.advance(60_000)
    expect(await outcomeOf(core.decrypt(ciphertext))).toBe('ERR_KEY_DISABLED')
    core.primary.heal()
    await core.probe.once()
    expect(await outcomeOf(core.encrypt(Buffer.from('value')))).toBe('OK')
    expect(await outcomeOf(core.decrypt(ciphertext))).toBe('OK')
  })

  test('a KEK that no longer opens what it wrapped stops sealing too', async () => {
    const core = await buildProvedCore()
    core.primary.fail('unwrap', 'ERR_DECRYPTION_FAILED')
    await core.probe.once()
    expect(await outcomeOf(core.encrypt(Buffer.from('value')))).toBe('ERR_KEY_UNUSABLE')
  })
})
