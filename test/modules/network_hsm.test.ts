/** An HSM behind a network that goes away and comes back: p11-kit's server, which one can kill and stop. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { WrappedDek } from '../../src/ports/key_wrapper.js'
import { backend, openOn, settingsOf, soon, type Opened } from '../adapters/pkcs11/opened.js'
import { outcomeOf } from '../doubles/outcome.js'
import { makeP11Kit, p11KitMissing, type RemoteToken } from '../support/modules/p11kit.js'
import { unlessMissing } from '../support/modules/token_module.js'
import { until } from '../support/plugin.js'

describe.skipIf(p11KitMissing !== undefined)(unlessMissing('an HSM behind a network', p11KitMissing), () => {
  const dek = randomBytes(32)
  let token: RemoteToken
  let opened: Opened
  let wrapped: WrappedDek

  beforeAll(async () => {
    token = await makeP11Kit()
    const change = { mechanism: 'rsa-oaep-sha256' } as const
    opened = openOn(token, change, { callTimeoutMs: 1000 })
    await backend.keygen?.(settingsOf(token, change), opened.deps)
    wrapped = await opened.wrapper.wrap(dek, soon())
  })

  afterAll(async () => {
    await (opened as Opened | undefined)?.wrapper.close()
    await (token as RemoteToken | undefined)?.remove()
  })

  const unwrap = async (within = 20_000) => outcomeOf(opened.wrapper.unwrap(wrapped, soon(within)))

  test('its server dies and a new one comes before anybody asks: the next call works in the same process', async () => {
    for (let i = 0; i < 3; i += 1) {
      const starts = opened.starts()
      await token.kill()
      await token.restart()
      expect(await unwrap()).toBe('OK')
      expect(opened.starts()).toBe(starts)
    }
  })

  test('its server is gone for a while: calls fail at once as an outage, and work when it is back', async () => {
    await token.kill()
    for (let i = 0; i < 3; i += 1) expect(await unwrap()).toBe('ERR_BACKEND_UNAVAILABLE')
    await token.restart()
    await until(async () => (await unwrap()) === 'OK')
  })

  test('its server hangs: calls leave at their deadlines, and work when it goes on', async () => {
    token.stop()
    try {
      expect(await unwrap(300)).toBe('ERR_DEADLINE_EXCEEDED')
      expect(await unwrap(300)).toBe('ERR_DEADLINE_EXCEEDED')
    } finally {
      token.cont()
    }
    await until(async () => (await unwrap(5000)) === 'OK')
  })
})
