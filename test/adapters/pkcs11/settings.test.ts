import { describe, expect, test } from 'vitest'
import { pinPathOf, settings } from '../../../src/adapters/backends/pkcs11/settings.js'

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
    expect(problems({ slot: 0 })).toHaveLength(1)
  })

  test('the PIN reference gives the path of the file', () => {
    expect(pinPathOf(settings.parse(good))).toBe('/etc/kmsplugin/pin')
  })

  test('every setting is described', () => {
    for (const setting of Object.values(settings.shape)) expect(setting.description).toBeTruthy()
  })
})
