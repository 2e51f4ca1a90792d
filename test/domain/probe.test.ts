/** When the probe asks which key what: at once, then rarely while all is well and often while it is not. */
import { describe, expect, test } from 'vitest'
import { migrating, run } from '../doubles/running_probe.js'

describe('pace', () => {
  test('the first round begins at once and proves the primary', async () => {
    const { core, roundsMs } = await run()
    expect(roundsMs).toEqual([0])
    expect(core.service.status()).toEqual({ keyId: core.primary.keyId })
  })

  test('while the primary works there is one round per interval', async () => {
    const { core, roundsMs } = await run()
    await core.clock.advance(95_000)
    expect(roundsMs).toEqual([0, 30_000, 60_000, 90_000])
  })

  test('while it does not the pause doubles from 250 ms to 1 s and stays there', async () => {
    const { core, roundsMs } = await run()
    core.primary.fail('any', 'ERR_BACKEND_UNREACHABLE')
    await core.clock.advance(34_000)
    expect(roundsMs).toEqual([0, 30_000, 30_250, 30_750, 31_750, 32_750, 33_750])
  })

  test('a primary that comes back is found within a second', async () => {
    const { core } = await run()
    core.primary.fail('any', 'ERR_BACKEND_UNREACHABLE')
    await core.clock.advance(600_000)
    expect(core.health.report().ready).toBe(false)
    core.primary.heal()
    await core.clock.advance(1000)
    expect(core.health.report().ready).toBe(true)
  })

  test('a primary that hung and comes back is found within a second', async () => {
    const { core } = await run()
    const release = core.primary.hold('currentKeyId')
    await core.clock.advance(40_000)
    expect(core.health.report().keys[0]?.outcome).toBe('ERR_DEADLINE_EXCEEDED')
    await release()
    await core.clock.advance(1000)
    expect(core.health.report().ready).toBe(true)
  })
})

describe('what is asked', () => {
  test('a proved DEK is unwrapped; a new one is wrapped when the last is too old, and not before', async () => {
    const { core } = await run({ renewAfterMs: 100_000 })
    expect(core.primary.calls).toEqual({ wrap: 1, unwrap: 1, currentKeyId: 1, decryptNative: 0 })
    await core.clock.advance(90_000)
    expect(core.primary.calls).toEqual({ wrap: 1, unwrap: 4, currentKeyId: 4, decryptNative: 0 })
    await core.clock.advance(30_000)
    expect(core.primary.calls).toEqual({ wrap: 2, unwrap: 5, currentKeyId: 5, decryptNative: 0 })
  })

  test('keys that only open are never asked to wrap, and not at all before a wrapped DEK of theirs is known', async () => {
    const { core, olds, values } = await migrating()
    await core.clock.advance(60_000)
    for (const old of olds) expect(old.totalCalls).toBe(0)
    await core.decrypt(values[0]!.ciphertext)
    // Both were asked who they are: neither had seen its KEK, so neither could say no.
    expect(olds.map(({ calls }) => calls.unwrap)).toEqual([1, 0])
    await core.clock.advance(60_000)
    expect(olds.map(({ calls }) => calls.unwrap)).toEqual([3, 0])
    expect(olds.map(({ calls }) => calls.wrap)).toEqual([0, 0])
    expect(core.metrics.events.probeFinished.filter(([key]) => key === 'old0')).toEqual([
      ['old0', 'OK'],
      ['old0', 'OK'],
    ])
  })

  test('a key that only opens and hangs does not hold up the primary, whenever that comes back', async () => {
    const { core, olds, values } = await migrating()
    await core.decrypt(values[0]!.ciphertext)
    olds[0].hold('unwrap')
    await core.clock.advance(60_000)
    expect(core.health.report().keys[1]?.outcome).toBe('ERR_DEADLINE_EXCEEDED')
    for (let phaseMs = 0; phaseMs < 4000; phaseMs += 100) {
      core.primary.fail('any', 'ERR_BACKEND_UNREACHABLE')
      await core.clock.advance(60_000 + phaseMs)
      expect(core.health.report().ready).toBe(false)
      core.primary.heal()
      await core.clock.advance(1000)
      expect(core.health.report().ready, `after ${phaseMs} ms`).toBe(true)
    }
  })
})

test('a key that only opens and is slow is not asked again before it has answered', async () => {
  const { core, olds, values } = await migrating()
  await core.decrypt(values[0]!.ciphertext)
  olds[0].latencyMs = () => 900
  const unwrap = olds[0].unwrap.bind(olds[0])
  let [underWay, most] = [0, 0]
  olds[0].unwrap = async (wrapped, options) => {
    underWay += 1
    most = Math.max(most, underWay)
    return unwrap(wrapped, options).finally(() => (underWay -= 1))
  }
  core.primary.fail('any', 'ERR_BACKEND_UNREACHABLE')
  await core.clock.advance(60_000)
  expect(most).toBe(1)
  expect(core.health.report().keys[1]?.outcome).toBe('OK')
})

describe('stop', () => {
  test('ends a pause, and no round follows', async () => {
    const { core, roundsMs } = await run()
    core.probe.stop()
    await core.clock.advance(100_000)
    expect(roundsMs).toEqual([0])
    expect(core.clock.sleepers).toBe(0)
  })

  test('abandons a round that hangs, and health keeps what was true before', async () => {
    const { core } = await run()
    core.primary.hold('currentKeyId')
    await core.clock.advance(30_000)
    core.probe.stop()
    await core.clock.advance(0)
    expect(core.clock.sleepers).toBe(0)
    expect(core.health.report()).toMatchObject({ ready: true, keys: [{ outcome: 'OK' }] })
  })
})

test('the log tells each change once, with the name and the code', async () => {
  const { core } = await run()
  core.primary.fail('any', 'ERR_BACKEND_UNREACHABLE')
  await core.clock.advance(60_000)
  core.primary.heal()
  await core.clock.advance(60_000)
  expect(core.logger.lines.map(({ text, fields }) => [text, fields['key'], fields['code']])).toEqual([
    ['primary key proved', 'main', undefined],
    ['a key fails its probe', 'main', 'ERR_BACKEND_UNREACHABLE'],
    ['a key works', 'main', undefined],
  ])
})
