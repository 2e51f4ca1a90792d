import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ibm } from '../../../src/adapters/backends/ibm/index.js'
import type { Finding } from '../../../src/ports/operations.js'
import { backendDeps } from '../../support/backend_deps.js'
import { IbmSubject } from '../../support/ibm_subject.js'

let subject: IbmSubject
beforeEach(async () => {
  subject = await IbmSubject.start()
})
afterEach(async () => subject.close())

async function check(change: Record<string, unknown> = {}, isPrimary = true): Promise<readonly Finding[]> {
  return ibm.check(subject.settings(change), backendDeps({ key: 'kp', isPrimary }))
}

const lines = (findings: readonly Finding[]) =>
  findings.map(({ level, subject: about, text }) => `${level} ${about}: ${text}`)

describe('kmsplugin check on an IBM root key', () => {
  test('finds nothing to say about a good one but what its service id needs', async () => {
    subject.key.dualAuth = { enabled: true }
    const [finding = '', ...more] = lines(await check())
    expect(more).toEqual([])
    expect(finding).toContain(`ok keys.kp.keyId: root key ${subject.key.id} in key ring default`)
    expect(finding).toContain('the role Reader on this key is all')
  })

  test('looks, and changes and wraps nothing', async () => {
    await check()
    expect(subject.fake.kmsRequests.map(({ method, url }) => `${method} ${url.pathname}`)).toEqual([
      `GET /api/v2/keys/${subject.key.id}/metadata`,
    ])
  })

  test.each([
    [{ state: 0 }, 'pre-active'],
    [{ state: 2 }, 'disabled'],
    [{ state: 3 }, 'expired'],
    [{ state: 5 }, 'restore it'],
    [{ extractable: true }, 'standard key'],
  ])('refuses a key that cannot be used, with its attributes: %j', async (change, said) => {
    Object.assign(subject.key, change)
    const [finding] = await check()
    expect(finding?.level).toBe('error')
    expect(finding?.text).toContain(said)
    expect(finding?.evidence?.map(({ verdict }) => verdict)).toContain('refused')
  })

  test('takes an expired key that only opens', async () => {
    subject.key.state = 3
    expect((await check({}, false))[0]?.level).toBe('ok')
  })

  test.each([
    [
      'an alias',
      () => subject.key.aliases.add('k8s'),
      { keyId: 'k8s' },
      /keyId: k8s is an alias.*write keyId: /,
    ],
    ['no versions', () => (subject.fake.tellsVersions = false), {}, /tells no versions/],
    [
      'an end',
      () => (subject.key.expirationDate = '2027-01-01T00:00:00Z'),
      {},
      /expires at 2027-01-01T00:00:00Z/,
    ],
    ['one who may delete it', () => undefined, {}, /one person can delete/],
  ])('warns of %s', async (_name, change, settings, said) => {
    change()
    const warnings = (await check(settings)).filter(({ level }) => level === 'warning')
    expect(lines(warnings).join('\n')).toMatch(said)
  })

  test('cries when one of two has asked to delete the key', async () => {
    subject.key.dualAuth = { enabled: true, keySetForDeletion: true }
    expect(lines(await check()).join('\n')).toMatch(/error keys\.kp\.keyId: .*cancel-delete/)
  })

  test('says what is wrong where nothing can be seen', async () => {
    subject.fake.iam.deleteApiKey(subject.apiKey)
    const [finding, ...more] = await check()
    expect(more).toEqual([])
    expect(finding).toMatchObject({ level: 'error', subject: 'keys.kp.keyId' })
    expect(finding?.text).toContain('does not accept the API key')
  })
})
