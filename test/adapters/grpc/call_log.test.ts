/** What the log says of calls: each failure, and successes where they are wanted. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { KmsError } from '../../../src/ports/errors.js'
import { refusal } from '../../support/kms_client.js'
import { fakeKeyId, TestServer } from './fake_service.js'

let t: TestServer

beforeEach(() => {
  t = new TestServer()
})
afterEach(async () => t.close())

const CALLS = 40

/** The fields of the lines of calls. */
const lines = (level: 'debug' | 'info' | 'warn') =>
  t.logger.lines
    .filter((line) => line.level === level && line.text.startsWith('request '))
    .map((line) => line.fields)

async function times(call: (i: number) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < CALLS; i += 1) await call(i)
}

describe('failures', () => {
  test('are logged every time, with what the caller is not told', async () => {
    await t.start()
    t.service.decrypt = async () => Promise.reject(new KmsError('ERR_KEY_DISABLED', 'detail'))
    const client = t.connect()
    await times(async (i) =>
      refusal(client.v2Decrypt({ ciphertext: Buffer.from('x'), keyId: fakeKeyId, uid: `uid ${i}` })),
    )
    expect(lines('warn').map(({ uid }) => uid)).toEqual(Array.from({ length: CALLS }, (_, i) => `uid ${i}`))
    expect(Object.keys(lines('warn')[0]!)).toEqual([
      ...['api', 'operation', 'outcome', 'durationMs', 'uid', 'keyId', 'fault', 'reason'],
    ])
    expect(lines('warn')[0]).toMatchObject({
      ...{ api: 'v2', operation: 'decrypt', outcome: 'ERR_KEY_DISABLED', uid: 'uid 0' },
      ...{ keyId: fakeKeyId, fault: 'operator', reason: 'detail' },
    })
  })
})

describe('successes', () => {
  test('of Encrypt on v2 are logged at info, those of Decrypt at debug, and a flood of them in part', async () => {
    await t.start()
    const client = t.connect()
    await times(async () => client.v2Encrypt(Buffer.from('x')))
    await times(async () => client.v2Decrypt({ ciphertext: Buffer.from('x'), keyId: fakeKeyId }))
    for (const [level, operation] of [
      ['info', 'encrypt'],
      ['debug', 'decrypt'],
    ] as const) {
      const logged = lines(level)
      expect(logged.length).toBeGreaterThanOrEqual(10)
      expect(new Set(logged.map((fields) => `${fields['operation']} ${fields['outcome']}`))).toEqual(
        new Set([`${operation} OK`]),
      )
      const leftOut = logged.reduce((sum, { unlogged }) => sum + Number(unlogged ?? 0), 0)
      expect(logged.length + leftOut).toBeLessThanOrEqual(CALLS)
    }
    expect(lines('info')[0]).toMatchObject({ keyId: fakeKeyId, bytes: 1 })
    expect(Object.keys(lines('debug')[0]!)).toEqual([
      ...['api', 'operation', 'outcome', 'durationMs', 'uid', 'keyId'],
    ])
  })

  test('are all logged at info with log.allValues', async () => {
    t.logAll = true
    await t.start()
    const client = t.connect()
    await times(async () => client.v2Decrypt({ ciphertext: Buffer.from('x'), keyId: fakeKeyId }))
    expect(lines('info')).toHaveLength(CALLS)
    expect(lines('info').some((fields) => 'unlogged' in fields)).toBe(false)
  })
})
