/**
 * Is what other plugins had a real Transit engine encrypt read through our backend, as they wrote it and fresh?
 *
 * Fresh values are made by the HTTP API alone, as those plugins do; they share no code with what reads them.
 */
import { createHash, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formatOfName } from '../../../src/adapters/formats/index.js'
import { ForeignValues } from '../../../src/domain/foreign_values.js'
import { asKmsError } from '../../../src/ports/errors.js'
import type { StoredValue } from '../../../src/ports/foreign.js'
import { RecordingMetrics } from '../../doubles/recording_metrics.js'
import {
  flips,
  foreignFixture,
  storedValue,
  withAnnotation,
  type ForeignFixture,
} from '../../support/foreign_fixture.js'
import { unlessMissing } from '../../support/modules/token_module.js'
import { at, textOf, type Json } from './api.js'
import { Bench, clock, options } from './bench.js'
import { policyFor } from './policy.js'
import { missing } from './server.js'

type Names = Readonly<
  Record<'providerName' | 'clusterId' | 'instanceId' | 'transitMountId' | 'keyLineageId', string>
>

interface Fixture extends ForeignFixture<
  { readonly name: string; readonly backup: string },
  { readonly options?: Names }
> {
  readonly format: string
}

const VAULT = 'vault-kubernetes-kms'
const OPENBAO = 'openbao-kubernetes-kms'

const NAMES: Names = {
  providerName: 'kms <one> & "two"',
  clusterId: 'cluster-1',
  instanceId: 'bao-1',
  transitMountId: 'transit-1',
  keyLineageId: 'lineage-1',
}

