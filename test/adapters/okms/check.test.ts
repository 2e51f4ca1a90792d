import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { okms } from '../../../src/adapters/backends/okms/index.js'
import type { Finding } from '../../../src/ports/operations.js'
import { backendDeps } from '../../support/backend_deps.js'
import { byLabel, OkmsSubject } from '../../support/okms_subject.js'

let subject: OkmsSubject
beforeEach(async () => {
  subject = await OkmsSubject.start()
})
afterEach(async () => subject.close())

async function check(change: Record<string, unknown> = {}, isPrimary = true): Promise<readonly Finding[]> {
  return okms.check(subject.settings(change), backendDeps({ key: 'ovh', isPrimary }))
}

const lines = (findings: readonly Finding[]) =>
  findings.map(({ level, subject: about, text }) => `${level} ${about}: ${text}`).join('\n')

describe('kmsplugin check on a service key of OVHcloud', () => {
  test('finds nothing to say about a good one but what the identity of the certificate needs', async () => {
    const findings = await check()
    expect(findings).toHaveLength(1)
    expect(lines(findings)).toContain(`ok keys.ovh.keyId: key ${subject.key.id}`)
    expect(lines(findings)).toContain('protection level HSM')
    expect(lines(findings)).toContain('okms:apikms:serviceKey/encrypt, /decrypt and /get')
  })

  test('looks, and changes and encrypts nothing', async () => {
    await check()
    expect(subject.fake.server.requests.map(({ method }) => method)).toEqual(['GET'])
  })

  test.each([
    [{ state: 'deactivated' }, 'activate it again'],
    [{ type: 'EC' }, 'oct'],
    [{ operations: ['encrypt'] }, 'may not decrypt'],
  ])('refuses a key that cannot be used, with its attributes: %j', async (change, said) => {
    Object.assign(subject.key, change)
    const [finding] = await check()
    expect(finding?.level).toBe('error')
    expect(finding?.text).toContain(said)
    expect(finding?.evidence?.map(({ verdict }) => verdict)).toContain('refused')
  })

  test('warns of a key that only opens and is deactivated', async () => {
    subject.key.state = 'deactivated'
    const findings = await check({}, false)
    expect(findings.map(({ level }) => level)).toEqual(['ok', 'warning'])
  })

  test('warns of a label, a short key, and a state that is not told', async () => {
    const key = subject.fake.addKey({ name: 'short', size: 128, state: undefined })
    const said = lines(await check(byLabel('short')))
    expect(said).toContain(`warning keys.ovh.keyLabel: whoever gives this label`)
    expect(said).toContain(`keyId: ${key.id}`)
    expect(said).toContain('the key has 128 bits')
    expect(said).toContain('does not tell the state')
  })

  test('says what is wrong where nothing can be seen', async () => {
    subject.fake.clients.clear()
    const findings = await check()
    expect(findings).toHaveLength(1)
    expect(lines(findings)).toMatch(/^error keys\.ovh\.keyId: .*does not take the client certificate/)
  })
})
