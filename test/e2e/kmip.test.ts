/** The built program with a key on PyKMIP: what kube-apiserver and the operator see, on good days and bad ones. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { KmsV2Provider } from '../support/apiserver.js'
import { FaultProxy } from '../support/fault_proxy.js'
import { isHealthy } from '../support/kms_client.js'
import { until } from '../support/plugin.js'
import { pykmipMissing, startPyKmip, type PyKmip } from '../support/pykmip.js'
import { sandboxPerTest } from '../support/scene.js'

const title =
  pykmipMissing === undefined ? 'a plugin on KMIP' : `a plugin on KMIP (skipped: ${pykmipMissing})`

describe.skipIf(pykmipMissing !== undefined)(title, () => {
  const scene = sandboxPerTest()
  const etcdKey = '/registry/secrets/default/s1'
  let pykmip: PyKmip
  let proxy: FaultProxy

  beforeEach(async () => {
    pykmip = await startPyKmip()
    proxy = await FaultProxy.start(pykmip.port)
  })

  afterEach(async () => {
    await proxy.close()
    await pykmip.close()
  })

  const config = (keys: Record<string, { keyId: string } | { keyLabel: string }>, primary = 'main') => {
    const entry = { ...pykmip.settings, address: `127.0.0.1:${proxy.port}` }
    return {
      ...scene.sandbox.localConfig({ health: { probeInterval: '100ms' } }),
      primary,
      keys: Object.fromEntries(Object.entries(keys).map(([name, key]) => [name, { ...entry, ...key }])),
    }
  }

  const polled = async (): Promise<KmsV2Provider> => {
    const provider = new KmsV2Provider(scene.connect())
    await provider.poll()
    return provider
  }

  test('a value is written, the server goes away and comes back, and a restarted plugin reads it', async () => {
    const main = { keyId: await pykmip.admin.makeKey() }
    const plugin = await scene.sandbox.serve(config({ main }))
    const provider = await polled()
    const stored = provider.write(etcdKey, Buffer.from('secret'))
    await proxy.fail('refuse')
    await until(async () => !(await isHealthy(scene.sandbox.socket)))
    expect((await provider.read(stored)).value.toString()).toBe('secret')
    await proxy.fail(undefined)
    await until(async () => isHealthy(scene.sandbox.socket))
    expect(await plugin.stop()).toEqual({ code: 0, signal: null })
    await scene.sandbox.serve(config({ main }))
    const next = await polled()
    expect(next.keyId).toBe(provider.keyId)
    expect((await next.read(stored)).value.toString()).toBe('secret')
  })

  test('a rotation: the new key seals, the old one opens, and a key that only opens need not be asked before', async () => {
    const [old, main] = [{ keyId: await pykmip.admin.makeKey() }, { keyLabel: 'kek' }]
    await pykmip.admin.makeKey({ name: 'kek' })
    const before = await scene.sandbox.serve(config({ main: old }))
    const provider = await polled()
    const stored = provider.write(etcdKey, Buffer.from('secret'))
    await before.stop()
    await scene.sandbox.serve(config({ main, old }))
    const after = await polled()
    expect(after.keyId).not.toBe(provider.keyId)
    expect(await after.read(stored)).toEqual({ value: Buffer.from('secret'), stale: true })
  })

  test('check says what the server and the key are, and exits with 1 when the key is not Active', async () => {
    const good = scene.sandbox.writeConfig(config({ main: { keyId: await pykmip.admin.makeKey() } }))
    const ok = await scene.sandbox.run(['check', '--config', good])
    expect([ok.code, ok.stdout]).toEqual([0, expect.stringContaining('speaks KMIP 1.4')])
    const inactive = { keyId: await pykmip.admin.makeKey({ isActive: false }) }
    const bad = await scene.sandbox.run([
      'check',
      '--config',
      scene.sandbox.writeConfig(config({ main: inactive })),
    ])
    expect([bad.code, bad.stdout]).toEqual([1, expect.stringContaining('is pre-active; activate it')])
  })

  test('no output holds the key of our certificate', async () => {
    const plugin = await scene.sandbox.serve(config({ main: { keyId: await pykmip.admin.makeKey() } }))
    await proxy.fail('torn')
    await until(async () => !(await isHealthy(scene.sandbox.socket)))
    const { stdout, stderr } = await scene.sandbox.run([
      'check',
      '--config',
      scene.sandbox.writeConfig(config({ main: { keyId: '1' } })),
    ])
    await plugin.stop()
    const said = [plugin.stdout(), plugin.stderr(), stdout, stderr].join('\n')
    expect(said.length).toBeGreaterThan(500)
    expect(said).not.toContain('PRIVATE KEY')
  })
})
