import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { KmsV2Provider } from '../support/apiserver.js'
import { refusal, type KmsClient } from '../support/kms_client.js'
import { newEntry, readKeys, rotate, writeKeys } from '../support/local_keys.js'
import { until } from '../support/plugin.js'
import { sandboxPerTest } from '../support/scene.js'

const scene = sandboxPerTest()

const key = '/registry/secrets/default/s1'
const value = Buffer.from('a value')
const quickProbe = { probeInterval: '100ms' }

/** Polls Status until its key id is another one than before. */
async function newKeyId(client: KmsClient, before: string): Promise<string> {
  let keyId = before
  await until(async () => {
    keyId = (await client.v2Status()).keyId
    return keyId !== before
  })
  return keyId
}

describe('a new first key in the key file', () => {
  test('moves the key id once, and what was written before is read and known to be stale', async () => {
    await scene.sandbox.serveLocal({ health: quickProbe })
    const client = scene.connect()
    const provider = new KmsV2Provider(client)
    await provider.poll()
    const old = provider.write(key, value)
    const before = provider.keyId!

    rotate(scene.sandbox.keyFile)
    const after = await newKeyId(client, before)
    await provider.poll()
    expect(provider.keyId).toBe(after)
    expect(provider.calls.encrypt).toBe(2)
    expect(await provider.read(old)).toEqual({ value, stale: true })
    expect(await provider.read(provider.write(key, value))).toEqual({ value, stale: false })

    const ids = new Set<string>()
    for (let poll = 0; poll < 20; poll += 1) ids.add((await client.v2Status()).keyId)
    expect([...ids]).toEqual([after])

    const restarted = new KmsV2Provider(scene.connect())
    await restarted.poll()
    expect(await restarted.read(old)).toEqual({ value, stale: true })
  })

  test('under load: no Encrypt is refused, and none disagrees with the Status around it', async () => {
    await scene.sandbox.serveLocal({ health: quickProbe })
    const client = scene.connect()
    const seen = [(await client.v2Status()).keyId]
    const sealed: { ciphertext: Buffer; keyId: string; plaintext: Buffer }[] = []
    for (let rotation = 0; rotation < 5; rotation += 1) {
      rotate(scene.sandbox.keyFile)
      let after: string
      do {
        const before = (await client.v2Status()).keyId
        const plaintext = randomBytes(32)
        const answer = await client.v2Encrypt(plaintext)
        after = (await client.v2Status()).keyId
        expect([before, after]).toContain(answer.keyId)
        sealed.push({ ...answer, plaintext })
      } while (after === seen.at(-1))
      seen.push(after)
    }
    expect(new Set(seen).size).toBe(seen.length)
    for (const { plaintext, ...request } of sealed) expect(await client.v2Decrypt(request)).toEqual(plaintext)
  })

  test('put back again brings the old key id back only because its key is back', async () => {
    await scene.sandbox.serveLocal({ health: quickProbe })
    const client = scene.connect()
    const first = (await client.v2Status()).keyId
    const content = readKeys(scene.sandbox.keyFile)
    rotate(scene.sandbox.keyFile)
    const second = await newKeyId(client, first)
    const rotated = readKeys(scene.sandbox.keyFile)
    writeKeys(scene.sandbox.keyFile, { ...content, keys: [...content.keys, rotated.keys[0]] })
    expect(await newKeyId(client, second)).toBe(first)
  })

  test('that is half written, or wrong, seals nothing and loses nothing', async () => {
    const plugin = await scene.sandbox.serveLocal({ health: quickProbe })
    const client = scene.connect()
    const plaintext = randomBytes(32)
    const sealed = await client.v2Encrypt(plaintext)
    const content = readKeys(scene.sandbox.keyFile)
    writeKeys(scene.sandbox.keyFile, { ...content, keys: [{ ...newEntry(), key: 'AAAA' }, ...content.keys] })
    await until(async () =>
      (await refusal(client.v2Status()).catch(() => '')).startsWith('FAILED_PRECONDITION'),
    )
    expect(await refusal(client.v2Encrypt(plaintext))).toBe(
      'FAILED_PRECONDITION: plugin configuration invalid',
    )
    expect(await client.v2Decrypt(sealed)).toEqual(plaintext)

    writeKeys(scene.sandbox.keyFile, content)
    await until(async () => (await client.v2Status().catch(() => undefined))?.healthz === 'ok')
    expect((await client.v2Encrypt(plaintext)).keyId).toBe(sealed.keyId)
    expect(plugin.stderr()).not.toContain(content.keys[0]!.key)
  })
})

describe('a new entry under keys', () => {
  test('seals after primary has moved and the plugin was restarted; the old one still opens', async () => {
    const { sandbox } = scene
    await sandbox.makeKeyFile()
    await sandbox.makeKeyFile(sandbox.path('new.json'))
    const keys = {
      main: { backend: 'local', path: sandbox.keyFile },
      next: { backend: 'local', path: sandbox.path('new.json') },
    }
    // First both nodes get the new key for opening, then primary moves.
    const before = await sandbox.serveLocal({ keys, primary: 'main' })
    const provider = new KmsV2Provider(scene.connect())
    await provider.poll()
    const old = provider.write(key, value)
    await before.stop()

    await sandbox.serveLocal({ keys, primary: 'next' })
    await provider.poll()
    expect(provider.calls.encrypt).toBe(2)
    expect(await provider.read(old)).toEqual({ value, stale: true })
    const restarted = new KmsV2Provider(scene.connect())
    await restarted.poll()
    expect(await restarted.read(old)).toEqual({ value, stale: true })
    expect(await restarted.read(provider.write(key, value))).toEqual({ value, stale: false })
  })

  test('taken away again, its values are refused by name and nothing else is', async () => {
    const { sandbox } = scene
    await sandbox.makeKeyFile()
    await sandbox.makeKeyFile(sandbox.path('other.json'))
    const other = { other: { backend: 'local', path: sandbox.path('other.json') } }
    const main = { main: { backend: 'local', path: sandbox.keyFile } }
    const plugin = await sandbox.serveLocal({ keys: { ...main, ...other }, primary: 'other' })
    const sealed = await scene.connect().v2Encrypt(Buffer.from('under other'))
    await plugin.stop()

    await sandbox.serveLocal({ keys: main, primary: 'main' })
    const client = scene.connect()
    expect(await refusal(client.v2Decrypt(sealed))).toBe('FAILED_PRECONDITION: key id unknown to this plugin')
    expect((await client.v2Status()).healthz).toBe('ok')
    const own = await client.v2Encrypt(Buffer.from('under main'))
    expect((await client.v2Decrypt(own)).toString()).toBe('under main')
  })
})
