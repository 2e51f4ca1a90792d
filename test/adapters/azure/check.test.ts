/** What `kmsplugin check` says about a key in a vault. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { azure } from '../../../src/adapters/backends/azure/index.js'
import type { Finding } from '../../../src/ports/operations.js'
import { FakeAzure } from '../../support/fakes/azure.js'
import type { FakeVersion } from '../../support/fakes/azure_keys.js'
import { deps, section } from './opened.js'

let fake: FakeAzure
let key: FakeVersion

async function check(change: object = {}, isPrimary = true): Promise<readonly Finding[]> {
  const env = { SECRET: fake.entra.secret }
  return azure.check(section(fake.server.url, change), deps({ env, isPrimary }))
}

const levels = (findings: readonly Finding[]) => findings.map(({ level, subject }) => `${level} ${subject}`)
const texts = (findings: readonly Finding[], level: Finding['level']) =>
  findings.filter((one) => one.level === level).map(({ text }) => text)

beforeEach(async () => {
  fake = await FakeAzure.start()
  key = fake.addVersion('kek', 'RSA-HSM')
})

afterEach(async () => fake.server.close())

describe('check', () => {
  test('says how we were let in, how the key wraps, and its key id', async () => {
    const findings = await check()
    expect(levels(findings)).toEqual(['ok keys.kek.auth', 'ok keys.kek.keyName'])
    expect(findings[1]?.text).toMatch(
      /RSA-HSM and wraps with RSA-OAEP-256: azure:[a-z2-7]{26}\.[a-z2-7]{26}$/,
    )
    expect(findings[1]?.evidence?.every(({ verdict }) => verdict === 'ok')).toBe(true)
  })

  test('changes nothing and uses the key for nothing', async () => {
    await check()
    expect(
      fake.server.requests.filter(({ method }) => method !== 'GET').map(({ url }) => url.pathname),
    ).toEqual([expect.stringContaining('/oauth2/v2.0/token')])
  })

  test.each<[string, (version: FakeVersion) => void, RegExp]>([
    ['can be purged', (v) => (v.recoveryLevel = 'Recoverable+Purgeable'), /recoveryLevel.*purge protection/],
    ['is not deleted softly', (v) => (v.recoveryLevel = 'Purgeable'), /recoveryLevel.*purge protection/],
    ['can be exported', (v) => (v.exportable = true), /exportable true.*released/],
    ['has more uses', (v) => v.operations.push('encrypt', 'sign'), /key_ops.*more uses/],
    ['expires soon', (v) => (v.exp = Date.now() / 1000 + 86_400 * 7), /expires on 20.*rotate/],
  ])('warns of a key that %s', async (_name, change, text) => {
    change(key)
    const findings = await check()
    expect(levels(findings)).toContain('ok keys.kek.keyName')
    expect(texts(findings, 'warning')).toEqual([expect.stringMatching(text)])
  })

  test('warns of a key that software guards, and of a version that is pinned', async () => {
    const { version } = fake.addVersion('soft')
    const findings = await check({ keyName: 'soft', keyVersion: version })
    expect(texts(findings, 'warning')).toEqual([
      expect.stringMatching(/kty RSA.*software/),
      expect.stringMatching(/is pinned/),
    ])
  })

  test.each<[string, (version: FakeVersion) => void, RegExp]>([
    ['is disabled', (v) => (v.enabled = false), /is disabled/],
    ['has expired', (v) => (v.exp = 1_700_000_000), /expired on 2023-11-14/],
    ['is not valid yet', (v) => (v.nbf = 4_000_000_000), /does not wrap before 2096/],
    ['may not unwrap', (v) => (v.operations = ['wrapKey']), /not for unwrapKey/],
  ])('finds that a key %s', async (_name, change, text) => {
    change(key)
    expect(texts(await check(), 'error')).toEqual([expect.stringMatching(text)])
  })

  test('lets a key that only opens be expired and unable to wrap', async () => {
    key.exp = 1_700_000_000
    key.operations = ['unwrapKey']
    const findings = await check({}, false)
    expect(texts(findings, 'error')).toEqual([])
    expect(texts(findings, 'warning').join()).toContain('expired')
  })

  test.each<[string, () => void, string, RegExp]>([
    ['the secret is wrong', () => (fake.entra.secret = 'another'), 'auth', /client secret is wrong/],
    ['a role is missing', () => fake.rights.clear(), 'vaultUrl', /no role allows us get/],
    ['the firewall is closed', () => (fake.network = 'ForbiddenByFirewall'), 'vaultUrl', /firewall/],
    ['the key is absent', () => fake.purge('kek'), 'keyName', /has not got the key/],
    ['the key was deleted', () => fake.setDeleted('kek', true), 'keyName', /az keyvault key recover/],
  ])('names the setting to look at when %s', async (_name, change, setting, text) => {
    const wrong = { SECRET: fake.entra.secret }
    change()
    const findings = await azure.check(section(fake.server.url), deps({ env: wrong }))
    const last = findings.at(-1)
    expect([last?.level, last?.subject, last?.text]).toEqual([
      'error',
      `keys.kek.${setting}`,
      expect.stringMatching(text),
    ])
  })
})
