/** The built program in the place of another plugin, with the arguments of that plugin's own documents. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync, symlinkSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { envOf } from '../support/aws_scene.js'
import { leaks } from '../support/canaries.js'
import { makeAuthority, PrivateFiles } from '../support/certificates.js'
import { FakeAws } from '../support/fakes/aws.js'
import { FakeKmip } from '../support/fakes/kmip.js'
import { FakeOkms } from '../support/fakes/okms.js'
import { FakeVault, pluginPolicy } from '../support/fakes/vault.js'
import { foreignFixture, storedValue, type ForeignFixture } from '../support/foreign_fixture.js'
import { refusal, type KmsClient } from '../support/kms_client.js'
import { writeClient } from '../support/okms_subject.js'
import { freePort, program, until, type LogLine, type Process } from '../support/plugin.js'
import { plaintext } from '../support/provoked.js'
import { sandboxPerTest } from '../support/scene.js'

const scene = sandboxPerTest()
const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

/** Fixtures name no secret that lasts: keys of tests alone. */
const valuesOf = <Key>(format: string) =>
  foreignFixture<ForeignFixture<Key, { encryptionContext?: object }>>(format)

/** Both APIs, or v2 alone, over the socket. */
async function roundTrip(client: KmsClient, apis: 'v1 and v2' | 'v2'): Promise<void> {
  expect(await client.v2Decrypt(await client.v2Encrypt(plaintext))).toEqual(plaintext)
  if (apis === 'v2') expect(await refusal(client.v1Encrypt(plaintext))).toContain('UNIMPLEMENTED')
  else expect(await client.v1Decrypt(await client.v1Encrypt(plaintext))).toEqual(plaintext)
}

type Entries = ForeignFixture<unknown>['values']

/** What that plugin stored is read as it was stored. */
async function readsAll(client: KmsClient, values: Entries): Promise<void> {
  expect(values.length).toBeGreaterThan(0)
  for (const value of values) {
    const { ciphertext, keyId, annotations } = storedValue(value)
    const opened =
      keyId === undefined
        ? client.v1Decrypt(ciphertext)
        : client.v2Decrypt({ ciphertext, keyId, annotations })
    expect((await opened).toString('base64'), value.note).toBe(value.plaintext)
  }
}

