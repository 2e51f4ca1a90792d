import { createRequire } from 'node:module'
import { describe, expect, test } from 'vitest'
import { ckrRow, isKnownCkr } from '../../../src/adapters/backends/pkcs11/shared/ckr.js'
import { softHsmMissing } from '../../support/softhsm.js'

const all = Array.from({ length: 0x400 }, (_, rv) => rv).filter(isKnownCkr)

describe('the table of PKCS#11 return values', () => {
  test('an unknown value says that only a new process may serve, and shows its number', () => {
    expect(ckrRow(0x80001234)).toEqual({
      name: 'CKR_0x80001234',
      code: 'ERR_BACKEND_UNAVAILABLE',
      recovery: 'replace',
    })
  })

  test('no answer to a PIN is ever followed by another try', () => {
    for (const rv of [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0x102]) {
      expect(ckrRow(rv)).toMatchObject({ code: 'ERR_LOGIN_REFUSED', recovery: 'none' })
    }
  })

  test('bad data never replaces the process', () => {
    for (const rv of [0x40, 0x41, 0x42]) {
      expect(ckrRow(rv)).toMatchObject({ code: 'ERR_DECRYPTION_FAILED', recovery: 'none' })
    }
  })

  test('no name stands for two numbers', () => {
    expect(new Set(all.map((rv) => ckrRow(rv).name)).size).toBe(all.length)
  })

  test.skipIf(softHsmMissing === 'pkcs11js is not built')('the numbers are those of pkcs11js', () => {
    const constants = createRequire(import.meta.url)('pkcs11js') as Record<string, unknown>
    const checked = all.filter((rv) => constants[ckrRow(rv).name] !== undefined)
    for (const rv of checked) expect(constants[ckrRow(rv).name], ckrRow(rv).name).toBe(rv)
    expect(checked.length).toBeGreaterThan(30)
  })
})
