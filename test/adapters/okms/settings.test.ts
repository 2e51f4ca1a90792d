import { describe, expect, test } from 'vitest'
import { settings } from '../../../src/adapters/backends/okms/settings.js'

const id = '06d1d1c1-30a5-4b6a-9a07-4b1a1c8ca3f5'
const good = {
  backend: 'okms',
  url: 'https://eu-west-rbx.okms.ovh.net',
  okmsId: 'a1f8f4b0-6d2d-43ff-9b63-8f3a3d1d8e10',
  keyId: id,
  clientCertFile: '/etc/kmsplugin/okms.pem',
  clientKeyFile: '/etc/kmsplugin/okms.key',
} as const

function problems(change: Record<string, unknown>): string[] {
  const result = settings.safeParse({ ...good, ...change })
  return result.success ? [] : result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
}

describe('the settings of a service key in OVHcloud KMS', () => {
  test.each([
    ['keyId', 'kubernetes', 'UUID of a service key'],
    ['keyId', `${id}/../x`, 'UUID of a service key'],
    ['okmsId', 'my-domain', 'UUID of an OKMS domain'],
    ['url', 'http://eu-west-rbx.okms.ovh.net', 'https'],
    ['url', 'http://127.0.0.1:8080', 'the client certificate logs in'],
    ['context', '', 'empty'],
    ['context', 'x'.repeat(65), '64'],
    ['clientCertFile', 'okms.pem', 'absolute path'],
    ['clientCertFile', undefined, 'clientCertFile'],
    ['clientKeyFile', undefined, 'clientKeyFile'],
  ])('%s: %j is refused', (name, value, said) => {
    const found = problems({ [name]: value }).join('\n')
    expect(found).toContain(name)
    expect(found).toContain(said)
  })

  test.each([
    ['', 'empty'],
    ['x'.repeat(33), '32'],
    ['a\nb', 'control'],
  ])('keyLabel: %j is refused', (keyLabel, said) => {
    expect(problems({ keyId: undefined, keyLabel }).join('\n')).toContain(said)
  })

  test('the key is named once, by its id or by its label', () => {
    expect(problems({ keyId: undefined })).toEqual([
      'keyId: is missing; name the key by keyId or by keyLabel',
    ])
    expect(problems({ keyLabel: 'kubernetes' })).toEqual(['keyId: cannot stand beside keyLabel'])
    expect(problems({ keyId: undefined, keyLabel: 'my key, ä' })).toEqual([])
  })

  test('a setting that there is not is refused', () => {
    expect(problems({ token: 'hunter2' }).join()).toContain('token')
  })

  test('ids are the same in capitals', () => {
    const { keyId, okmsId } = settings.parse({
      ...good,
      keyId: id.toUpperCase(),
      okmsId: good.okmsId.toUpperCase(),
    })
    expect([keyId, okmsId]).toEqual([id, good.okmsId])
  })
})
