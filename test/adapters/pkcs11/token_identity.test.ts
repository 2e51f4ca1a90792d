import { endianness } from 'node:os'
import { expect, test } from 'vitest'
import { tokenIdentity } from '../../../src/adapters/backends/pkcs11/child/token_identity.js'

const luna = {
  manufacturerID: 'SafeNet',
  model: 'LunaSA',
  serialNumber: '1234567890',
  label: 'k8s',
  flags: 0,
}
const padded = {
  manufacturerID: 'SafeNet'.padEnd(32),
  model: 'LunaSA'.padEnd(16, '\0'),
  serialNumber: '1234567890'.padEnd(16),
  label: 'k8s'.padEnd(32),
  flags: 0x40d,
}

function slot(number: number): Buffer {
  const bytes = Buffer.alloc(8)
  if (endianness() === 'LE') bytes.writeUInt32LE(number)
  else bytes.writeUInt32BE(number, 4)
  return bytes
}

test('a token with a serial is the same one by any module, in any slot, with any flags', () => {
  expect(tokenIdentity(padded, slot(7), '/opt/v2/lib.so')).toBe(
    tokenIdentity(luna, slot(0), '/opt/v1/lib.so'),
  )
})

test('tokens that differ in anything else that they tell are two', () => {
  const others = ['manufacturerID', 'model', 'serialNumber', 'label'].map((field) => ({
    ...luna,
    [field]: 'other',
  }))
  const identities = [luna, ...others].map((info) => tokenIdentity(info, slot(0), '/lib.so'))
  expect(new Set(identities).size).toBe(5)
})

test.each(['', ' '.repeat(16), '\0'.repeat(16), '0'.repeat(16)])(
  'without a serial (%j) the module and the slot count, too',
  (serialNumber) => {
    const nameless = { ...luna, serialNumber }
    const identities = [
      tokenIdentity(nameless, slot(0), '/one.so'),
      tokenIdentity(nameless, slot(1), '/one.so'),
      tokenIdentity(nameless, slot(0), '/two.so'),
    ]
    expect(new Set(identities).size).toBe(3)
    expect(tokenIdentity(nameless, slot(0), '/one.so')).toBe(identities[0])
  },
)

test('no token makes it longer than a message may be', () => {
  const worst = '\u0001'
  const info = {
    manufacturerID: worst.repeat(32),
    model: worst.repeat(16),
    serialNumber: worst.repeat(16),
    label: worst.repeat(32),
    flags: 0,
  }
  expect(tokenIdentity(info, slot(0), '/lib.so').length).toBeLessThanOrEqual(1000)
})
