import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { KmsV1Provider, KmsV2Provider } from '../support/apiserver.js'
import { refusal, type V2Encrypted } from '../support/kms_client.js'
import { sandboxPerTest, sharedPlugin } from '../support/scene.js'

const key = '/registry/secrets/default/s1'
const value = Buffer.from('{"kind":"Secret","data":{"password":"aHVudGVyMg=="}}')

describe('KMS v2', () => {
  const scene = sharedPlugin({ health: { probeInterval: '100ms' } })

  test('a value that kube-apiserver wrote is read back, by it and by one that has just started', async () => {
    const provider = new KmsV2Provider(scene.connect())
    await provider.poll()
    const stored = provider.write(key, value)
    expect(stored.bytes.includes(value)).toBe(false)
    expect(await provider.read(stored)).toEqual({ value, stale: false })

    const restarted = new KmsV2Provider(scene.connect())
    await restarted.poll()
    expect(await restarted.read(stored)).toEqual({ value, stale: false })
    expect(restarted.calls).toEqual({ encrypt: 1, decrypt: 1 })
  })

  test('a value that was moved to another key of etcd does not open', async () => {
    const provider = new KmsV2Provider(scene.connect())
    await provider.poll()
    const moved = { ...provider.write(key, value), key: '/registry/secrets/default/s2' }
    await expect(provider.read(moved)).rejects.toThrow('unable to authenticate')
  })

  test('the key id stays the same over many polls, so one Encrypt serves them all', async () => {
    const provider = new KmsV2Provider(scene.connect())
    for (let poll = 0; poll < 50; poll += 1) await provider.poll()
    expect(provider.calls.encrypt).toBe(1)
  })

  test('equal plaintexts get different ciphertexts', async () => {
    const client = scene.connect()
    const plaintext = randomBytes(32)
    const all = await Promise.all(Array.from({ length: 100 }, async () => client.v2Encrypt(plaintext)))
    expect(new Set(all.map(({ ciphertext }) => ciphertext.toString('hex'))).size).toBe(100)
  })

  test('a plaintext whose ciphertext would not fit is refused before anything is sealed', async () => {
    const client = scene.connect()
    const { ciphertext } = await client.v2Encrypt(Buffer.alloc(32))
    const largest = 1024 - (ciphertext.length - 32)
    expect((await client.v2Encrypt(Buffer.alloc(largest))).ciphertext).toHaveLength(1024)
    expect(await refusal(client.v2Encrypt(Buffer.alloc(largest + 1)))).toBe(
      'INVALID_ARGUMENT: request too large',
    )
    expect((await client.v2Status()).healthz).toBe('ok')
  })

  test('an empty plaintext and one of a single byte come back as they were', async () => {
    const client = scene.connect()
    for (const plaintext of [Buffer.alloc(0), Buffer.from([0])]) {
      expect(await client.v2Decrypt(await client.v2Encrypt(plaintext))).toEqual(plaintext)
    }
  })
})

describe('KMS v1 that the config does not ask for', () => {
  const scene = sharedPlugin()

  test('is not served', async () => {
    const client = scene.connect()
    expect(await refusal(client.v1Version())).toMatch(/^UNIMPLEMENTED: /)
    expect(await refusal(client.v1Encrypt(Buffer.from('ping')))).toMatch(/^UNIMPLEMENTED: /)
    expect(await refusal(client.v1Decrypt(Buffer.from('x')))).toMatch(/^UNIMPLEMENTED: /)
    expect((await client.v2Status()).healthz).toBe('ok')
  })
})

describe('KMS v1', () => {
  const scene = sharedPlugin({ server: { kmsV1: true } })

  test('writes and reads values beside v2 on one socket', async () => {
    const client = scene.connect()
    const v1 = new KmsV1Provider(client)
    const v2 = new KmsV2Provider(client)
    await Promise.all([v1.check(), v2.poll()])
    const stored = await v1.write(key, value)
    expect(await v1.read(stored)).toEqual(value)
    expect(await v2.read(v2.write(key, value))).toEqual({ value, stale: false })
  })

  test('a ciphertext of one API opens through the other', async () => {
    const client = scene.connect()
    const plaintext = randomBytes(32)
    const sealed = await client.v2Encrypt(plaintext)
    expect(await client.v1Decrypt(sealed.ciphertext)).toEqual(plaintext)
    const ciphertext = await client.v1Encrypt(plaintext)
    expect(await client.v2Decrypt({ ciphertext, keyId: sealed.keyId })).toEqual(plaintext)
  })

  test('refuses another version than v1beta1', async () => {
    const client = scene.connect()
    const cipher = await client.v1Encrypt(Buffer.from('ping'))
    expect(await refusal(client.v1Encrypt(Buffer.from('ping'), 'v1alpha1'))).toBe(
      'INVALID_ARGUMENT: invalid request',
    )
    expect(await refusal(client.v1Decrypt(cipher, ''))).toBe('INVALID_ARGUMENT: invalid request')
  })

  test('seals up to what the length field of kube-apiserver holds', async () => {
    const client = scene.connect()
    const overhead = (await client.v1Encrypt(Buffer.alloc(0))).length
    const largest = 65_535 - overhead
    expect(await client.v1Encrypt(Buffer.alloc(largest))).toHaveLength(65_535)
    expect(await refusal(client.v1Encrypt(Buffer.alloc(largest + 1)))).toBe(
      'INVALID_ARGUMENT: request too large',
    )
  })
})

