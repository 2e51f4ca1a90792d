/** What does `kmsplugin check` find before it is found at 3 a.m.? */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Finding } from '../../../src/ports/operations.js'
import { pluginPolicy } from '../../support/fakes/vault.js'
import type { KeyWish } from '../../support/fakes/vault/transit.js'
import type { TokenWish } from '../../support/fakes/vault/tokens.js'
import { Bench, PLUGIN } from './opened.js'

let bench: Bench
beforeEach(async () => {
  bench = await Bench.start()
})
afterEach(async () => bench.close())

const textsOf = (findings: readonly Finding[], level: Finding['level']) =>
  findings.filter((finding) => finding.level === level).map(({ subject, text }) => `${subject}: ${text}`)

const given = (wish: TokenWish) => ({
  auth: { method: 'token', token: bench.file('token', bench.token({ policies: PLUGIN, ...wish }).id) },
})

test('all is well: login, key and policy, each in one line; nothing is changed, and the token is given back', async () => {
  const findings = await bench.check()
  expect(findings.map(({ level, subject }) => `${level} ${subject}`)).toEqual([
    'ok keys.kek.auth',
    'ok keys.kek.keyName',
    'ok keys.kek.policy',
  ])
  expect(findings[0]?.text).toMatch(/by approle; the token holds for 3[56][0-9]{2} s, renewable/)
  expect(findings[1]?.text).toMatch(/aes256-gcm96, version 1: vault:[a-z2-7]{26}\.[a-z2-7]{26}$/)
  expect(bench.fake.asked).toEqual([
    'POST auth/approle/login',
    'GET auth/token/lookup-self',
    'GET transit/keys/kek',
    'POST sys/capabilities-self',
    'POST auth/token/revoke-self',
  ])
  expect(bench.fake.transit.get('kek')?.latest).toBe(1)
  expect(bench.clock.sleepers).toBe(0)
})

describe('the policy', () => {
  test('that lets Vault make a missing key is warned of, with the one to grant', async () => {
    bench.fake.policies.set('plugin', { ...pluginPolicy(), 'transit/encrypt/kek': ['create', 'update'] })
    expect(textsOf(await bench.check(), 'warning')).toEqual([
      expect.stringMatching(/^keys.kek.policy: .*"create" at transit\/encrypt\/kek.*grant "update" alone/),
    ])
  })

  test('of a root token is warned of', async () => {
    const warnings = textsOf(await bench.check(given({ policies: ['root'], ttl: 0 })), 'warning')
    expect(warnings.join('\n')).toMatch(/root token/)
    expect(warnings.join('\n')).toMatch(/root or sudo rights on transit\/keys\/kek/)
  })

  test('that lacks something says on which path; a key that only opens needs no encrypt', async () => {
    bench.fake.policies.set('plugin', { 'transit/keys/kek': ['read'] })
    expect(textsOf(await bench.check(), 'error')).toEqual([
      expect.stringContaining('lack "update" on transit/decrypt/kek'),
      expect.stringContaining('lack "update" on transit/encrypt/kek'),
    ])
    bench.fake.policies.set('plugin', { 'transit/keys/kek': ['read'], 'transit/decrypt/kek': ['update'] })
    expect(textsOf(await bench.check({ deps: { isPrimary: false } }), 'error')).toEqual([])
  })

  test('that hides the key ends the check there, and the token is given back all the same', async () => {
    bench.fake.policies.set('plugin', {})
    expect(textsOf(await bench.check(), 'error')).toEqual([
      expect.stringMatching(/^keys.kek.keyName: .*policies .*forbid transit\/keys\/kek/),
    ])
    expect(bench.fake.asked.at(-1)).toBe('POST auth/token/revoke-self')
  })
})

describe('the token', () => {
  test.each([
    ['that cannot be renewed', { isRenewable: false }, /cannot be renewed: somebody must replace it/],
    ['that can be renewed up to a maximum', { maxTtl: 7200 }, /up to its maximum only.*7200 s/],
    ['that ends after some requests', { period: 600, uses: 50 }, /ends after 4[0-9] more requests/],
  ] as const)('%s is warned of', async (_name, wish, text) => {
    expect(textsOf(await bench.check(given(wish)), 'warning')).toEqual([expect.stringMatching(text)])
  })

  test('that is periodic is as it should be', async () => {
    const findings = await bench.check(given({ period: 600 }))
    expect(textsOf(findings, 'warning')).toEqual([])
    expect(textsOf(findings, 'ok')[0]).toContain('by a period of 600 s')
  })

  test('that is refused is an error of its own, and hides what comes after it', async () => {
    const auth = { method: 'token', token: bench.file('token', 's.unknown') }
    expect(await bench.check({ auth })).toEqual([
      {
        level: 'error',
        subject: 'keys.kek.auth',
        text: expect.stringContaining('refuses the token') as string,
      },
    ])
  })

  test('of the auth method kubernetes: a cluster that waits for itself is warned of', async () => {
    bench.login('kubernetes', 'kms', ['the.jwt'])
    const auth = { method: 'kubernetes', role: 'kms', jwt: bench.file('jwt', 'the.jwt') }
    expect(textsOf(await bench.check({ auth }), 'warning')).toEqual([
      expect.stringMatching(/kube-apiserver may wait for us/),
    ])
  })
})

describe('the key', () => {
  test.each([
    ['that can be exported', { exportable: true }, {}, /can leave the server/],
    ['that can be deleted', { deletionAllowed: true }, {}, /can be deleted/],
    ['of ChaCha20', { type: 'chacha20-poly1305' }, {}, /not FIPS-approved/],
    ['of 128 bits', { type: 'aes128-gcm96' }, {}, /128 bits/],
    ['of RSA', { type: 'rsa-2048' }, {}, /cannot tell who made them/],
    ['with a context that it does not need', {}, { context: 'x' }, /is not derived/],
  ] as const)('%s is warned of', async (_name, wish: KeyWish, settings, text) => {
    bench.fake.transit.create('kek', wish)
    expect(textsOf(await bench.check({ settings }), 'warning')).toEqual([expect.stringMatching(text)])
  })

  test('that locks old versions is warned of', async () => {
    bench.fake.transit.rotate('kek')
    bench.fake.transit.get('kek')!.minDecryption = 2
    expect(textsOf(await bench.check(), 'warning')).toEqual([
      expect.stringMatching(/opens nothing that a version below 2 wrapped/),
    ])
  })

  test.each([
    ['missing', () => bench.fake.transit.delete('kek'), /has not got the key kek/],
    ['soft-deleted', () => void (bench.fake.transit.get('kek')!.softDeleted = true), /soft-delete-restore/],
    [
      'derived, without a context',
      () => void bench.fake.transit.create('kek', { derived: true }),
      /`context`/,
    ],
    [
      'of a type that cannot encrypt',
      () => void bench.fake.transit.create('kek', { type: 'ed25519' }),
      /ed25519/,
    ],
  ])('that is %s is an error', async (_name, change, text) => {
    change()
    const errors = textsOf(await bench.check(), 'error')
    expect(errors).toEqual([expect.stringMatching(text)])
    expect(errors[0]).toMatch(/^keys.kek.keyName: /)
  })
})
