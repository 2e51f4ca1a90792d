/** Bugs of other plugins for the KMS of a cloud, one test each: none of them is ours. */
import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { settings } from '../../src/adapters/config/settings.js'
import { formats } from '../../src/adapters/formats/index.js'
import { createPrometheusMetrics } from '../../src/adapters/observability/prometheus_metrics.js'
import { asKmsError, errorCodes, type KmsErrorCode } from '../../src/ports/errors.js'
import type { StoredValue } from '../../src/ports/foreign.js'
import { buildProvedCore, type Core } from '../doubles/core.js'
import { FaultyKeyWrapper } from '../doubles/faulty_key_wrapper.js'
import { ManualClock } from '../doubles/manual_clock.js'
import { outcomeNow, outcomeOf } from '../doubles/outcome.js'
import { envOf, openOn, useEnv, within } from '../support/aws_scene.js'
import { open } from '../support/cloud_values.js'
import { FakeAws } from '../support/fakes/aws.js'

const closings: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const close of closings.splice(0).reverse()) await close()
})

async function probe(core: Core): Promise<void> {
  const round = core.probe.once()
  await core.clock.advance(3000)
  await round
}

test('bug 1, AWS: the health of one key that works hides that another is dead', async () => {
  const clock = new ManualClock()
  const old = new FaultyKeyWrapper('old', clock)
  const value = await (await buildProvedCore({}, { clock, primary: old })).encrypt(Buffer.from('value'))
  const core = await buildProvedCore({}, { clock, decryptOnly: [old] })
  core.primary.fail('any', 'ERR_KEY_DISABLED')
  await probe(core)
  // The other key is used with success right before the question.
  expect(await outcomeOf(core.decrypt(value.ciphertext))).toBe('OK')
  await probe(core)
  expect(core.health.report()).toMatchObject({
    ready: false,
    keys: [
      { key: 'main', outcome: 'ERR_KEY_DISABLED' },
      { key: 'old0', outcome: 'OK' },
    ],
  })
})

describe('bug 2, AWS: only the API version that a flag names is looked at', () => {
  test.each([
    ['v1', 65_535],
    ['v2', 1024],
  ])('a dead key shows, and stops sealing, when only %s is used', async (_api, maxBytes) => {
    const core = await buildProvedCore()
    expect(await outcomeOf(core.encrypt(Buffer.from('value'), maxBytes))).toBe('OK')
    core.primary.fail('any', 'ERR_KEY_DISABLED')
    await probe(core)
    expect(core.health.report().ready).toBe(false)
    expect(await outcomeOf(core.encrypt(Buffer.from('value'), maxBytes))).toBe('ERR_KEY_DISABLED')
  })
})

describe('bug 3, AWS and GCP: a Status that is not ok names a key id, and kube-apiserver goes on writing', () => {
  const lost = (Object.keys(errorCodes) as KmsErrorCode[]).filter(
    (code) => errorCodes[code].fault === 'operator',
  )

  test.each(lost)('%s: no key id in Status, and nothing is sealed from the first probe on', async (code) => {
    const core = await buildProvedCore()
    core.primary.fail('any', code)
    await probe(core)
    expect(await outcomeOf(core.encrypt(Buffer.from('value')))).toBe(code)
    await probe(core)
    expect(outcomeNow(() => core.service.status())).toBe(code)
  })

  test('an outage: with onBackendOutage: error, Status names no key id either', async () => {
    const core = await buildProvedCore({ onBackendOutage: 'error' })
    core.primary.fail('any', 'ERR_BACKEND_UNREACHABLE')
    await probe(core)
    expect(outcomeNow(() => core.service.status())).toBe('ERR_BACKEND_UNREACHABLE')
  })
})