const page = async (port: number, path: string) => {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`)
  return { status: answer.status, text: await answer.text() }
}

const warnings = (plugin: Process): readonly LogLine[] => plugin.log().filter(({ level }) => level === 'warn')

interface AwsKeyFixture {
  readonly id: string
  readonly material: { readonly id: string; readonly secret: string }
}

describe('aws-encryption-provider', () => {
  const recorded = valuesOf<AwsKeyFixture>('aws-encryption-provider')
  const withContext = recorded.values.filter(({ encryptionContext }) => encryptionContext !== undefined)

  async function aws() {
    const fake = await FakeAws.start()
    closing.push(async () => fake.close())
    const env = { AWS_EC2_METADATA_DISABLED: 'true', ...envOf(fake.openSession()) }
    return { fake, key: fake.addKey(recorded.key), env }
  }

  test('serves v1 and v2, reads what that plugin stored, and answers at its port, paths and metrics', async () => {
    const { fake, key, env } = await aws()
    const port = await freePort()
    const plugin = scene.sandbox.start(
      [
        'aws-encryption-provider',
        ...[
          `--key=${key.arn}`,
          '--region=eu-west-1',
          `--listen=${scene.sandbox.socket}`,
          `-health-port=:${port}`,
        ],
        ...['--kms-endpoint', fake.server.url, '--encryption-context=cluster=prod-1,team=infra'],
        ...[
          '--health-kms-version=v2',
          '--qps-limit=20',
          '--burst-limit=30',
          '--retry-token-capacity=5',
          '--debug',
        ],
      ],
      { env },
    )
    await plugin.says('primary key proved')
    const client = scene.connect()
    await roundTrip(client, 'v1 and v2')
    await readsAll(client, withContext)
    expect(await page(port, '/livez')).toMatchObject({ status: 200, text: 'ok\n' })
    expect((await page(port, '/healthz')).text).toContain('aws-1: primary, OK')
    const { text } = await page(port, '/metrics')
    const labels = `{key_arn="${key.arn}",status="success",operation="decrypt",version="v2"}`
    expect(text).toContain(`aws_encryption_provider_kms_operations_total${labels}`)
    expect(text).toMatch(
      /kmsplugin_foreign_decrypts_total\{format="aws-encryption-provider",code="OK"\} [1-9]/,
    )
    const settings = warnings(plugin).map(({ setting }) => setting)
    for (const flag of [
      'health-port',
      'health-kms-version',
      'qps-limit',
      'burst-limit',
      'retry-token-capacity',
    ])
      expect(settings.filter((setting) => setting === `--${flag}`)).toHaveLength(1)
  })

  test('peer bug 1: of two keys the dead one is seen in health, and the other one serves on', async () => {
    const { fake, key, env } = await aws()
    const dead = fake.addKey()
    dead.state = 'Disabled'
    const [port, second] = [await freePort(), scene.sandbox.path('run', 'second.sock')]
    const plugin = scene.sandbox.start(
      [
        'aws-encryption-provider',
        ...[`--key=${key.arn},${dead.arn}`, `--listen=${scene.sandbox.socket}`, `--listen=${second}`],
        ...['--kms-endpoint', fake.server.url, `--health-port=127.0.0.1:${port}`],
        ...['--encryption-context=cluster=prod-1,team=infra', '--encryption-context=a=b'],
      ],
      { env },
    )
    await plugin.says('primary key proved')
    await plugin.says('a key fails its probe')
    const client = scene.connect()
    await roundTrip(client, 'v1 and v2')
    await readsAll(client, withContext.slice(0, 1))
    expect(await refusal(scene.connect(undefined, second).v2Encrypt(plaintext))).toMatch(
      /^(UNAVAILABLE|FAILED_PRECONDITION)/,
    )
    const { status, text } = await page(port, '/healthz')
    expect(status).toBe(503)
    expect(text).toContain('aws-1: primary, OK')
    expect(text).toContain('aws-2: primary, ERR_KEY_DISABLED')
    expect((await page(port, '/livez')).status).toBe(200)
    dead.state = 'Enabled'
    await until(async () => (await page(port, '/healthz')).status === 200)
    await roundTrip(scene.connect(undefined, second), 'v1 and v2')
    const metrics = await page(port, '/metrics')
    expect(metrics.text).toContain(`key_arn="${key.arn}"`)
    expect(metrics.text).toContain(`key_arn="${dead.arn}"`)
    expect(metrics.text.match(/^kmsplugin_key_id_hash_info\{/gm)).toHaveLength(2)
    expect((await plugin.stop()).code).toBe(0)
    expect([existsSync(scene.sandbox.socket), existsSync(second)]).toEqual([false, false])
  })

  test('peer bug 7: when one of two sockets cannot be had, the process ends and says so; no socket is left', async () => {
    const { fake, key, env } = await aws()
    const open = scene.sandbox.makeFolder('open', 0o777)
    const { code, stderr } = await scene.sandbox.run(
      [
        'aws-encryption-provider',
        ...[`--key=${key.arn},${key.arn}`, `--listen=${scene.sandbox.socket},${open}/kms.sock`],
        ...['--kms-endpoint', fake.server.url, `--health-port=127.0.0.1:${await freePort()}`],
      ],
      { env },
    )
    expect(code).toBe(78)
    expect(stderr).toContain(`run chmod go-w ${open}`)
    expect([existsSync(scene.sandbox.socket), existsSync(`${open}/kms.sock`)]).toEqual([false, false])
  })
})

describe('vault-kubernetes-kms', () => {
  const recorded = valuesOf<{ name: string; versions: Readonly<Record<string, string>> }>(
    'vault-kubernetes-kms',
  )

  async function vault() {
    const fake = await FakeVault.start()
    closing.push(async () => fake.close())
    const { name, versions } = recorded.key
    fake.transit.adopt(
      name,
      Object.values(versions).map((text) => Buffer.from(text, 'base64')),
    )
    fake.policies.set('kms', pluginPolicy('transit', name))
    return fake
  }

  test('by a token on the command line: serves, reads, answers at its paths, and never says the token', async () => {
    const fake = await vault()
    const port = await freePort()
    const token = fake.tokens.make({ policies: ['default', 'kms'], ttl: 3600 }).id
    const plugin = scene.sandbox.start([
      'vault-kubernetes-kms',
      ...[`-vault-address=${fake.server.url}`, '-auth-method=token', `-token=${token}`, '-debug'],
      ...[`-socket=unix://${scene.sandbox.socket}`, `-health-port=${port}`, '-force-socket-overwrite=true'],
    ])
    await plugin.says('primary key proved')
    const client = scene.connect()
    await roundTrip(client, 'v1 and v2')
    await readsAll(client, recorded.values)
    expect((await page(port, '/health')).status).toBe(200)
    fake.isSealed = true
    // Not cached, so Vault is asked, and the outage is noticed before the next probe.
    const [last] = recorded.values.slice(-1)
    const unseen = Buffer.from(last?.ciphertext ?? '', 'base64')
    unseen.writeUInt8(unseen.readUInt8(20) === 0x41 ? 0x42 : 0x41, 20)
    expect(
      await refusal(client.v2Decrypt({ ...storedValue(last!), ciphertext: unseen, keyId: '1' })),
    ).toContain('UNAVAILABLE')
    await until(async () => (await page(port, '/health')).status === 503)
    expect(await page(port, '/live')).toMatchObject({ status: 200, text: 'ok\n' })
    const metrics = (await page(port, '/metrics')).text
    expect(metrics).toMatch(/^vault_kubernetes_kms_encryption_operation_duration_seconds_count /m)
    await plugin.stop()
    expect(warnings(plugin).filter(({ setting }) => setting === '-token')).toHaveLength(1)
    expect(warnings(plugin).filter(({ setting }) => setting === '-force-socket-overwrite')).toHaveLength(1)
    const outputs = { stdout: plugin.stdout(), stderr: plugin.stderr(), metrics }
    const canaries = [
      { name: 'token', bytes: Buffer.from(token) },
      { name: 'plaintext', bytes: plaintext },
    ]
    expect(leaks(canaries, outputs)).toEqual([])
  })

  test('called by its name, as its pods do, it is that plugin', async () => {
    const link = scene.sandbox.path('vault-kubernetes-kms')
    symlinkSync(program, link)
    const argv = [link, '-vault-address=https://v', '-auth-method=token', '-print-config']
    const { stdout } = await promisify(execFile)(process.execPath, argv, { env: { VAULT_KMS_TOKEN: 't' } })
    expect(stdout).toContain('token: env:VAULT_KMS_TOKEN')
  })

  test('by its variables alone: AppRole, v1 disabled', async () => {
    const fake = await vault()
    fake.logins.add('approle', 'approle', 'the-role-id', ['CANARY-secret-id'], {
      policies: ['default', 'kms'],
    })
    const env = {
      VAULT_KMS_VAULT_ADDR: fake.server.url,
      VAULT_KMS_AUTH_METHOD: 'approle',
      VAULT_KMS_APPROLE_ROLE_ID: 'the-role-id',
      VAULT_KMS_APPROLE_SECRET_ID: 'CANARY-secret-id',
      VAULT_KMS_SOCKET: `unix://${scene.sandbox.socket}`,
      VAULT_KMS_HEALTH_PORT: `:${await freePort()}`,
      VAULT_KMS_DISABLE_V1: 'true',
    }
    const plugin = scene.sandbox.start(['vault-kubernetes-kms'], { env })
    await plugin.says('primary key proved')
    await roundTrip(scene.connect(), 'v2')
    await plugin.stop()
    expect(plugin.stderr() + plugin.stdout()).not.toContain('CANARY')
  })
})

