/** The built program on two tokens that hold one KEK: what kube-apiserver and /metrics show while one of them is out. */
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { HsmSandbox } from '../support/hsm.js'
import { isHealthy, KmsClient } from '../support/kms_client.js'
import { freePort, until } from '../support/plugin.js'
import { onSoftHsm, softHsmMissing } from '../support/softhsm.js'
import { changeToken } from '../support/token_objects.js'

describe.skipIf(softHsmMissing !== undefined)(onSoftHsm('a plugin on two tokens'), () => {
  let sandbox: HsmSandbox
  let client: KmsClient | undefined

  beforeEach(async () => {
    sandbox = await HsmSandbox.make(false)
    sandbox.hsm.addToken('spare')
    const { module, pin, env, tokenLabel: first } = sandbox.hsm
    const value = randomBytes(32).toString('hex')
    for (const tokenLabel of [first, 'spare']) {
      changeToken({ module, tokenLabel, pin, env }, [{ do: 'importAes', label: 'kek-1', id: '0f3a', value }])
    }
  })

  afterEach(async () => {
    client?.close()
    await sandbox.close()
  })

  test('no request fails while one of them hangs, and metrics tell which it is', async () => {
    const port = await freePort()
    const tokens = [{ tokenLabel: sandbox.hsm.tokenLabel, weight: 2 }, { tokenLabel: 'spare' }]
    const plugin = await sandbox.serveHsm({
      keys: { hsm: sandbox.key({ tokenLabel: undefined, tokens }) },
      envelope: { dek: 'fresh', dekCacheTimeout: 0 },
      health: { address: `127.0.0.1:${port}` },
    })
    const up = async (): Promise<(string | undefined)[]> => {
      const page = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
      return [`0:${sandbox.hsm.tokenLabel}`, '1:spare'].map(
        (token) =>
          page.match(new RegExp(`^kmsplugin_hsm_token_up\\{key="hsm",token="${token}"\\} (.)$`, 'm'))?.[1],
      )
    }
    const isUp = async (...wanted: string[]) => JSON.stringify(await up()) === JSON.stringify(wanted)
    await until(async () => isUp('1', '1'))
    const started = plugin.log().filter(({ msg }) => msg === 'HSM process started')
    const pid = Number(started.find(({ token }) => token === `0:${sandbox.hsm.tokenLabel}`)?.['pid'])
    client = new KmsClient(sandbox.socket)
    const sealed = await client.v2Encrypt(Buffer.from('before'))

    process.kill(pid, 'SIGSTOP')
    for (let i = 0; i < 5; i++) {
      expect((await client.v2Decrypt(sealed)).toString()).toBe('before')
      const next = await client.v2Encrypt(Buffer.from('meanwhile'))
      expect((await client.v2Decrypt(next)).toString()).toBe('meanwhile')
      expect(next.keyId).toBe(sealed.keyId)
    }
    expect(plugin.log().find(({ msg }) => msg === 'token set aside')).toMatchObject({
      key: 'hsm',
      token: `token "${sandbox.hsm.tokenLabel}" (tokens.0)`,
      code: 'ERR_DEADLINE_EXCEEDED',
    })
    expect(await isHealthy(sandbox.socket)).toBe(true)
    await until(async () => isUp('1', '1'))
    expect(plugin.log().some(({ msg }) => msg === 'token is back')).toBe(true)
    expect(await plugin.stop()).toEqual({ code: 0, signal: null })
  })
})
