/** The built program in the place of a plugin that kept its values under a Transit key: what it reads, and what it counts. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { StoredValue } from '../../src/ports/foreign.js'
import { FakeVault, pluginPolicy } from '../support/fakes/vault.js'
import { foreignFixture, storedValue, type ForeignFixture } from '../support/foreign_fixture.js'
import { refusal, type KmsClient } from '../support/kms_client.js'
import { freePort } from '../support/plugin.js'
import { Scene } from '../support/scene.js'

interface Key {
  readonly name: string
  readonly versions: Readonly<Record<string, string>>
}

type Fixture = ForeignFixture<Key, { readonly options?: object }>

const theirs = foreignFixture<Fixture>('vault-kubernetes-kms')
const openbao = foreignFixture<Fixture>('openbao-kubernetes-kms')
// What another provider name or cluster wrote does not open here.
const ofOpenBao = openbao.values.slice(0, 3)

let vault: FakeVault
let scene: Scene
let client: KmsClient
let port: number
beforeAll(async () => {
  vault = await FakeVault.start()
  scene = new Scene()
  const policies = ['default']
  for (const { key } of [theirs, openbao]) {
    const secrets = Object.values(key.versions).map((text) => Buffer.from(text, 'base64'))
    vault.transit.adopt(key.name, secrets)
    vault.policies.set(key.name, pluginPolicy('transit', key.name))
    policies.push(key.name)
  }
  const token = scene.sandbox.writeFile('token', vault.tokens.make({ policies, ttl: 3600 }).id)
  const entry = { backend: 'vault', url: vault.server.url, auth: { method: 'token', token: `file:${token}` } }
  port = await freePort()
  const config = scene.sandbox.localConfig({
    server: { kmsV1: true },
    health: { address: `127.0.0.1:${port}`, metricsOf: 'vault-kubernetes-kms' },
    primary: 'kms',
    keys: {
      kms: { ...entry, keyName: theirs.key.name, decode: ['vault-kubernetes-kms'] },
      etcd: {
        ...entry,
        keyName: openbao.key.name,
        decode: [{ format: 'openbao-kubernetes-kms', ...ofOpenBao[0]?.options }],
      },
    },
  })
  await scene.sandbox.serve(config)
  client = scene.connect()
})
afterAll(async () => {
  await scene.close()
  await vault.close()
})

async function read(value: StoredValue): Promise<string> {
  const { keyId, ciphertext, annotations } = value
  const plaintext =
    keyId === undefined
      ? await client.v1Decrypt(ciphertext)
      : await client.v2Decrypt({ ciphertext, keyId, annotations })
  return Buffer.from(plaintext).toString('base64')
}

/** The value of a series in /metrics. */
async function metric(series: string): Promise<number> {
  const page = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const line = page.split('\n').find((one) => one.startsWith(`${series} `)) ?? ''
  return Number(line.slice(series.length + 1) || NaN)
}

const counted = async (format: string, code: string) =>
  metric(`kmsplugin_foreign_decrypts_total{format="${format}",code="${code}"}`)

test("a value with a changed byte is refused as the caller's, and counted; the plugin stays healthy", async () => {
  const value = storedValue(theirs.values[1]!)
  const changed = Uint8Array.from(value.ciphertext)
  changed[20] = changed[20] === 0x41 ? 0x42 : 0x41
  const { keyId = '', annotations } = value
  expect(await refusal(client.v2Decrypt({ ciphertext: changed, keyId, annotations }))).toContain(
    'INVALID_ARGUMENT',
  )
  expect(await counted('vault-kubernetes-kms', 'ERR_DECRYPTION_FAILED')).toBe(1)
  expect((await client.v2Status()).healthz).toBe('ok')
})

test('what the other plugins wrote opens on v1 and v2, each counted under its format', async () => {
  for (const entry of [...theirs.values, ...ofOpenBao]) {
    expect(await read(storedValue(entry))).toBe(entry.plaintext)
  }
  expect(await counted('vault-kubernetes-kms', 'OK')).toBe(theirs.values.length)
  expect(await counted('openbao-kubernetes-kms', 'OK')).toBe(ofOpenBao.length)
})

test("what is written is our own, and counts as nobody's", async () => {
  const before = await counted('vault-kubernetes-kms', 'OK')
  const plaintext = Buffer.alloc(32, 7)
  const sealed = await client.v2Encrypt(plaintext)
  expect(sealed.ciphertext.subarray(0, 7).toString()).not.toBe('vault:v')
  expect(sealed.keyId).toMatch(/^vault:/)
  expect(await client.v2Decrypt(sealed)).toEqual(plaintext)
  expect(await counted('vault-kubernetes-kms', 'OK')).toBe(before)
})

test('the metrics of the plugin that was replaced go on beside ours', async () => {
  const name = (rest: string) => `vault_kubernetes_kms_${rest}`
  expect(await metric(name('decryption_operation_duration_seconds_count'))).toBeGreaterThan(
    theirs.values.length,
  )
  expect(await metric(name('decryption_operation_errors_total'))).toBe(1)
  expect(await metric(name('encryption_operation_duration_seconds_count'))).toBeGreaterThan(0)
  expect(await metric(name('token_expiry_seconds'))).toBeGreaterThan(3000)
  const labels = 'method="PUT",path="/v1/transit/decrypt/kms",status="200"'
  expect(await metric(name(`vault_requests_duration_seconds_count{${labels}}`))).toBeGreaterThanOrEqual(
    theirs.values.length,
  )
  const expiry = await metric('kmsplugin_credential_expiry_timestamp_seconds{key="kms"}')
  expect(expiry - Date.now() / 1000).toBeGreaterThan(3000)
})
