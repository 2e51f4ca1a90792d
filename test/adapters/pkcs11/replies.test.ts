import { expect, test } from 'vitest'
import { parseReply } from '../../../src/adapters/backends/pkcs11/replies.js'

const identity = { keyType: 'AES-256', ckaId: Buffer.from('id'), checkValue: Buffer.from('abc') }
const rsa = { keyType: 'RSA-3072', ckaId: Buffer.from('id'), checkValue: Buffer.alloc(32) }
const result = { identity, bytes: Buffer.alloc(61) }
const sealing = { mechanism: 'aes-gcm', why: 'aes-gcm by C_Encrypt' }
const evidence = { attribute: 'CKA_WRAP', value: 'true', wanted: 'false', verdict: 'refused' }
const hmac = { mechanism: 'aes-cbc-hmac', why: 'y', companionCheck: Buffer.alloc(8) }
const inspection = { token: 'x', tokenIdentity: 'z', tokenWarnings: ['y'], evidence: [evidence] }
const failure = { code: 'ERR_KEY_NOT_FOUND', text: 'gone', replace: false }

const wellFormed: readonly Record<string, unknown>[] = [
  { type: 'askLogin', tokenIdentity: '["m","n","1","k8s"]' },
  { type: 'loginStarted' },
  { type: 'loginRefused', text: 'no' },
  { type: 'loggedIn' },
  { type: 'pinRefused', fingerprint: 'ab', text: 'no' },
  { type: 'notTried', text: 'no' },
  { type: 'noPin', text: 'no' },
  { type: 'barred', text: 'no' },
  { type: 'capacity', calls: 4 },
  { type: 'failed', failure },
  { type: 'done', id: 1, result },
  { type: 'done', id: 1, result: { bytes: Buffer.alloc(32) } },
  { type: 'done', id: 1, result: { ...result, others: [identity, rsa] } },
  { type: 'done', id: 1, result: { ...result, sealing, inspection } },
  { type: 'done', id: 1, result: { ...result, sealing: hmac } },
  { type: 'error', id: 1, failure },
]

test('every message of ours is understood', () => {
  for (const message of wellFormed) expect(parseReply(message)).toEqual(message)
})

test('a message that lacks any one of its fields is none', () => {
  for (const message of wellFormed) {
    for (const field of Object.keys(message)) {
      const rest = Object.fromEntries(Object.entries(message).filter(([name]) => name !== field))
      expect(parseReply(rest), `${String(message['type'])} without ${field}`).toBeUndefined()
    }
  }
})

test('wrong types, unknown codes, ids that are none and identities without bytes are refused', () => {
  const wrong: unknown[] = [
    undefined,
    null,
    'done',
    42,
    [],
    { type: 'exec' },
    { type: 'capacity', calls: 0 },
    { type: 'capacity', calls: 1.5 },
    { type: 'error', id: -1, failure },
    { type: 'error', id: '1', failure },
    { type: 'error', id: 1, failure: { ...failure, code: 'ERR_MADE_UP' } },
    { type: 'error', id: 1, failure: { ...failure, code: 'toString' } },
    { type: 'error', id: 1, failure: { ...failure, text: 'x'.repeat(5000) } },
    { type: 'done', id: 1, result: { ...result, bytes: 'secret' } },
    { type: 'done', id: 1, result: { ...result, others: identity } },
    { type: 'done', id: 1, result: { ...result, others: [identity, {}] } },
    { type: 'done', id: 1, result: { ...result, sealing: { ...sealing, mechanism: 'rot13' } } },
    { type: 'done', id: 1, result: { ...result, sealing: { ...hmac, companionCheck: 'x'.repeat(8) } } },
    { type: 'done', id: 1, result: { ...result, sealing: { ...hmac, companionCheck: Buffer.alloc(7) } } },
    { type: 'done', id: 1, result: { ...result, inspection: { ...inspection, token: {} } } },
    { type: 'done', id: 1, result: { ...result, inspection: { ...inspection, tokenIdentity: 1 } } },
    { type: 'done', id: 1, result: { ...result, inspection: { ...inspection, tokenWarnings: 'x' } } },
    { type: 'done', id: 1, result: { ...result, inspection: { ...inspection, evidence: [{}] } } },
    { type: 'done', id: 1, result: { ...result, identity: { ...rsa, checkValue: Buffer.alloc(3) } } },
    { type: 'done', id: 1, result: { ...result, identity: { ...identity, keyType: 'DES' } } },
    { type: 'done', id: 1, result: { ...result, identity: { ...identity, ckaId: Buffer.alloc(0) } } },
    { type: 'done', id: 1, result: { ...result, identity: { ...identity, checkValue: Buffer.alloc(2) } } },
  ]
  for (const value of wrong) expect(parseReply(value)).toBeUndefined()
})