describe('okms-k8s-encryption-provider', () => {
  async function files() {
    const authority = await makeAuthority()
    const folder = new PrivateFiles()
    closing.push(() => folder.remove())
    const client = await writeClient(authority, folder)
    return { authority, client, ca: folder.write('ca.pem', authority.cert) }
  }

  test('by KMIP: serves v2 alone, without a health server, and reads what that plugin stored', async () => {
    const recorded = valuesOf<{ servers: readonly { uid: string; material: string }[] }>('okms-kmip')
    const { authority, client, ca } = await files()
    const tls = {
      ...(await authority.issue()),
      ca: authority.cert,
      requestCert: true,
      rejectUnauthorized: true,
    }
    const fake = await FakeKmip.start(tls, { appendsTag: true })
    closing.push(async () => fake.close())
    for (const { uid, material } of recorded.key.servers)
      fake.addKey({ uid, material: Buffer.from(material, 'base64') })
    const [{ uid } = { uid: '' }] = recorded.key.servers
    const plugin = scene.sandbox.start([
      'okms-k8s-encryption-provider',
      ...['--protocol', 'kmip', '--serv-addr', `127.0.0.1:${fake.port}`, '--encryption-key-id', uid],
      ...['--client-cert', client.clientCertFile, '--client-key', client.clientKeyFile, '--ca', ca],
      ...['--sock', scene.sandbox.socket, '--timeout', '1ms'],
    ])
    await plugin.says('primary key proved')
    await roundTrip(scene.connect(), 'v2')
    await readsAll(
      scene.connect(),
      recorded.values.filter(({ keyId }) => keyId === uid),
    )
    expect(plugin.log().some(({ msg }) => msg === 'health and metrics')).toBe(false)
    expect(warnings(plugin).map(({ setting }) => setting)).toEqual(['--timeout'])
  })

  test('peer bug 11: by REST and its variables, at debug, no key or plaintext is printed', async () => {
    const recorded = valuesOf<{ keys: readonly { id: string; material: string }[] }>('okms-rest')
    const { authority, client, ca } = await files()
    const fake = await FakeOkms.start({ ...(await authority.issue()), ca: authority.cert })
    closing.push(async () => fake.close())
    for (const { id, material } of recorded.key.keys)
      fake.addKey({ id, material: Buffer.from(material, 'base64') })
    const env = {
      OKMS_PROTOCOL: 'rest',
      OKMS_SERV_ADDR: fake.server.url,
      OKMS_ID: fake.okmsId,
      OKMS_KEY_ID: recorded.key.keys[0]?.id ?? '',
      OKMS_CLIENT_CERT: client.clientCertFile,
      OKMS_CLIENT_KEY: client.clientKeyFile,
      OKMS_CA_CERT: ca,
      OKMS_SOCK: scene.sandbox.socket,
      OKMS_DEBUG: 'true',
    }
    const plugin = scene.sandbox.start(['okms-k8s-encryption-provider'], { env })
    await plugin.says('primary key proved')
    await roundTrip(scene.connect(), 'v2')
    await readsAll(scene.connect(), recorded.values.slice(0, 3))
    await plugin.stop()
    const lines = readFileSync(client.clientKeyFile, 'utf8').split('\n')
    const secrets = [
      plaintext,
      Buffer.from(lines[1] ?? ''),
      ...recorded.key.keys.map(({ material }) => Buffer.from(material, 'base64')),
    ]
    const canaries = secrets.map((bytes, index) => ({ name: `secret ${index}`, bytes }))
    expect(leaks(canaries, { stdout: plugin.stdout(), stderr: plugin.stderr() })).toEqual([])
  })
})
