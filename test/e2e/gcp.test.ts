/** The built program with its KEK in Google Cloud KMS, played by the fake: it serves, rotates, and tells nobody a secret. */
import { expect, test } from 'vitest'
import { parseEnvelope } from '../../src/domain/envelope_format.js'
import { leaks, type Canary } from '../support/canaries.js'
import { createSystemClock } from '../../src/adapters/system/clock.js'
import { FakeGcp, KEY_NAME } from '../support/fakes/gcp.js'
import { ACCOUNT, newPrivateKey, openGcp, serviceAccountJson } from '../support/gcp.js'
import { KmsClient } from '../support/kms_client.js'
import { freePort, Sandbox, until } from '../support/plugin.js'
import {
  converse,
  ofProcess,
  outputOf,
  pagesOf,
  plaintext,
  procOf,
  talk,
  talkative,
  type Outputs,
} from '../support/provoked.js'

const privateKey = newPrivateKey()

async function inGoogleCloud(work: (sandbox: Sandbox, fake: FakeGcp) => Promise<void>): Promise<void> {
  const sandbox = new Sandbox()
  const fake = await FakeGcp.start()
  fake.addAccount(ACCOUNT, privateKey)
  sandbox.writeFile('gcp.json', serviceAccountJson(privateKey, fake.server.url))
  try {
    await work(sandbox, fake)
  } finally {
    await sandbox.close()
    await fake.close()
  }
}

const configOf = (sandbox: Sandbox, fake: FakeGcp, changes: object = {}) =>
  sandbox.localConfig({
    ...changes,
    keys: {
      main: {
        backend: 'gcp',
        keyName: KEY_NAME,
        endpoint: fake.server.url,
        credentials: `file:${sandbox.path('gcp.json')}`,
      },
    },
  })

test('it serves, follows a rotation, and opens what came before it', async () => {
  await inGoogleCloud(async (sandbox, fake) => {
    await sandbox.serve(configOf(sandbox, fake, { health: { probeInterval: '1s' } }))
    const client = new KmsClient(sandbox.socket)
    try {
      const before = await client.v2Encrypt(plaintext)
      fake.key.rotate()
      await until(async () => (await client.v2Status()).keyId !== before.keyId)
      const after = await client.v2Encrypt(plaintext)
      expect(after.keyId).not.toBe(before.keyId)
      expect(await client.v2Decrypt(before)).toEqual(plaintext)
      expect(await client.v2Decrypt(after)).toEqual(plaintext)
    } finally {
      client.close()
    }
  })
})

test('neither plaintext nor DEK nor private key nor token is told, at the most talkative', async () => {
  await inGoogleCloud(async (sandbox, fake) => {
    const port = await freePort()
    const config = configOf(sandbox, fake, { ...talk, health: { address: `127.0.0.1:${port}` } })
    const plugin = await sandbox.serve(config, { env: { ...talkative, GOOGLE_SDK_NODE_LOGGING: 'all' } })
    const { errors, ciphertext } = await converse(sandbox.socket)
    const wrapper = openGcp({ endpoint: fake.server.url, credentials: sandbox.path('gcp.json') })
    const deadlineMs = createSystemClock().nowMs() + 20_000
    const dek = await wrapper.unwrap(parseEnvelope(ciphertext).wrapped, { deadlineMs })
    await wrapper.close()
    const outputs: Outputs = { errors, ...(await pagesOf(port)), ...procOf('plugin', plugin.pid) }
    const file = sandbox.writeConfig(config)
    for (const words of [['check'], ['config', 'print']]) {
      const result = await sandbox.run([...words, '--config', file])
      expect(result.code, result.stdout + result.stderr).toBe(0)
      Object.assign(outputs, outputOf(words.join(' '), result))
    }
    await plugin.stop()
    const canaries: Canary[] = [
      { name: 'plaintext', bytes: plaintext },
      { name: 'DEK', bytes: dek },
      { name: 'private key', bytes: Buffer.from(privateKey.split('\n')[5] ?? '') },
      ...[...fake.tokens.keys()].map((token) => ({ name: 'token', bytes: Buffer.from(token) })),
    ]
    expect(leaks(canaries, { ...outputs, ...outputOf('plugin', ofProcess(plugin)) })).toEqual([])
    expect(fake.tokens.size).toBeGreaterThan(1)
  })
})
