/** What becomes of wrapped DEKs and key ids when the key on OpenBao is rotated, limited, deleted and made anew. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { DEK_BYTES } from '../../../src/ports/key_wrapper.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { unlessMissing } from '../../support/modules/token_module.js'
import { until } from '../../support/plugin.js'
import type { Json } from './api.js'
import { Bench, failureOf, options, roundTrip, type Opened } from './bench.js'
import type { Operator } from './operator.js'
import { policyFor } from './policy.js'
import { missing } from './server.js'

describe.skipIf(missing !== undefined)(unlessMissing('the versions of a key on OpenBao', missing), () => {
  let bench: Bench
  let operator: Operator
  beforeAll(async () => {
    bench = await Bench.start()
    operator = bench.server.operator
  })
  afterAll(async () => {
    await bench.close()
  })

  /** A key of its own for each test. */
  let keyName: string
  let auth: Json
  let opened: Opened
  beforeEach(async () => {
    keyName = `kek-${randomBytes(4).toString('hex')}`
    await operator.makeKey(keyName)
    await operator.writePolicy(keyName, policyFor({ mount: 'transit', keyName }))
    auth = await bench.token([keyName])
    opened = open()
  })

  const open = (): Opened => bench.open({ keyName, auth })

  /** Creation times are whole seconds: what is made within one looks the same. */
  const destroyAndMakeAnew = async (): Promise<void> => {
    const before = JSON.stringify((await operator.readKey(keyName))['keys'])
    await until(async () => {
      await operator.destroyKey(keyName)
      await operator.makeKey(keyName)
      return JSON.stringify((await operator.readKey(keyName))['keys']) !== before
    })
  }

  test('the key id stays the same while the key does, whatever else is changed about it', async () => {
    const before = await opened.core.currentKeyId(options())
    await operator.configure(keyName, { deletion_allowed: true, auto_rotate_period: '24h' })
    await bench.server.api.must('GET', `transit/keys/${keyName}`)
    await roundTrip(opened.core)
    expect(await opened.core.currentKeyId(options())).toBe(before)
    expect(await open().core.currentKeyId(options())).toBe(before)
  })

  test('each rotation moves the key id, once, and every old version opens', async () => {
    const wrapped = [await roundTrip(opened.core)]
    for (let i = 0; i < 3; i += 1) {
      await operator.rotate(keyName)
      const keyId = await opened.core.currentKeyId(options())
      const next = await roundTrip(opened.core)
      expect(next.keyId).toBe(keyId)
      wrapped.push(next)
    }
    expect(new Set(wrapped.map(({ keyId }) => keyId)).size).toBe(4)
    for (const { core } of [opened, open()]) {
      for (const one of wrapped) expect(await core.unwrap(one, options())).toHaveLength(DEK_BYTES)
    }
  })

  test('rotations in the middle of many calls: each DEK opens under the key id that it was given, at the first try', async () => {
    let working = 8
    const rotate = async (): Promise<void> => {
      while (working > 0) await operator.rotate(keyName)
    }
    const wrapMany = async (): Promise<void> => {
      try {
        for (let i = 0; i < 20; i += 1) await roundTrip(opened.bare)
      } finally {
        working -= 1
      }
    }
    await Promise.all([rotate(), ...Array.from({ length: working }, wrapMany)])
    expect((await operator.readKey(keyName))['latest_version']).toBeGreaterThan(3)
  })

  test('bytes of one version under the key id of another do not open', async () => {
    const first = await roundTrip(opened.core)
    await operator.rotate(keyName)
    const second = await roundTrip(opened.core)
    const mixed = [
      { ...first, keyId: second.keyId },
      { ...second, keyId: first.keyId },
    ]
    for (const one of mixed) {
      expect(await outcomeOf(opened.core.unwrap(one, options()))).toBe('ERR_DECRYPTION_FAILED')
    }
  })

  test('a version below min_decryption_version is told from bad data, and opens when it is lowered', async () => {
    const first = await roundTrip(opened.core)
    await operator.rotate(keyName)
    await operator.configure(keyName, { min_decryption_version: 2 })
    for (const { core } of [opened, open()]) {
      const error = await failureOf(core.unwrap(first, options()))
      expect(error.code).toBe('ERR_KEY_UNUSABLE')
      expect(error.message).toContain('min_decryption_version')
      await roundTrip(core)
    }
    await operator.configure(keyName, { min_decryption_version: 1 })
    expect(await outcomeOf(opened.core.unwrap(first, options()))).toBe('OK')
  })

  test('min_encryption_version does not hold the key id back', async () => {
    await operator.rotate(keyName)
    await operator.configure(keyName, { min_encryption_version: 2 })
    await roundTrip(opened.core)
  })

  test('a key that was deleted and made anew is another key: old values are refused as those of an unknown key', async () => {
    const old = await roundTrip(opened.core)
    await destroyAndMakeAnew()
    for (const { core } of [opened, open()]) {
      expect(await outcomeOf(core.unwrap(old, options()))).toBe('ERR_KEY_UNKNOWN')
    }
    expect(await opened.core.currentKeyId(options())).not.toBe(old.keyId)
    await roundTrip(opened.core)
  })

  test('a key that is restored from its backup is the same key', async () => {
    await operator.configure(keyName, { exportable: true, allow_plaintext_backup: true })
    const old = await roundTrip(opened.core)
    const backup = await bench.server.api.must('GET', `transit/backup/${keyName}`)
    await operator.destroyKey(keyName)
    expect(await outcomeOf(opened.core.unwrap(old, options()))).toBe('ERR_KEY_NOT_FOUND')
    await bench.server.api.must('POST', `transit/restore/${keyName}`, backup['data'] as Json)
    expect(await opened.core.currentKeyId(options())).toBe(old.keyId)
    for (const { core } of [opened, open()]) expect(await outcomeOf(core.unwrap(old, options()))).toBe('OK')
  })

  test('a deleted key is missed, not made anew, even by a token that may make it', async () => {
    const root = bench.open({
      keyName,
      auth: { method: 'token', token: bench.secret(bench.server.api.access.token ?? '') },
    })
    const old = await roundTrip(root.core)
    await operator.destroyKey(keyName)
    for (const { core } of [opened, root]) {
      expect(await outcomeOf(core.wrap(randomBytes(DEK_BYTES), options()))).toBe('ERR_KEY_NOT_FOUND')
      expect(await outcomeOf(core.unwrap(old, options()))).toBe('ERR_KEY_NOT_FOUND')
      expect(await outcomeOf(core.currentKeyId(options()))).toBe('ERR_KEY_NOT_FOUND')
    }
    expect((await bench.server.api.ask('GET', `transit/keys/${keyName}`)).status).toBe(404)
  })

  test('check calls a root token dangerous, and one that may create as well', async () => {
    const token = bench.secret(bench.server.api.access.token ?? '')
    const ofRoot = await bench.check({ keyName, auth: { method: 'token', token } })
    expect(ofRoot.filter((line) => line.startsWith('warning')).join('\n')).toMatch(/root/)
    const careless = policyFor({ mount: 'transit', keyName }).replaceAll('"update"', '"create", "update"')
    await operator.writePolicy('careless', careless)
    const ofCareless = await bench.check({ keyName, auth: await bench.token(['careless']) })
    expect(ofCareless.filter((line) => line.startsWith('warning')).join('\n')).toMatch(/"create"/)
    const ofGood = await bench.check({ keyName, auth })
    expect(ofGood.filter((line) => !line.startsWith('ok'))).toEqual([])
  })

  test('a soft-deleted key is disabled until it is restored', async () => {
    const old = await roundTrip(opened.core)
    await operator.softDelete(keyName)
    for (const { core } of [opened, open()]) {
      expect(await outcomeOf(core.unwrap(old, options()))).toBe('ERR_KEY_DISABLED')
      expect(await outcomeOf(core.wrap(randomBytes(DEK_BYTES), options()))).toBe('ERR_KEY_DISABLED')
      expect(await outcomeOf(core.currentKeyId(options()))).toBe('ERR_KEY_DISABLED')
    }
    await operator.restore(keyName)
    expect(await outcomeOf(opened.core.unwrap(old, options()))).toBe('OK')
  })

  test.each(['ed25519', 'ecdsa-p256', 'hmac'])(
    'a key that cannot encrypt is named as such: %s',
    async (type) => {
      const name = `not-${type}`
      await operator.makeKey(name, type === 'hmac' ? { type, key_size: 32 } : { type })
      await operator.writePolicy(name, policyFor({ mount: 'transit', keyName: name }))
      const { core } = bench.open({ keyName: name, auth: await bench.token([name]) })
      const error = await failureOf(core.currentKeyId(options()))
      expect([error.code, error.message]).toEqual(['ERR_KEY_UNUSABLE', expect.stringContaining(type)])
    },
  )

  test('a derived key without context, and associated data for RSA, are mistakes of the configuration', async () => {
    const wrong: readonly (readonly [string, Json, Json])[] = [
      ['derived', { derived: true }, {}],
      ['rsa', { type: 'rsa-2048' }, { associatedData: 'cluster one' }],
    ]
    for (const [name, key, settings] of wrong) {
      await operator.makeKey(name, key)
      await operator.writePolicy(name, policyFor({ mount: 'transit', keyName: name }))
      const { core } = bench.open({ keyName: name, ...settings, auth: await bench.token([name]) })
      expect(await outcomeOf(core.wrap(randomBytes(DEK_BYTES), options()))).toBe('ERR_CONFIG_INVALID')
    }
  })
})
