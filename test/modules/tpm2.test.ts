import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeTpm2, tpm2Missing } from '../support/modules/tpm2.js'
import { unlessMissing, type TokenModule } from '../support/modules/token_module.js'
import { TokenSession } from '../support/modules/token_session.js'

describe.skipIf(tpm2Missing !== undefined)(unlessMissing('a token on a TPM', tpm2Missing), () => {
  let token: TokenModule | undefined
  let session: TokenSession | undefined
  beforeAll(async () => {
    token = await makeTpm2()
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

  test('AES-CBC: seals 32 bytes and opens them', async () => {
    expect(await session?.roundTrip('aes-cbc', 'aes')).toBe(32)
  })

  test('makes a MAC with a key for HMAC-SHA-256', async () => {
    expect(await session?.hmac('hmac')).toBe(32)
  })

  test.each(['rsa-oaep-sha256', 'rsa-oaep-sha1'] as const)(
    '%s: seals 32 bytes and opens them, given room for exactly one modulus',
    async (strategy) => {
      expect(await session?.roundTrip(strategy, 'rsa')).toBe(256)
    },
  )
})