describe.skipIf(missing !== undefined)(unlessMissing('values of other plugins on OpenBao', missing), () => {
  let bench: Bench
  beforeAll(async () => {
    bench = await Bench.start()
  })
  afterAll(async () => {
    await bench.close()
  })

  /** The core over our backend on one key, which lists one format; answers plaintext in hex or a code. */
  async function reader(keyName: string, name: string, given: object = {}, settings: Json = {}) {
    const { operator } = bench.server
    await operator.writePolicy(keyName, policyFor({ mount: 'transit', keyName }))
    const { core } = bench.open({ keyName, ...settings, auth: await bench.token([keyName]) })
    const decoder = formatOfName(name)?.decoder(given, { allowUnauthenticated: false })
    if (decoder === undefined) throw new Error(`no format ${name}`)
    const cache = { timeoutMs: 0, maxEntries: 0 }
    const keys = [{ name: 'kek', wrapper: core, decoders: [decoder] }]
    const foreign = new ForeignValues(keys, cache, clock, 20_000, new RecordingMetrics())
    return async (value: StoredValue): Promise<string> => {
      const found = foreign.find(value)
      if (found === undefined) return 'not found'
      return foreign.open(found, options()).then(
        (plaintext) => Buffer.from(plaintext).toString('hex'),
        (thrown: unknown) => asKmsError(thrown).code,
      )
    }
  }

  /** As vault-kubernetes-kms and openbao-kubernetes-kms ask. */
  async function encrypt(keyName: string, plaintext: Buffer, more: Json = {}): Promise<Buffer> {
    const body = { plaintext: plaintext.toString('base64'), ...more }
    const answer = await bench.server.api.must('POST', `transit/encrypt/${keyName}`, body)
    return Buffer.from(textOf(at(answer, 'data'), 'ciphertext'))
  }

  async function makeKey(): Promise<string> {
    const name = `key-${randomBytes(4).toString('hex')}`
    await bench.server.operator.makeKey(name)
    return name
  }

  const seed = () => randomBytes(32)

  test.each([VAULT, OPENBAO])('%s: every fixture opens on a server that holds its key', async (format) => {
    const fixture = foreignFixture<Fixture>(format)
    const { name, backup } = fixture.key
    await bench.server.api.must('POST', `transit/restore/${name}`, { backup })
    for (const entry of fixture.values) {
      const open = await reader(name, format, entry.options ?? {})
      expect(await open(storedValue(entry))).toBe(Buffer.from(entry.plaintext, 'base64').toString('hex'))
    }
  })

  describe(VAULT, () => {
    const stored = (ciphertext: Uint8Array, keyId?: string): StoredValue => ({
      ciphertext,
      keyId,
      annotations: {},
    })

    test('fresh values, on v1 and v2, of old and new versions of the key', async () => {
      const keyName = await makeKey()
      const open = await reader(keyName, VAULT)
      const written: [Buffer, Buffer][] = []
      for (let version = 1; version <= 3; version += 1) {
        for (const plaintext of [seed(), Buffer.from('x'), randomBytes(1000)]) {
          const ciphertext = await encrypt(keyName, plaintext)
          expect(ciphertext.toString()).toMatch(new RegExp(`^vault:v${version}:`))
          written.push([plaintext, ciphertext])
        }
        await bench.server.operator.rotate(keyName)
      }
      for (const [plaintext, ciphertext] of written) {
        expect(await open(stored(ciphertext))).toBe(plaintext.toString('hex'))
        expect(await open(stored(ciphertext, '4'))).toBe(plaintext.toString('hex'))
      }
    })

    test('kleidi: the same with its annotation', async () => {
      const keyName = await makeKey()
      const plaintext = seed()
      const annotations = { 'v2.kleidi.beezy.dev': Buffer.from('1') }
      const value = {
        ciphertext: await encrypt(keyName, plaintext),
        keyId: 'kleidi-kms-plugin_1_1',
        annotations,
      }
      const open = await reader(keyName, VAULT)
      expect(await open(value)).toBe(plaintext.toString('hex'))
    })

    test('of a key of RSA: an altered one is bad data even before any has opened', async () => {
      const keyName = `rsa-${randomBytes(4).toString('hex')}`
      await bench.server.operator.makeKey(keyName, { type: 'rsa-2048' })
      const open = await reader(keyName, VAULT)
      const plaintext = seed()
      const ciphertext = await encrypt(keyName, plaintext)
      const altered = ciphertext.toString().replace(/(.)(?=.{20}$)/, (one) => (one === 'A' ? 'B' : 'A'))
      expect(await open(stored(Buffer.from(altered)))).toBe('ERR_DECRYPTION_FAILED')
      expect(await open(stored(ciphertext))).toBe(plaintext.toString('hex'))
    })

    test('a derived key opens with its context, and says what is missing without', async () => {
      const keyName = `derived-${randomBytes(4).toString('hex')}`
      await bench.server.operator.makeKey(keyName, { derived: true })
      const context = 'cluster one'
      const plaintext = seed()
      const ciphertext = await encrypt(keyName, plaintext, {
        context: Buffer.from(context).toString('base64'),
      })
      expect(await (await reader(keyName, VAULT, {}, { context }))(stored(ciphertext))).toBe(
        plaintext.toString('hex'),
      )
      expect(await (await reader(keyName, VAULT))(stored(ciphertext))).toBe('ERR_CONFIG_INVALID')
    })

    test('another key, an altered value and a version that is not there are bad data; too old a version is not', async () => {
      const [keyName, other] = [await makeKey(), await makeKey()]
      const open = await reader(keyName, VAULT)
      const plaintext = seed()
      const ciphertext = await encrypt(keyName, plaintext)
      expect(await (await reader(other, VAULT))(stored(ciphertext))).toBe('ERR_DECRYPTION_FAILED')
      const outcomes = new Set<string>()
      for (const changed of flips(ciphertext, [0])) outcomes.add(await open(stored(changed)))
      expect(outcomes).toEqual(new Set(['not found', 'ERR_MALFORMED_ENVELOPE', 'ERR_DECRYPTION_FAILED']))
      const ofNine = Buffer.from(ciphertext.toString().replace('v1', 'v9'))
      expect(await open(stored(ofNine))).toBe('ERR_DECRYPTION_FAILED')
      await bench.server.operator.rotate(keyName)
      await bench.server.operator.configure(keyName, { min_decryption_version: 2 })
      expect(await open(stored(ciphertext))).toBe('ERR_KEY_UNUSABLE')
      await bench.server.operator.configure(keyName, { min_decryption_version: 1 })
      expect(await open(stored(ciphertext))).toBe(plaintext.toString('hex'))
    })
  })

  describe(OPENBAO, () => {
    /** As the plugin writes, with the version named and everything but its own version bound. */
    async function write(
      keyName: string,
      version: number,
      plaintext: Buffer,
      namespace?: string,
    ): Promise<StoredValue> {
      const { providerName, clusterId, instanceId, transitMountId, keyLineageId } = NAMES
      const created = Number(at(await bench.server.operator.readKey(keyName), 'keys')[String(version)])
      const tuple = [
        ...['openbao-kubernetes-kms/key-id/v1', providerName, clusterId, instanceId],
        ...(namespace === undefined ? [] : [namespace]),
        ...[transitMountId, keyLineageId, String(version), String(created)],
      ]
      const keyId = `obk2.${hash(tuple.map((part) => `${part}\0`).join(''))}`
      const annotations = {
        'provider.kms.openbao.org': 'openbao-transit',
        'key-id-hash.kms.openbao.org': hash(keyId),
        'transit-key-version.kms.openbao.org': String(version),
        'transit-mount-hash.kms.openbao.org': hash(transitMountId),
        'transit-key-hash.kms.openbao.org': hash(keyLineageId),
        'plugin-version.kms.openbao.org': 'v0.3.0',
        'aad-version.kms.openbao.org': 'v1',
        ...(namespace !== undefined && { 'openbao-namespace-hash.kms.openbao.org': hash(namespace) }),
      }
      const bound = namespace === undefined ? '' : `"openbao_namespace_hash":"${hash(namespace)}",`
      const escapedName = providerName
        .replaceAll('"', '\\"')
        .replaceAll('&', '\\u0026')
        .replaceAll('<', '\\u003c')
        .replaceAll('>', '\\u003e')
      const aad =
        '{"aad_version":"v1","purpose":"kubernetes-etcd-kms-v2","provider":"openbao-transit",' +
        `"provider_name":"${escapedName}","cluster_id_hash":"${hash(clusterId)}",` +
        `"openbao_instance_hash":"${hash(instanceId)}",${bound}"transit_mount_hash":"${hash(transitMountId)}",` +
        `"transit_key_hash":"${hash(keyLineageId)}","key_id_hash":"${hash(keyId)}","key_version":"${version}"}`
      const more = { associated_data: Buffer.from(aad).toString('base64'), key_version: version }
      const ciphertext = await encrypt(keyName, plaintext, more)
      const bytes = Object.entries(annotations).map(([name, text]) => [name, Buffer.from(text)] as const)
      return { ciphertext, keyId, annotations: Object.fromEntries(bytes) }
    }

    test('fresh values of old and new versions of the key, and none with anything changed that is bound', async () => {
      const keyName = await makeKey()
      const open = await reader(keyName, OPENBAO, NAMES)
      const written: [Buffer, StoredValue][] = []
      for (let version = 1; version <= 3; version += 1) {
        const plaintext = seed()
        written.push([plaintext, await write(keyName, version, plaintext)])
        await bench.server.operator.rotate(keyName)
      }
      for (const [plaintext, value] of written) expect(await open(value)).toBe(plaintext.toString('hex'))
      const [[, value], [, later]] = written as [[Buffer, StoredValue], [Buffer, StoredValue]]
      const refused = [
        { ...value, ciphertext: later.ciphertext },
        { ...value, keyId: later.keyId, annotations: later.annotations },
        withAnnotation(value, 'key-id-hash.kms.openbao.org', Buffer.from(hash('x'))),
        ...flips(value.ciphertext, [0]).map((ciphertext) => ({ ...value, ciphertext })),
      ]
      for (const one of refused) {
        expect(await open(one)).toMatch(/^ERR_(MALFORMED_ENVELOPE|KEY_ID_MISMATCH|DECRYPTION_FAILED)$/)
      }
    })

    test('a value that is bound to a namespace as well, and not without its hash', async () => {
      const keyName = await makeKey()
      const open = await reader(keyName, OPENBAO, NAMES)
      const plaintext = seed()
      const value = await write(keyName, 1, plaintext, 'admin/workload-a')
      expect(await open(value)).toBe(plaintext.toString('hex'))
      const without = withAnnotation(value, 'openbao-namespace-hash.kms.openbao.org', undefined)
      expect(await open(without)).toBe('ERR_DECRYPTION_FAILED')
    })

    test('another key, other names, too old a version', async () => {
      const [keyName, other] = [await makeKey(), await makeKey()]
      const plaintext = seed()
      const value = await write(keyName, 1, plaintext)
      expect(await (await reader(other, OPENBAO, NAMES))(value)).toBe('ERR_DECRYPTION_FAILED')
      const named = async (change: Partial<Names>) =>
        (await reader(keyName, OPENBAO, { ...NAMES, ...change }))(value)
      expect(await named({ clusterId: 'cluster-2' })).toBe('ERR_DECRYPTION_FAILED')
      expect(await named({ keyLineageId: 'lineage-2' })).toBe('ERR_KEY_UNKNOWN')
      await bench.server.operator.rotate(keyName)
      await bench.server.operator.configure(keyName, { min_decryption_version: 2 })
      expect(await named({})).toBe('ERR_KEY_UNUSABLE')
      await bench.server.operator.configure(keyName, { min_decryption_version: 1 })
      expect(await named({})).toBe(plaintext.toString('hex'))
    })
  })
})

function hash(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}