describe('a new process', () => {
  const scene = sandboxPerTest()

  test('opens what every earlier one sealed, and reports the same key id', async () => {
    const sealed: { request: V2Encrypted; plaintext: Buffer }[] = []
    for (let start = 0; start < 3; start += 1) {
      const plugin = await scene.sandbox.serveLocal()
      const client = scene.connect()
      for (const { request, plaintext } of sealed) expect(await client.v2Decrypt(request)).toEqual(plaintext)
      const plaintext = randomBytes(32)
      sealed.push({ request: await client.v2Encrypt(plaintext), plaintext })
      await (start % 2 === 0 ? plugin.stop() : plugin.kill())
    }
    expect(new Set(sealed.map(({ request }) => request.keyId)).size).toBe(1)
  })

  test.each([
    ['A256GCM', 'reused'],
    ['A256GCM', 'fresh'],
    ['A256CBC-HS512', 'reused'],
    ['A256CBC-HS512', 'fresh'],
  ])('%s with %s DEKs fits the limits and opens under every other setting', async (cipher, dek) => {
    const plugin = await scene.sandbox.serveLocal({ envelope: { cipher, dek } })
    const plaintext = randomBytes(32)
    const sealed = await scene.connect().v2Encrypt(plaintext)
    await plugin.stop()
    await scene.sandbox.serveLocal({ envelope: { cipher: 'A256GCM', dek: 'reused' } })
    expect(await scene.connect().v2Decrypt(sealed)).toEqual(plaintext)
  })

  test('on another node with a copy of the key file opens it too, with nothing but file and config', async () => {
    const plugin = await scene.sandbox.serveLocal()
    const plaintext = randomBytes(32)
    const sealed = await scene.connect().v2Encrypt(plaintext)
    await plugin.stop()
    const copy = scene.sandbox.writeFile('copy.json', readFileSync(scene.sandbox.keyFile))
    const socket = scene.sandbox.path('other', 'kms.sock')
    const keys = { main: { backend: 'local', path: copy } }
    await scene.sandbox.serveLocal({ server: { socket }, keys })
    expect(await scene.connect(undefined, socket).v2Decrypt(sealed)).toEqual(plaintext)
  })
})

describe('the other commands', () => {
  const scene = sharedPlugin()

  test('status asks the running plugin what kube-apiserver would ask', async () => {
    const { keyId } = await scene.connect().v2Status()
    const { code, stdout } = await scene.sandbox.run(['status', '--socket', scene.sandbox.socket, '--json'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ healthz: 'ok', version: 'v2', keyId })
  })

  test('inspect explains a stored value and names its key', async () => {
    const provider = new KmsV2Provider(scene.connect())
    await provider.poll()
    const stored = provider.write(key, value)
    const file = scene.sandbox.writeFile('value.bin', stored.bytes)
    const { code, stdout } = await scene.sandbox.run([
      'inspect',
      file,
      '--config',
      scene.sandbox.writeConfig(scene.sandbox.localConfig()),
    ])
    expect(code).toBe(0)
    expect(stdout).toContain(provider.keyId)
    expect(stdout).toContain('main')
  })

  test('check finds nothing wrong beside a running plugin, and changes nothing', async () => {
    const config = scene.sandbox.writeConfig(scene.sandbox.localConfig())
    const { code, stdout } = await scene.sandbox.run(['check', '--config', config])
    expect({ code, stdout }).toMatchObject({ code: 0 })
    expect(scene.plugin.isRunning).toBe(true)
    expect((await scene.connect().v2Status()).healthz).toBe('ok')
  })
})
