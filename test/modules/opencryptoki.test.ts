import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeOpencryptoki, opencryptokiMissing } from '../support/modules/opencryptoki.js'
import { unlessMissing, type TokenModule } from '../support/modules/token_module.js'
import { TokenSession } from '../support/modules/token_session.js'

describe.skipIf(opencryptokiMissing !== undefined)(
  unlessMissing('a token of openCryptoki', opencryptokiMissing),
  () => {
    let token: TokenModule | undefined
    let session: TokenSession | undefined
    beforeAll(async () => {
      token = await makeOpencryptoki()
      token.makeKey('aes', 'aes')
      token.makeKey('hmac', 'hmac')
      token.makeKey('rsa', 'rsa')
      session = new TokenSession(token)
      await session.start()
    })
    afterAll(async () => {
      await session?.close()
      await token?.remove()
      expect(existsSync('/var/lib/opencryptoki/swtok/NVTOK.DAT')).toBe(false)
      expect(existsSync('/var/run/pkcsslotd.socket')).toBe(false)
    })

    test('AES-CBC: seals 32 bytes and opens them', async () => {
      expect(await session?.roundTrip('aes-cbc', 'aes')).toBe(32)
    })

    test('makes a MAC with a generic secret', async () => {
      expect(await session?.hmac('hmac')).toBe(32)
    })

    test.each(['rsa-oaep-sha256', 'rsa-oaep-sha1'] as const)(
      '%s: seals 32 bytes and opens them',
      async (strategy) => {
        expect(await session?.roundTrip(strategy, 'rsa')).toBe(256)
      },
    )
  },
)
