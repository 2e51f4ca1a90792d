/** What the probes' findings mean for Status, readiness and sealing, as a table. */
import { describe, expect, test } from 'vitest'
import { errorCodes, KmsError, type KmsErrorCode } from '../../src/ports/errors.js'
import { buildCore, buildProvedCore, type Core } from '../doubles/core.js'
import { FaultyKeyWrapper } from '../doubles/faulty_key_wrapper.js'
import { ManualClock } from '../doubles/manual_clock.js'
import { outcomeNow, outcomeOf } from '../doubles/outcome.js'

/** A probe that fails as the backend does; its retries take no longer than the round. */
async function probe(core: Core): Promise<void> {
  const round = core.probe.once()
  await core.clock.advance(3000)
  await round
}

/** What each of the three outlets says: `ok`, `problem`, or the code of the error. */
async function outlets(core: Core) {
  return {
    status: outcomeNow(() => core.service.status()),
    problem: outcomeNow(() => core.service.status()) === 'OK' ? core.service.status().problem : undefined,
    ready: core.health.report().ready,
    encrypt: await outcomeOf(core.encrypt(Buffer.from('value'))),
  }
}

const codesOf = (fault: string) =>
  (Object.keys(errorCodes) as KmsErrorCode[]).filter((code) => errorCodes[code].fault === fault)

describe('before the first proof', () => {
  test('Status, readiness and Encrypt say that we start', async () => {
    const core = buildCore()
    expect(await outlets(core)).toEqual({
      status: 'ERR_STARTING',
      problem: undefined,
      ready: false,
      encrypt: 'ERR_STARTING',
    })
    expect(core.health.report().keys).toEqual([{ key: 'main', primary: true, outcome: 'ERR_STARTING' }])
  })

  test('an outage leaves it at that: there is no key id to report', async () => {
    const core = buildCore()
    core.primary.fail('any', 'ERR_BACKEND_UNREACHABLE')
    await probe(core)
    expect(await outlets(core)).toMatchObject({
      status: 'ERR_STARTING',
      ready: false,
      encrypt: 'ERR_STARTING',
    })
    expect(core.health.report().keys).toMatchObject([{ outcome: 'ERR_BACKEND_UNREACHABLE' }])
  })

  test('what only an operator can end is told from the second probe on', async () => {
    const core = buildCore()
    core.primary.fail('any', 'ERR_LOGIN_REFUSED')
    await probe(core)
    expect(await outlets(core)).toMatchObject({ status: 'ERR_STARTING', encrypt: 'ERR_LOGIN_REFUSED' })
    await probe(core)
    expect(await outlets(core)).toMatchObject({ status: 'ERR_LOGIN_REFUSED', encrypt: 'ERR_LOGIN_REFUSED' })
  })
})

describe.each(codesOf('backend').filter((code) => code !== 'ERR_STARTING'))('an outage: %s', (code) => {
  test('report: Status names the key id and the problem, and sealing goes on', async () => {
    const core = await buildProvedCore({ onBackendOutage: 'report' })
    core.primary.fail('currentKeyId', code)
    for (let i = 0; i < 3; i += 1) {
      await probe(core)
      expect(await outlets(core)).toMatchObject({ status: 'OK', ready: false, encrypt: 'OK' })
      expect(core.service.status().keyId).toBe(core.primary.keyId)
      expect(core.service.status().problem).toMatch(new RegExp(`^${code}: [ -~]+$`))
    }
  })

  test('error: Status fails, and sealing goes on', async () => {
    const core = await buildProvedCore({ onBackendOutage: 'error' })
    core.primary.fail('currentKeyId', code)
    await probe(core)
    expect(await outlets(core)).toMatchObject({ status: code, ready: false, encrypt: 'OK' })
  })
})

