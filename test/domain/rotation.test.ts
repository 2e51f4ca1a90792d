/** Whether Status and Encrypt tell one story while the KEK rotates under load, outages and slow answers. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { buildCore, buildProvedCore, type Core, type CoreSettings } from '../doubles/core.js'
import { KubeApiserver, type PollResult } from '../doubles/kube_apiserver.js'
import { outcomeOf } from '../doubles/outcome.js'

/** An Encrypt whose answer is compared with Status in the moment it comes. */
async function encryptAndCompare(core: Core): Promise<{ keyId: string; ciphertext: Uint8Array }> {
  const result = await core.encrypt(Buffer.from('value'))
  expect(result.keyId).toBe(core.publication.keyId)
  return result
}

/** All that was ever acknowledged opens in a new process that has only the KEK. */
async function expectReadable(core: Core, values: readonly { ciphertext: Uint8Array; keyId: string }[]) {
  core.primary.heal()
  core.primary.latencyMs = () => 0
  const cold = buildCore({}, { clock: core.clock, primary: core.primary })
  for (const { ciphertext, keyId } of values) {
    expect(await outcomeOf(cold.decrypt(ciphertext, keyId))).toBe('OK')
  }
}

describe.each(['reused', 'fresh'] as const)('with %s DEKs', (dek) => {
  test('after a rotation the next probe publishes the new key id, and from then on it seals', async () => {
    const core = await buildProvedCore({ dek })
    const old = core.primary.keyId
    const before = await encryptAndCompare(core)
    core.primary.rotate()
    expect(core.service.status()).toEqual({ keyId: old })
    await core.probe.once()
    expect(core.service.status()).toEqual({ keyId: core.primary.keyId })
    expect(core.primary.keyId).not.toBe(old)
    await core.sealing.renew(core.within())
    expect(core.metrics.events.keyIdPublished).toEqual([
      [old, undefined],
      [core.primary.keyId, old],
    ])
    const after = await encryptAndCompare(core)
    expect(after.keyId).toBe(core.primary.keyId)
    await expectReadable(core, [before, after])
  })

  test('a key id that cannot be proved is not published', async () => {
    const core = await buildProvedCore({ dek })
    const old = core.primary.keyId
    core.primary.rotate()
    core.primary.corrupt('wrap')
    await core.probe.once()
    expect(core.service.status().keyId).toBe(old)
    expect(core.health.report().ready).toBe(false)
  })

  test('a request that waits through a rotation answers with the key id that Status names then', async () => {
    const core = await buildProvedCore({ dek, dekMaxSeals: 1 })
    await core.encrypt(Buffer.from('value'))
    const release = core.primary.hold('unwrap')
    const waiting = encryptAndCompare(core)
    await core.clock.advance(10)
    core.primary.rotate()
    const probing = core.probe.once()
    await release()
    await probing
    const { keyId, ciphertext } = await waiting
    await expectReadable(core, [{ keyId, ciphertext }])
  })

  test('kube-apiserver takes the new key at its first or second poll after the rotation', async () => {
    const core = await buildProvedCore({ dek })
    const apiserver = new KubeApiserver(core.service, core.clock)
    expect(await apiserver.poll()).toBe('rotated')
    for (let rotation = 0; rotation < 20; rotation += 1) {
      core.primary.rotate()
      const polls = [await apiserver.poll()]
      await core.probe.once()
      polls.push(await apiserver.poll())
      expect(polls).toEqual(['kept', 'rotated'])
      expect(apiserver.keyId).toBe(core.primary.keyId)
    }
  })

  test('requests that meet a rotation together make no DEK in vain', async () => {
    const core = await buildProvedCore({ dek, dekMaxSeals: 1 })
    await core.encrypt(Buffer.from('value'))
    const before = core.primary.calls.wrap
    core.primary.rotate()
    await Promise.all(Array.from({ length: 20 }, async () => encryptAndCompare(core)))
    expect(core.primary.calls.wrap - before).toBe(20)
  })

  test('a kube-apiserver that starts right after a rotation is told two key ids at most once', async () => {
    const core = await buildProvedCore({ dek })
    const apiserver = new KubeApiserver(core.service, core.clock)
    core.primary.rotate()
    // A reused DEK still seals under the key id that Status names; a fresh one finds the new key id out itself.
    expect(await apiserver.poll()).toBe(dek === 'reused' ? 'rotated' : 'key id mismatch')
    expect(await apiserver.poll()).toBe(dek === 'reused' ? 'kept' : 'rotated')
  })

  test('in any schedule of rotations, outages, delays and requests kube-apiserver is never led astray', async () => {
    await fc.assert(
      fc.asyncProperty(schedules, async (schedule) => {
        await play({ dek, dekMaxAgeMs: 20_000, dekMaxSeals: 5, renewAfterMs: 10_000 }, schedule)
      }),
      { numRuns: 400 },
    )
  })
})