test('bug 5, AWS: the key id is an alias, so to move it changes nothing that anybody sees', async () => {
  const aws = await FakeAws.start()
  const first = aws.addKey({ alias: 'alias/kek' })
  const restore = useEnv(envOf(aws.addIdentity()))
  const wrapper = openOn(aws, 'alias/kek')
  closings.push(
    async () => aws.close(),
    restore,
    async () => wrapper.close(),
  )
  const wrapped = await wrapper.wrap(randomBytes(32), within())
  const theirs = first.encrypt(Buffer.from('theirs'), {})

  aws.addKey({ alias: 'alias/kek' })
  const keyId = await wrapper.currentKeyId(within())
  expect(keyId).not.toBe(wrapped.keyId)
  expect(keyId).not.toContain('alias')
  // Of a key that is no entry is something else than damaged: the operator is told what to add.
  expect(await outcomeOf(wrapper.unwrap(wrapped, within()))).toBe('ERR_KEY_UNKNOWN')
  // And what such a plugin stored under the alias opens with the key that made it.
  const ciphertext = Buffer.concat([Buffer.from('1'), theirs])
  const decoder = formats.find(({ name }) => name === 'aws-encryption-provider')!.decoder({}, SAFE)
  const stored: StoredValue = { ciphertext, keyId: 'alias/kek', annotations: {} }
  expect(Buffer.from(await open(decoder, wrapper, stored, within())).toString()).toBe('theirs')
})

const SAFE = { allowUnauthenticated: false }

describe('bug 9, AWS, OKMS and others: a short ciphertext ends the process', () => {
  const keyIds = [
    undefined,
    '',
    'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab',
    'projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1',
    'a'.repeat(64),
  ]
  const clouds = ['aws-encryption-provider', 'azure-kubernetes-kms', 'gcp-cloudkms-plugin']

  test.each(clouds)(
    '%s: of 0 to 40 bytes of any kind, each ends in a plan or in an error of ours',
    (name) => {
      const format = formats.find((one) => one.name === name)!
      const decoder = format.decoder({}, SAFE)
      for (const keyId of keyIds) {
        for (const first of ['', '1', '0a24', '0102']) {
          for (let length = 0; length <= 40; length += 1) {
            const start = first === '1' ? Buffer.from('1') : Buffer.from(first, 'hex')
            const ciphertext = Buffer.concat([start, Buffer.alloc(40, 0x41)]).subarray(0, length)
            const value = { ciphertext, keyId, annotations: {} }
            decoder.recognize(value)
            format.explain(value)
            expect(['OK', 'ERR_MALFORMED_ENVELOPE']).toContain(outcomeNow(() => decoder.plan(value)))
          }
        }
      }
    },
  )

  test.each([0, 1, 2, 3, 16, 31])('a service that opens a value to %i bytes is no crash either', (length) => {
    const azure = formats.find(({ name }) => name === 'azure-kubernetes-kms')!.decoder({}, SAFE)
    const value = { ciphertext: Buffer.from('A'.repeat(342)), keyId: undefined, annotations: {} }
    const plan = azure.plan(value)
    expect(outcomeNow(() => plan.finish([Buffer.alloc(length)]))).toBe('ERR_DECRYPTION_FAILED')
    expect(outcomeNow(() => plan.finish([]))).toBe('ERR_DECRYPTION_FAILED')
  })
})

test('bug 10, Azure: the text of an error is a label, so that each error is a new series', async () => {
  const metrics = createPrometheusMetrics({ version: '1', node: '1', droppedLogLines: () => 0 })
  const series = async () =>
    (await metrics.scrape()).split('\n').filter((line) => line.includes('requests_total')).length
  const fail = (n: number) => {
    const { code } = asKmsError(new Error(`request ${n} failed at ${randomBytes(8).toString('hex')}`))
    metrics.requestFinished('v2', 'decrypt', code, 0.001)
    metrics.foreignDecoded('azure-kubernetes-kms', code)
  }
  fail(0)
  const before = await series()
  for (let n = 1; n <= 1000; n += 1) fail(n)
  expect(await series()).toBe(before)
  expect(await metrics.scrape()).not.toMatch(/request \d+ failed/)
})

describe('bug 19, AWS and Azure: health and metrics answer on every interface', () => {
  const { form, fallback } = settings.health.address

  test.each([
    ['nothing', fallback],
    ['a port alone, as AWS writes it', ':8080'],
  ])('with %s they answer on loopback', (_name, text) => {
    expect(form.read(text)?.host).toBe('127.0.0.1')
  })
})
