import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeNss, nssMissing } from './nss.js'
import { unlessMissing, type TokenModule } from './token_module.js'
import { TokenSession } from './token_session.js'

describe.skipIf(nssMissing !== undefined)(unlessMissing('a token of NSS', nssMissing), () => {
  let token: TokenModule | undefined
  let session: TokenSession | undefined
  beforeAll(async () => {
    token = await makeNss()
    token.makeKey('aes', 'aes')
    token.makeKey('hmac', 'hmac')
    token.makeKey('rsa', 'rsa')
    session = new TokenSession(token)
    await session.start()
  })
  afterAll(async () => {
    await session?.close()
    await token?.remove()
  })

  test('says which module it is', () => {
    expect(token?.version).toMatch(/^NSS .* \d+\.\d+$/)
  })

  test.each([
    ['aes-gcm', 'aes', 48],
    ['aes-kw', 'aes', 40],
    ['aes-kwp', 'aes', 40],
    ['aes-cbc', 'aes', 32],
    ['rsa-oaep-sha256', 'rsa', 256],
    ['rsa-oaep-sha1', 'rsa', 256],
  ] as const)('seals 32 bytes with %s and opens them', async (strategy, label, bytes) => {
    expect(await session?.roundTrip(strategy, label)).toBe(bytes)
  })

  test('makes a MAC with a generic secret', async () => {
    expect(await session?.hmac('hmac')).toBe(32)
  })
})