type Action =
  | {
      readonly does:
        'rotate' | 'rotateBack' | 'poll' | 'probe' | 'outage' | 'operatorFault' | 'heal' | 'corrupt'
    }
  | { readonly does: 'encrypt'; readonly count: number }
  | { readonly does: 'wait'; readonly ms: number }
  | { readonly does: 'slowDown'; readonly ms: number }

const schedules = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ does: fc.constant('wait' as const), ms: fc.nat({ max: 2000 }) }) },
    { weight: 4, arbitrary: fc.record({ does: fc.constant('encrypt' as const), count: fc.nat({ max: 8 }) }) },
    { weight: 3, arbitrary: fc.record({ does: fc.constantFrom('poll' as const, 'probe' as const) }) },
    {
      weight: 3,
      arbitrary: fc.record({
        does: fc.constantFrom('rotate', 'rotateBack', 'outage', 'operatorFault', 'heal', 'corrupt'),
      }),
    },
    { weight: 1, arbitrary: fc.record({ does: fc.constant('slowDown' as const), ms: fc.nat({ max: 300 }) }) },
  ),
  { minLength: 1, maxLength: 40 },
)

async function play(settings: Partial<CoreSettings>, schedule: readonly Action[]): Promise<void> {
  const core = await buildProvedCore(settings)
  const { clock, primary, probe } = core
  const apiserver = new KubeApiserver(core.service, clock)
  const acknowledged: { ciphertext: Uint8Array; keyId: string }[] = []
  const polls: Promise<PollResult>[] = []
  const pending: Promise<void>[] = []
  const encrypt = async () => {
    let result
    try {
      result = await core.encrypt(Buffer.from('value'))
    } catch {
      return
    }
    expect(result.keyId).toBe(core.publication.keyId)
    acknowledged.push(result)
  }

  for (const action of schedule) {
    if (action.does === 'wait') await clock.advance(action.ms)
    else if (action.does === 'encrypt') for (let i = 0; i < action.count; i += 1) pending.push(encrypt())
    else if (action.does === 'slowDown') primary.latencyMs = () => action.ms
    else if (action.does === 'poll') polls.push(apiserver.poll())
    else if (action.does === 'probe') pending.push(probe.once())
    else if (action.does === 'outage') primary.fail('any', 'ERR_BACKEND_UNAVAILABLE', 5)
    else if (action.does === 'operatorFault') primary.fail('any', 'ERR_ACCESS_DENIED', 5)
    else if (action.does === 'corrupt') primary.corrupt('wrap', 1)
    else primary[action.does]()
  }
  await clock.advance(10_000)
  await Promise.all([...pending, ...polls])

  // Each mismatch needs a publication of its own, after the first, between the Status and the Encrypt of one poll.
  const mismatches = (await Promise.all(polls)).filter((result) => result === 'key id mismatch').length
  expect(mismatches).toBeLessThan(core.metrics.events.keyIdPublished.length)

  // When things are calm again one probe and one poll are enough.
  primary.heal()
  primary.latencyMs = () => 0
  await probe.once()
  expect(['kept', 'rotated']).toContain(await apiserver.poll())
  expect(core.service.status()).toEqual({ keyId: primary.keyId })
  expect(apiserver.keyId).toBe(primary.keyId)
  expect(apiserver.mayWrite).toBe(true)
  expect(clock.sleepers).toBe(0)

  await expectReadable(core, [...acknowledged, ...apiserver.stored])
}
