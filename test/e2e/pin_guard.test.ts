/** The built program on a token that counts every try: a wrong PIN costs one, however often the plugin starts. */
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { faultModuleMissing, makeFaultModule, type FaultModule } from '../support/fault_module.js'
import { HsmSandbox } from '../support/hsm.js'
import { isHealthy } from '../support/kms_client.js'
import { freePort, until, type Process, type Settings } from '../support/plugin.js'
import { onSoftHsm, softHsmMissing } from '../support/softhsm.js'
import { changeToken } from '../support/token_objects.js'

const WRONG = '97531864'
/** As a Luna has it. */
const LOCKED_AFTER = 10

/** For a machine that does much else. */
const BOUND_MS = 30_000

const missing = softHsmMissing ?? faultModuleMissing

describe.skipIf(missing !== undefined)(onSoftHsm('a PIN that the token refuses'), () => {
  let sandbox: HsmSandbox
  let token: FaultModule
  let port: number

  beforeEach(async () => {
    sandbox = await HsmSandbox.make()
    token = makeFaultModule(sandbox.hsm)
    token.set([`lockpin=${LOCKED_AFTER}`])
    port = await freePort()
  })
  afterEach(async () => sandbox.close())

  const stateDir = () => sandbox.path('state')
  const remembered = () => readdirSync(stateDir())
  const logins = () => token.calls().filter(({ name }) => name === 'C_Login').length

  function config(server: Settings = { stateDir: stateDir() }): Settings {
    return sandbox.hsmConfig({
      server,
      health: { address: `127.0.0.1:${port}`, probeInterval: '100ms' },
      keys: { hsm: sandbox.key({ module: token.path }) },
    })
  }

  const begin = (server?: Settings): Process => sandbox.begin(config(server), { env: sandbox.hsm.env })

  const check = async (server?: Settings) =>
    sandbox.run(['check', '--config', sandbox.writeConfig(config(server))], { env: sandbox.hsm.env })

  /** Somebody else, with the vendor's tools. */
  const loginByHand = (pin: string) => {
    const { tokenLabel, env } = sandbox.hsm
    return changeToken({ module: token.path, tokenLabel, pin, env }, [{ do: 'login', pin }])
  }

  function replacePin(pin: string): void {
    const draft = `${sandbox.hsm.pinFile}.new`
    writeFileSync(draft, pin, { mode: 0o600 })
    renameSync(draft, sandbox.hsm.pinFile)
  }

  async function readyz(): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${port}/readyz`)
    return `${response.status} ${await response.text()}`
  }

  const isRefused = async () =>
    until(async () => (await readyz().catch(() => '')).includes('ERR_LOGIN_REFUSED'), BOUND_MS)

  test('is sent once over 20 starts, each ended by kill -9, and 20 checks; then the right one serves', async () => {
    replacePin(WRONG)
    for (let start = 0; start < 20; start += 1) {
      const plugin = begin()
      const checked = check()
      await isRefused()
      expect((await checked).code).toBe(1)
      expect(await readyz()).toMatch(/^503 /)
      expect(plugin.isRunning).toBe(true)
      // From the folder, not from the token's own count.
      if (start > 0) expect(plugin.stderr()).toContain('refused this PIN before and was not asked again')
      expect(plugin.stderr() + (await checked).stdout).not.toContain(WRONG)
      // As a config management does that writes its files anew every time.
      replacePin(WRONG)
      await plugin.kill()
    }
    expect(token.loginFailures()).toBe(1)
    expect(logins()).toBe(1)
    expect(remembered()).toHaveLength(1)

    const plugin = begin()
    await isRefused()
    replacePin(sandbox.hsm.pin)
    await until(async () => isHealthy(sandbox.socket), BOUND_MS)
    await until(() => remembered().length === 0)
    expect(logins()).toBe(2)
    expect(await plugin.stop()).toMatchObject({ code: 0 })
  }, 120_000)

  test('is sent once by eight commands and a plugin that all start at the same time', async () => {
    replacePin(WRONG)
    begin()
    const checks = await Promise.all(Array.from({ length: 8 }, async () => check()))
    expect(checks.map(({ code }) => code)).toEqual(Array(8).fill(1))
    await isRefused()
    expect(logins()).toBe(1)
  })

  test('leaves neither itself nor the right one on the disk', async () => {
    replacePin(WRONG)
    begin()
    await isRefused()
    const content = remembered().map((name) => `${name}\n${readFileSync(join(stateDir(), name), 'latin1')}`)
    expect(content).toHaveLength(1)
    for (const pin of [WRONG, sandbox.hsm.pin]) {
      for (const encoding of ['latin1', 'hex', 'base64', 'utf16le'] as const) {
        const text = Buffer.from(pin).toString(encoding)
        expect(content.join('\n').toLowerCase()).not.toContain(text.replace(/=+$/, '').toLowerCase())
      }
    }
  })

  test('without a state folder, is sent once as well, since the token tells that it counts a failed login', async () => {
    replacePin(WRONG)
    for (let start = 0; start < 5; start += 1) {
      const plugin = begin({})
      await isRefused()
      await plugin.kill()
      expect((await check({})).code).toBe(1)
    }
    expect(token.loginFailures()).toBe(1)
    // The right PIN is not tried either, until somebody shows that the failed login was not with this one.
    replacePin(sandbox.hsm.pin)
    const plugin = begin({})
    await isRefused()
    expect(token.loginFailures()).toBe(1)
    loginByHand(sandbox.hsm.pin)
    await until(async () => isHealthy(sandbox.socket), BOUND_MS)
    expect(plugin.isRunning).toBe(true)
  }, 60_000)

  test('a folder that cannot be used is an error of check, and one warning of a plugin that serves all the same', async () => {
    const server = { stateDir: sandbox.path('absent', 'state') }
    const { code, stdout } = await check(server)
    expect({ code, stdout }).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('server.stateDir') as string,
    })
    const plugin = begin(server)
    await until(async () => isHealthy(sandbox.socket), BOUND_MS)
    expect(plugin.log().filter(({ msg }) => msg.includes('stateDir'))).toHaveLength(1)
  })

  test('a library that dies inside C_Login is not called again while the token counts a failed login, over restarts', async () => {
    loginByHand(WRONG)
    const before = logins()
    token.set([`lockpin=${LOCKED_AFTER}`, 'C_Login abort'])
    for (let start = 0; start < 3; start += 1) {
      const plugin = begin()
      await isRefused()
      await plugin.kill()
    }
    expect(logins() - before).toBe(1)
    token.set([`lockpin=${LOCKED_AFTER}`])
    const plugin = begin()
    await isRefused()
    expect(logins() - before).toBe(1)
    loginByHand(sandbox.hsm.pin)
    await until(async () => isHealthy(sandbox.socket), BOUND_MS)
    await until(() => remembered().length === 0)
    expect(plugin.isRunning).toBe(true)
  }, 60_000)

  test('the right PIN is not sent either to a token that is locked or that the next wrong one would lock', async () => {
    token.set(['lockpin=3'])
    for (const failures of [2, 3]) {
      while (token.loginFailures() < failures) loginByHand(WRONG)
      const before = logins()
      const plugin = begin()
      await isRefused()
      await plugin.kill()
      expect(logins()).toBe(before)
    }
  })
})
