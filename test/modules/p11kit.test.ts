import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeP11Kit, p11KitMissing, type RemoteToken } from '../support/modules/p11kit.js'
import { unlessMissing } from '../support/modules/token_module.js'
import { TokenSession } from '../support/modules/token_session.js'

const CKR_DEVICE_ERROR = 0x30

describe.skipIf(p11KitMissing !== undefined)(unlessMissing('a token over p11-kit', p11KitMissing), () => {
  let token: RemoteToken
  let session: TokenSession
  beforeAll(async () => {
    token = await makeP11Kit()
    token.makeKey('rsa', 'rsa')
    session = new TokenSession(token)
    await session.start()
  })
  afterAll(async () => {
    await (session as TokenSession | undefined)?.close()
    await (token as RemoteToken | undefined)?.remove()
  })

  test('a dead server is a device error, also after it is back, until the module is initialised again', async () => {
    await token.kill()
    await expect(session.countSlots()).rejects.toMatchObject({ rv: CKR_DEVICE_ERROR })
    await token.restart()
    await expect(session.countSlots()).rejects.toMatchObject({ rv: CKR_DEVICE_ERROR })
    await session.end()
    await session.start()
    expect(await session.roundTrip('rsa-oaep-sha256', 'rsa')).toBe(256)
  })

  test('a call to a stopped server comes back when it goes on, not before', async () => {
    token.stop()
    const call = session.roundTrip('rsa-oaep-sha256', 'rsa')
    // Longer than a call takes; a slow machine cannot fail this.
    expect(await Promise.race([call, sleep(300, 'no answer')])).toBe('no answer')
    token.cont()
    expect(await call).toBe(256)
  })

  test.each(['rsa-oaep-sha256', 'rsa-oaep-sha1'] as const)(
    '%s: seals 32 bytes and opens them',
    async (strategy) => {
      expect(await session.roundTrip(strategy, 'rsa')).toBe(256)
    },
  )

  test('AES-GCM is a mechanism that it does not carry', async () => {
    token.makeKey('aes', 'aes')
    await expect(session.roundTrip('aes-gcm', 'aes')).rejects.toMatchObject({ rv: 0x70 })
  })
})
