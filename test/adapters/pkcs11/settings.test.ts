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
    expect(keyQueryOf(parsed)).toEqual({
      label: 'kek',
      ckaId: Buffer.from([0x0f, 0x3a, 0x41]),
      kind: 'AES',
    })
  })

  test('a module and a PIN file are named once at each level: none of two is left out without a word', () => {
    const twice = /^(?:tokens\.0\.)?uri: names the (?:module|PIN file)/
    const module = '/a.so'
    const pin = 'file:/pin'
    const uris = [
      { uri: 'pkcs11:token=k8s;object=kek?module-path=/b.so', module },
      { uri: 'pkcs11:token=k8s;object=kek?module-path=/a.so', module },
      { uri: 'pkcs11:token=k8s;object=kek?pin-source=/other', pin },
    ]
    for (const own of uris) {
      const found = problems({ tokenLabel: undefined, keyLabel: undefined, ...own })
      expect(found, own.uri).toHaveLength(1)
      expect(found[0], own.uri).toMatch(twice)
      const listed = problems({ tokens: [{ ...own, uri: own.uri.replace(';object=kek', '') }] })
      expect(listed, own.uri).toHaveLength(1)
      expect(listed[0], own.uri).toMatch(twice)
    }
    // One of a list may differ from what stands above.
    expect(problems({ tokens: [{ uri: 'pkcs11:token=b?module-path=/b.so&pin-source=/b' }] })).toEqual([])
  })

  test('the number of a slot is one that fits into a message to every module', () => {
    expect(problems({ slot: 2 ** 32 - 1 })).toEqual([])
    expect(problems({ slot: 2 ** 32 })[0]).toMatch(/^slot: /)
    expect(problems({ tokens: [{ slot: 2 ** 32 }] })[0]).toMatch(/^tokens\.0\.slot: /)
  })

  test('tokens of a list take from the key what they do not say themselves, setting by setting', () => {
    const tokens = [
      { slot: 3 },
      { tokenLabel: 'b', pin: 'file:/pin-b', weight: 5 },
      { tokenSerial: '7', libraryParameters: 'x' },
      { uri: 'pkcs11:serial=9' },
    ]
    const places = placesOf(settings.parse({ ...good, tokens }))
    expect(places.map(({ token }) => token)).toEqual([
      { label: 'k8s', slot: 3 },
      { label: 'b' },
      { label: 'k8s', serial: '7' },
      { serial: '9' },
    ])
    expect(places.map(({ pinPath }) => pinPath)).toEqual([
      '/etc/kmsplugin/pin',
      '/pin-b',
      '/etc/kmsplugin/pin',
      '/etc/kmsplugin/pin',
    ])
    expect(places.map(({ weight }) => weight)).toEqual([1, 5, 1, 1])
    expect(problems({ tokens: [{ uri: 'pkcs11:token=a;object=b' }] })[0]).toMatch(/names a key/)
    expect(problems({ tokens: [{ uri: 'pkcs11:token=a;type=private' }] })[0]).toMatch(/names a key/)
    expect(problems({ tokens: [] })).toHaveLength(1)
    expect(problems({ tokens: [{ weight: 0 }] })).toHaveLength(1)
  })

  test('a URI names its token as a whole: nothing is added to it, nor it to anything', () => {
    const own = { tokenLabel: undefined, keyLabel: undefined, uri: 'pkcs11:token=k8s;object=kek' }
    const tokens = [{ slot: 3 }, { uri: 'pkcs11:serial=9' }, {}]
    const places = placesOf(settings.parse({ ...good, ...own, tokens }))
    expect(places.map(({ token }) => token)).toEqual([{ slot: 3 }, { serial: '9' }, { label: 'k8s' }])
  })

  test('one token listed twice is refused, however it is written down', () => {
    const twice = (...tokens: unknown[]) => problems({ tokens })
    expect(twice({ slot: 1 }, { slot: 2 })).toEqual([])
    expect(twice({}, { libraryParameters: 'another configuration' })).toEqual([])
    expect(twice({}, { module: '/another.so' })).toEqual([])
    for (const second of [
      {},
      { tokenLabel: 'k8s', weight: 7 },
      { pin: 'file:/other' },
      { uri: 'pkcs11:token=k8s' },
    ]) {
      expect(twice({ slot: 1 }, {}, second)).toEqual(['tokens.2: names the same token as tokens.1'])
    }
  })

  test('CKA_ID is hexadecimal, mechanism and exceptions are known names', () => {
    expect(problems({ ckaId: '0f3' })).toHaveLength(1)
    expect(problems({ mechanism: 'des' })).toHaveLength(1)
    expect(problems({ allowWeakKey: ['extractable'] })).toHaveLength(1)
    expect(problems({ ckaId: '0f3a', mechanism: 'aes-kwp', allowWeakKey: ['CKA_EXTRACTABLE'] })).toEqual([])
  })

  test('as many calls at once as there are threads to do them: 1 to 64', () => {
    for (const parallelCalls of [0, 65, 1.5]) expect(problems({ parallelCalls })).toHaveLength(1)
    for (const parallelCalls of [1, 64]) expect(problems({ parallelCalls })).toEqual([])
  })

  test('every setting is described', () => {
    for (const setting of Object.values(settings.shape)) expect(setting.description).toBeTruthy()
  })
})
