/** The built program with a whole file of the IBM layout, against the fakes of IBM's KMS and IAM over TLS. */
import { chmodSync, readFileSync, statSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { leaks } from '../support/canaries.js'
import { makeAuthority, type Authority } from '../support/certificates.js'
import { FakeIbm } from '../support/fakes/ibm.js'
import { freePort, Sandbox, type Settings } from '../support/plugin.js'
import { converse, ofProcess, outputOf, pagesOf, plaintext, procOf } from '../support/provoked.js'
import { KmsClient, refusal } from '../support/kms_client.js'

let authority: Authority
let fake: FakeIbm
let sandbox: Sandbox
let apiKey: string
const clients: KmsClient[] = []

beforeEach(async () => {
  authority = await makeAuthority()
  fake = await FakeIbm.start(await authority.issue())
  sandbox = new Sandbox()
  apiKey = fake.iam.makeApiKey()
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await sandbox.close()
  await fake.close()
})

function connect(): KmsClient {
  const client = new KmsClient(sandbox.socket)
  clients.push(client)
  return client
}

interface Changes {
  readonly server?: Settings
  readonly rootKey?: Settings
  readonly logger?: Settings
}

/** All 19 keys. */
async function whole({ server, rootKey, logger }: Changes = {}): Promise<Settings> {
  const ca = sandbox.writeFile('ca.pem', authority.cert, 0o644)
  return {
    SERVER_CONFIG: {
      REGION: 'IBMCloudPrivate',
      NUM_LEN_BYTES: 4,
      CACHE_TIMEOUT_IN_HOURS: 1,
      RESTART_DELAY_IN_SECONDS: 30,
      UNIX_SOCKET_PATH: sandbox.socket,
      TOKEN_URL: fake.tokenUrl,
      TOKEN_URL_CA_FILE: ca,
      API_KEY: apiKey,
      HEALTHZ_PATH: '/healthz',
      HEALTHZ_PORT: `127.0.0.1:${await freePort()}`,
      NEW_DEK: false,
      MAX_RETRIES: 0,
      ...server,
    },
    KP_CONFIG: {
      VERSION: 1,
      CRK_ID: fake.addKey().id,
      URL: fake.server.url,
      KP_CA_FILE: ca,
      INSTANCE_ID: fake.instanceId,
      ...rootKey,
    },
    LOGGER: { LOG_LEVEL: 'info', LOG_ALL_VALUES: false, ...logger },
  }
}

const wraps = () => fake.kmsRequests.filter(({ url }) => url.pathname.endsWith('/wrap')).length

test('seals and opens with the root key of KP_CONFIG, and what it sealed opens after a restart', async () => {
  const config = await whole()
  const plugin = await sandbox.serve(config)
  const sealed = await connect().v2Encrypt(plaintext)
  expect(sealed.keyId).toMatch(/^ibm:/)
  await plugin.stop()
  await sandbox.serve(config)
  expect(await connect().v2Decrypt(sealed)).toEqual(plaintext)
})

test('a list of root keys opens what each of them sealed', async () => {
  const one = await whole()
  const first = await sandbox.serve(one)
  const sealed = await connect().v1Encrypt(plaintext)
  await first.stop()
  const { KP_CONFIG: old } = one as { KP_CONFIG: Settings }
  const newer = { ...old, VERSION: 2, CRK_ID: fake.addKey().id }
  await sandbox.serve({ ...one, KP_CONFIG: [old, newer] })
  expect(await connect().v1Decrypt(sealed)).toEqual(plaintext)
})

interface Recorded {
  readonly key: Readonly<Record<'rootKeyId' | 'versionId' | 'material', string>>
  readonly values: readonly { readonly ciphertext: string; readonly plaintext: string }[]
}

describe('what the IBM plug-in has stored', () => {
  const file = new URL('../vectors/foreign/ibm-kmsplugin.json', import.meta.url)
  const { key, values } = JSON.parse(readFileSync(file, 'utf8')) as Recorded
  const unwraps = () => fake.kmsRequests.filter(({ url }) => url.pathname.endsWith('/unwrap')).length
  let config: Settings

  beforeEach(async () => {
    const material = Buffer.from(key.material, 'base64')
    fake.addKey({
      id: key.rootKeyId,
      versions: [{ id: key.versionId, material, creationDate: '2026-11-27T00:00:00Z' }],
    })
    config = await whole({ rootKey: { CRK_ID: key.rootKeyId } })
  })

  async function expectAllOpen(client: KmsClient): Promise<void> {
    for (const { ciphertext, plaintext: expected } of values) {
      const opened = await client.v1Decrypt(Buffer.from(ciphertext, 'base64'))
      expect(opened.toString('base64')).toBe(expected)
    }
  }

  test('opens with the same file, for one unwrap in all, and each start warns that nothing authenticates it', async () => {
    const plugin = await sandbox.serve(config)
    const client = connect()
    await client.v1Encrypt(plaintext)
    const before = unwraps()
    await expectAllOpen(client)
    expect(unwraps() - before).toBe(1)
    const warnings = plugin.log().filter(({ level }) => level === 'warn')
    expect(JSON.stringify(warnings)).toContain('ibm-kmsplugin')
  })

  test('that was damaged is refused as bad data, and harms nothing', async () => {
    const plugin = await sandbox.serve(config)
    const client = connect()
    const [{ ciphertext }] = values as [Recorded['values'][number]]
    const bad = Buffer.from(ciphertext, 'base64')
    for (const at of [0, 40, 200, 400, bad.length - 1]) {
      const altered = Buffer.from(bad)
      altered[at] = 0x21
      expect(await refusal(client.v1Decrypt(altered))).toMatch(/^INVALID_ARGUMENT/)
    }
    await expectAllOpen(client)
    expect((await client.v2Status()).healthz).toBe('ok')
    await plugin.stop()
  })

  test('opens with the root key of its KpVersion in a list, and with none of another', async () => {
    const { KP_CONFIG: old } = config as { KP_CONFIG: Settings }
    const newer = { ...old, VERSION: 2, CRK_ID: fake.addKey().id }
    const plugin = await sandbox.serve({ ...config, KP_CONFIG: [newer, old] })
    await expectAllOpen(connect())
    await plugin.stop()
    await sandbox.serve({ ...config, KP_CONFIG: newer })
    const [{ ciphertext }] = values as [Recorded['values'][number]]
    expect(await refusal(connect().v1Decrypt(Buffer.from(ciphertext, 'base64')))).toMatch(
      /^FAILED_PRECONDITION/,
    )
  })
})

test.each([
  [true, 3],
  [false, 0],
])('NEW_DEK %j: three values need %i more calls of wrap', async (newDek, calls) => {
  await sandbox.serve(await whole({ server: { NEW_DEK: newDek } }))
  const client = connect()
  await client.v1Encrypt(plaintext)
  const before = wraps()
  for (let value = 0; value < 3; value += 1) await client.v1Encrypt(plaintext)
  expect(wraps() - before).toBe(calls)
})

test.each([
  [0, 1],
  [2, 3],
])('MAX_RETRIES %i: a wrap that the service refuses for now is tried %i times', async (retries, tries) => {
  const plugin = await sandbox.serve(await whole({ server: { MAX_RETRIES: retries, NEW_DEK: true } }))
  const client = connect()
  let asked = 0
  fake.server.fault = ({ url }) => {
    if (!url.pathname.endsWith('/wrap')) return undefined
    asked += 1
    return { status: 503, body: '' }
  }
  await expect(client.v1Encrypt(plaintext)).rejects.toMatchObject({ code: 14 })
  // The probe wraps only hourly, so these calls are those of the request.
  expect(asked).toBe(tries)
  fake.server.fault = undefined
  await plugin.stop()
})

describe('each authority is trusted for its own service alone', () => {
  test.each([
    ['TOKEN_URL_CA_FILE', 'server', 'IBM Cloud IAM'],
    ['KP_CA_FILE', 'rootKey', 'the IBM KMS'],
  ] as const)('%s of somebody else: check finds that it cannot trust it', async (name, section, service) => {
    const other = sandbox.writeFile('other.pem', (await makeAuthority('somebody else')).cert, 0o644)
    const file = sandbox.writeConfig(await whole({ [section]: { [name]: other } }))
    const { code, stdout } = await sandbox.run(['check', '--config', file])
    expect(code).toBe(1)
    expect(stdout).toMatch(new RegExp(`${service} at \\S+ has a certificate of an unknown authority`))
  })
})

test('a file with a literal API key that others may read is refused by check', async () => {
  const file = sandbox.writeConfig(await whole())
  chmodSync(file, 0o644)
  const { code, stdout } = await sandbox.run(['check', '--config', file])
  expect(code).toBe(1)
  expect(stdout).toContain('chmod 600')
  chmodSync(file, 0o600)
  expect((await sandbox.run(['check', '--config', file])).code).toBe(0)
  expect(statSync(file).mode & 0o777).toBe(0o600)
})

test('shows neither plaintext nor API key nor token, though LOG_ALL_VALUES is on', async () => {
  const port = await freePort()
  const config = await whole({
    server: { HEALTHZ_PORT: `127.0.0.1:${port}` },
    logger: { LOG_LEVEL: 'debug', LOG_ALL_VALUES: true },
  })
  const plugin = await sandbox.serve(config)
  const { errors } = await converse(sandbox.socket)
  const outputs = { errors, ...(await pagesOf(port)), ...procOf('plugin', plugin.pid) }
  const file = sandbox.writeConfig(config)
  for (const words of [['check'], ['config', 'print'], ['config', 'validate'], ['status']])
    Object.assign(outputs, outputOf(words.join(' '), await sandbox.run([...words, '--config', file])))
  await plugin.stop()
  const secrets = [apiKey, ...fake.iam.given].map((secret) => ({
    name: 'secret',
    bytes: Buffer.from(secret),
  }))
  expect(secrets.length).toBeGreaterThan(1)
  const canaries = [{ name: 'plaintext', bytes: plaintext }, ...secrets]
  expect(leaks(canaries, { ...outputs, ...outputOf('plugin', ofProcess(plugin)) })).toEqual([])
})