describe.each(codesOf('operator'))('a fault that only an operator can end: %s', (code) => {
  test.each(['report', 'error'] as const)(
    'stops sealing at once and Status at the second probe in a row (%s)',
    async (onBackendOutage) => {
      const core = await buildProvedCore({ onBackendOutage })
      core.primary.fail('currentKeyId', code)
      await probe(core)
      expect(await outlets(core)).toMatchObject({ status: 'OK', ready: false, encrypt: code })
      expect(core.service.status().problem).toContain(code)
      await probe(core)
      expect(await outlets(core)).toMatchObject({ status: code, ready: false, encrypt: code })
    },
  )
})

test('two operator faults with an outage in between are not two in a row', async () => {
  const core = await buildProvedCore()
  for (const code of ['ERR_KEY_DISABLED', 'ERR_BACKEND_UNREACHABLE', 'ERR_KEY_DISABLED'] as const) {
    core.primary.heal()
    core.primary.fail('currentKeyId', code)
    await probe(core)
    expect(await outlets(core)).toMatchObject({ status: 'OK' })
  }
})

test.each(['ERR_KEY_DISABLED', 'ERR_BACKEND_UNREACHABLE'] as const)(
  'one good probe after %s brings everything back',
  async (code) => {
    const core = await buildProvedCore({ onBackendOutage: 'error' })
    core.primary.fail('any', code)
    await probe(core)
    await probe(core)
    core.primary.heal()
    await probe(core)
    expect(await outlets(core)).toEqual({ status: 'OK', problem: undefined, ready: true, encrypt: 'OK' })
    expect(core.health.report().keys).toMatchObject([{ key: 'main', primary: true, outcome: 'OK' }])
  },
)

describe('keys that only open', () => {
  test('whatever becomes of them, Status, readiness and sealing stay', async () => {
    const clock = new ManualClock()
    const old = new FaultyKeyWrapper('old', clock)
    const value = await (await buildProvedCore({}, { clock, primary: old })).encrypt(Buffer.from('value'))
    const core = await buildProvedCore({ onBackendOutage: 'error' }, { clock, decryptOnly: [old] })
    expect(core.health.report().keys[1]).toEqual({ key: 'old0', primary: false, outcome: 'untested' })
    await core.decrypt(value.ciphertext)
    for (const code of ['ERR_KEY_NOT_FOUND', 'ERR_BACKEND_UNREACHABLE'] as const) {
      old.heal()
      old.fail('any', code)
      for (let i = 0; i < 3; i += 1) await probe(core)
      expect(await outlets(core)).toEqual({ status: 'OK', problem: undefined, ready: true, encrypt: 'OK' })
      expect(core.health.report().keys[1]).toMatchObject({ key: 'old0', primary: false, outcome: code })
    }
  })

  test('their faults neither count towards those of the primary nor come between them', async () => {
    const clock = new ManualClock()
    const core = await buildProvedCore({}, { clock, decryptOnly: [new FaultyKeyWrapper('old', clock)] })
    const disabled = new KmsError('ERR_KEY_DISABLED', 'scripted')
    core.health.record('main', disabled)
    core.health.record('old0', disabled)
    expect(outcomeNow(() => core.service.status())).toBe('OK')
    core.health.record('old0', undefined)
    core.health.record('main', disabled)
    expect(outcomeNow(() => core.service.status())).toBe('ERR_KEY_DISABLED')
  })

  test('the age of a finding is that of its probe', async () => {
    const core = await buildProvedCore()
    await core.clock.advance(1234)
    expect(core.health.report().keys[0]?.ageMs).toBe(1234)
  })
})

test('bad ciphertexts of every kind change nothing', async () => {
  const core = await buildProvedCore({ onBackendOutage: 'error' })
  core.primary.ambiguous = true
  const good = (await core.encrypt(Buffer.from('value'))).ciphertext
  for (let at = 0; at < good.length; at += 1) {
    const bad = Uint8Array.from(good)
    bad[at]! ^= 0x55
    expect(await outcomeOf(core.decrypt(bad))).not.toBe('OK')
  }
  expect(await outlets(core)).toEqual({ status: 'OK', problem: undefined, ready: true, encrypt: 'OK' })
  await probe(core)
  expect(core.health.report()).toMatchObject({ ready: true, keys: [{ outcome: 'OK' }] })
})
