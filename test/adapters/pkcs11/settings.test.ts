import { describe, expect, test } from 'vitest'
import { settings } from '../../../src/adapters/backends/pkcs11/settings.js'
import { keyQueryOf, placesOf } from '../../../src/adapters/backends/pkcs11/targets.js'

const good = {
  backend: 'pkcs11',
  module: '/usr/lib/softhsm/libsofthsm2.so',
  tokenLabel: 'k8s',
  pin: 'file:/etc/kmsplugin/pin',
  keyLabel: 'kek-1',
} as const

function problems(change: Record<string, unknown>): string[] {
  const result = settings.safeParse({ ...good, ...change })
  return result.success ? [] : result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
}

describe('the settings of a PKCS#11 key', () => {
  test('a PIN in the config file is refused, and the refusal does not quote it', () => {
    for (const pin of ['hunter2', 13572468]) {
      const [problem = '', ...more] = problems({ pin })
      expect(more).toEqual([])
      expect(problem).toBe('pin: must be file:/absolute/path; a PIN never stands in this file')
      expect(problem).not.toContain(String(pin))
    }
  })

  test('a PIN from the environment is refused with the reason', () => {
    expect(problems({ pin: 'env:HSM_PIN' })).toEqual([
      'pin: must be file:/absolute/path; a PIN is not taken from the environment, where it can be read in /proc',
    ])
  })

  test('a relative PIN file, a relative module, empty and too long labels are refused', () => {
    expect(problems({ pin: 'file:pin' })).toHaveLength(1)
    expect(problems({ module: 'libsofthsm2.so' })).toHaveLength(1)
    expect(problems({ tokenLabel: '' })).toHaveLength(1)
    expect(problems({ tokenLabel: 'é'.repeat(17) })).toHaveLength(1)
    expect(problems({ keyLabel: '' })).toHaveLength(1)
  })

  test('an unknown setting is refused', () => {
    expect(problems({ slots: 0 })).toHaveLength(1)
  })

  test('a key that nothing names, a token that nothing names, and two namings are refused', () => {
    expect(problems({ keyLabel: undefined })[0]).toMatch(/^keyLabel: is missing/)
    expect(problems({ tokenLabel: undefined })[0]).toMatch(/^tokenLabel: is missing/)
    expect(problems({ module: undefined })[0]).toMatch(/^module: is missing/)
    expect(problems({ pin: undefined })[0]).toMatch(/^pin: is missing/)
    const uri = 'pkcs11:token=k8s;object=kek-1'
    expect(problems({ uri, keyLabel: undefined })[0]).toMatch(/^uri: names the token/)
    expect(problems({ uri, tokenLabel: undefined })[0]).toMatch(/^uri: names the key/)
    expect(problems({ uri, tokenLabel: undefined, keyLabel: undefined })).toEqual([])
    expect(problems({ uri: 'pkcs11:token=k8s', tokenLabel: undefined, keyLabel: undefined })).toHaveLength(1)
  })

  test('a URI that no token could be told by is refused, and a PIN in it is not quoted', () => {
    const bad: readonly (readonly [uri: string, said: RegExp])[] = [
      ['k8s', /must begin with pkcs11:/],
      ['pkcs11:token=a;token=b', /twice/],
      ['pkcs11:token=a;library-version=1', /library-version/],
      ['pkcs11:token=a;object=%zz', /hexadecimal/],
      ['pkcs11:token=a;type=cert', /type/],
      ['pkcs11:token=a;slot-id=x', /slot-id/],
      ['pkcs11:token=a;object=k?pin-value=24681357', /pin-value/],
      ['pkcs11:token=a;object=k?pin-source=|cat', /pin-source/],
      ['pkcs11:token=a;object=k?module-path=libx.so', /module-path/],
    ]
    for (const [uri, said] of bad) {
      const [problem = '', ...more] = problems({ uri, tokenLabel: undefined, keyLabel: undefined })
      expect(problem, uri).toMatch(said)
      expect([problem, ...more].join(), uri).not.toContain('24681357')
    }
  })

  test('a URI names token, key, module and PIN file, percent signs and all', () => {
    const uri =
      'pkcs11:token=The%20HSM;serial=12;slot-id=7;object=kek;id=%0F%3aA;type=secret-key?module-path=/a.so&pin-source=file:///pin'
    const parsed = settings.parse({ backend: 'pkcs11', uri })
    expect(placesOf(parsed)).toEqual([
      { module: '/a.so', token: { label: 'The HSM', serial: '12', slot: 7 }, pinPath: '/pin', weight: 1 },
    ])
    expect(keyQueryOf(parsed)).toEqual({ label: 'kek', ckaId: Buffer.from([0x0f, 0x3a, 0x41]) })
  })

  test('tokens of a list take from the key what they do not say themselves', () => {
    const tokens = [
      { slot: 3 },
      { tokenLabel: 'b', pin: 'file:/pin-b', weight: 5 },
      { uri: 'pkcs11:serial=9' },
    ]
    const places = placesOf(settings.parse({ ...good, tokens }))
    expect(places.map(({ token }) => token)).toEqual([{ slot: 3 }, { label: 'b' }, { serial: '9' }])
    expect(places.map(({ pinPath }) => pinPath)).toEqual([
      '/etc/kmsplugin/pin',
      '/pin-b',
      '/etc/kmsplugin/pin',
    ])
    expect(places.map(({ weight }) => weight)).toEqual([1, 5, 1])
    expect(problems({ tokens: [{ uri: 'pkcs11:token=a;object=b' }] })[0]).toMatch(/names a key/)
    expect(problems({ tokens: [] })).toHaveLength(1)
    expect(problems({ tokens: [{ weight: 0 }] })).toHaveLength(1)
  })

  test('CKA_ID is hexadecimal, mechanism and exceptions are known names', () => {
    expect(problems({ ckaId: '0f3' })).toHaveLength(1)
    expect(problems({ mechanism: 'des' })).toHaveLength(1)
    expect(problems({ allowWeakKey: ['extractable'] })).toHaveLength(1)
    expect(problems({ ckaId: '0f3a', mechanism: 'aes-kwp', allowWeakKey: ['CKA_EXTRACTABLE'] })).toEqual([])
  })

  test('every setting is described', () => {
    for (const setting of Object.values(settings.shape)) expect(setting.description).toBeTruthy()
  })
})
