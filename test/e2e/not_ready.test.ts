import { chmodSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { KmsV2Provider } from '../support/apiserver.js'
import { refusal } from '../support/kms_client.js'
import { readKeys, writeKeys } from '../support/local_keys.js'
import { freePort, until } from '../support/plugin.js'
import { sandboxPerTest } from '../support/scene.js'

const scene = sandboxPerTest()

interface Page {
  readonly status: number
  readonly body: string
}

async function get(port: number, path: string): Promise<Page> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`)
  return { status: response.status, body: await response.text() }
}

describe('a plugin whose key is not there when it starts', () => {
  test('listens at once, says what it waits for, and is healthy soon after the key is there', async () => {
    const port = await freePort()
    const plugin = scene.sandbox.begin(
      scene.sandbox.localConfig({ health: { address: `127.0.0.1:${port}` } }),
    )
    await plugin.says('listening')
    const client = scene.connect()
    // Before the second failed probe it is starting; then an operator must act, and kube-apiserver stops writing.
    const first = await refusal(client.v2Status())
    expect([
      'UNAVAILABLE: plugin is starting: primary key not proved yet',
      'FAILED_PRECONDITION: KEK not found',
    ]).toContain(first)
    await until(async () => (await refusal(client.v2Status())) === 'FAILED_PRECONDITION: KEK not found')
    expect(await refusal(client.v2Encrypt(Buffer.alloc(32)))).toMatch(/^(FAILED_PRECONDITION|UNAVAILABLE): /)

    expect((await get(port, '/livez')).status).toBe(200)
    const notReady = await get(port, '/readyz')
    expect(notReady.status).toBe(503)
    expect(notReady.body).toContain('main: primary, ERR_KEY_NOT_FOUND')
    expect((await get(port, '/healthz')).status).toBe(503)
    expect((await get(port, '/metrics')).status).toBe(200)
    expect(plugin.log().find(({ level }) => level === 'error')).toMatchObject({
      key: 'main',
      code: 'ERR_KEY_NOT_FOUND',
      reason: expect.stringContaining(scene.sandbox.keyFile) as string,
    })

    await scene.sandbox.makeKeyFile()
    await until(async () => scene.isHealthy())
    expect((await get(port, '/readyz')).status).toBe(200)
    const provider = new KmsV2Provider(client)
    await provider.poll()
    const stored = provider.write('/registry/secrets/a/b', Buffer.from('value'))
    expect((await provider.read(stored)).value.toString()).toBe('value')
    expect(plugin.isRunning).toBe(true)
  })

  test('tells the same fault once, however often it is probed', async () => {
    const plugin = scene.sandbox.begin(scene.sandbox.localConfig())
    await plugin.says('a key fails its probe')
    const client = scene.connect()
    for (let call = 0; call < 20; call += 1) await refusal(client.v2Status())
    await until(async () => (await refusal(client.v2Status())).startsWith('FAILED_PRECONDITION'))
    expect(plugin.log().filter(({ level }) => level === 'error')).toHaveLength(1)
  })
})

describe('a key that goes away while the plugin runs', () => {
  test('stops the sealing; what was opened before still opens; when it is back all is well', async () => {
    await scene.sandbox.serveLocal({ health: { probeInterval: '100ms' } })
    const client = scene.connect()
    const sealed = await client.v2Encrypt(Buffer.from('before'))
    const content = readKeys(scene.sandbox.keyFile)
    rmSync(scene.sandbox.keyFile)
    // The first failed probe stops the sealing and shows in healthz; the second makes Status an error.
    await until(async () => (await client.v2Status().catch(() => undefined))?.healthz !== 'ok')
    expect(await refusal(client.v2Encrypt(Buffer.alloc(32)))).toBe('FAILED_PRECONDITION: KEK not found')
    await until(
      async () => (await refusal(client.v2Status()).catch(() => '')) === 'FAILED_PRECONDITION: KEK not found',
    )
    expect(await refusal(client.v2Encrypt(Buffer.alloc(32)))).toBe('FAILED_PRECONDITION: KEK not found')
    expect((await client.v2Decrypt(sealed)).toString()).toBe('before')
    writeKeys(scene.sandbox.keyFile, content)
    await until(async () => scene.isHealthy())
    expect((await client.v2Encrypt(Buffer.alloc(32))).keyId).toBe(sealed.keyId)
  })

  test('stops the writes of kube-apiserver after 3 minutes, and never its reads', async () => {
    await scene.sandbox.serveLocal({ health: { probeInterval: '100ms' } })
    let nowMs = 0
    const client = scene.connect()
    const provider = new KmsV2Provider(client, { nowMs: () => nowMs })
    await provider.poll()
    const stored = provider.write('/registry/secrets/a/b', Buffer.from('value'))
    const content = readKeys(scene.sandbox.keyFile)
    rmSync(scene.sandbox.keyFile)
    await until(async () =>
      (await refusal(client.v2Status()).catch(() => '')).startsWith('FAILED_PRECONDITION'),
    )
    nowMs += 2 * 60_000
    await expect(provider.poll()).rejects.toMatchObject({ code: 9 })
    provider.write('/registry/secrets/a/c', Buffer.from('still'))
    nowMs += 2 * 60_000
    await expect(provider.poll()).rejects.toMatchObject({ code: 9 })
    expect(() => provider.write('/registry/secrets/a/d', Buffer.from('too late'))).toThrow('expired')
    expect((await provider.read(stored)).value.toString()).toBe('value')
    writeKeys(scene.sandbox.keyFile, content)
    await until(async () => scene.isHealthy())
    await provider.poll()
    provider.write('/registry/secrets/a/d', Buffer.from('again'))
  })

  test('disabled by the operator, is a failed precondition until it is enabled', async () => {
    await scene.sandbox.serveLocal({ health: { probeInterval: '100ms' }, envelope: { dekCacheTimeout: 0 } })
    const client = scene.connect()
    const sealed = await client.v2Encrypt(Buffer.from('before'))
    const content = readKeys(scene.sandbox.keyFile)
    writeKeys(scene.sandbox.keyFile, {
      ...content,
      keys: content.keys.map((entry) => ({ ...entry, state: 'disabled' })),
    })
    await until(
      async () => (await refusal(client.v2Status()).catch(() => '')) === 'FAILED_PRECONDITION: KEK disabled',
    )
    expect(await refusal(client.v2Decrypt(sealed))).toBe('FAILED_PRECONDITION: KEK disabled')
    writeKeys(scene.sandbox.keyFile, content)
    await until(async () => scene.isHealthy())
    expect((await client.v2Decrypt(sealed)).toString()).toBe('before')
  })

  test('whose file others may read suddenly, is not used until that is mended', async () => {
    await scene.sandbox.serveLocal({ health: { probeInterval: '100ms' } })
    chmodSync(scene.sandbox.keyFile, 0o644)
    const client = scene.connect()
    await until(async () =>
      (await refusal(client.v2Status()).catch(() => '')).startsWith('FAILED_PRECONDITION'),
    )
    chmodSync(scene.sandbox.keyFile, 0o600)
    await until(async () => scene.isHealthy())
  })
})

describe('a health port that is in use', () => {
  test('is told and leaves the socket as it is', async () => {
    const occupant = createServer((_request, response) => response.end('occupant')).listen(0, '127.0.0.1')
    await once(occupant, 'listening')
    const { port } = occupant.address() as { port: number }
    const plugin = await scene.sandbox.serveLocal({ health: { address: `127.0.0.1:${port}` } })
    expect(await scene.isHealthy()).toBe(true)
    const line = plugin.log().find(({ level }) => level === 'error')
    expect(line?.['reason']).toContain('health.address')
    expect(line?.['reason']).toContain(String(port))
    expect((await get(port, '/livez')).body).toBe('occupant')
    occupant.close()
    expect((await plugin.stop()).code).toBe(0)
  })
})
