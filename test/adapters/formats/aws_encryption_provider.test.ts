/** Values that aws-encryption-provider itself wrote open with the key in AWS KMS, and nothing that was altered does. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AwsKmsClient, type Opened } from '../../../src/adapters/backends/aws/client.js'
import { serviceError } from '../../../src/adapters/backends/aws/service_error.js'
import { settings, type AwsSettings } from '../../../src/adapters/backends/aws/settings.js'
import { AwsKeyWrapper } from '../../../src/adapters/backends/aws/wrapper.js'
import { awsEncryptionProvider } from '../../../src/adapters/formats/aws_encryption_provider.js'
import { erased } from '../../../src/adapters/formats/format.js'
import { canaried } from '../../../src/domain/canaried_key_wrapper.js'
import { createSystemClock } from '../../../src/adapters/system/clock.js'
import type { StoredValue } from '../../../src/ports/foreign.js'
import type { KeyWrapper } from '../../../src/ports/key_wrapper.js'
import { silentLogger } from '../../../src/ports/logger.js'
import { outcomeNow, outcomeOf } from '../../doubles/outcome.js'
import { envOf, partsWith, useEnv, within } from '../../support/aws_scene.js'
import {
  damagedCiphertexts,
  damagedTexts,
  open,
  recordingOf,
  tally,
  type RecordedValue,
} from '../../support/cloud_values.js'
import { FakeAws } from '../../support/fakes/aws.js'
import type { Identity } from '../../support/fakes/aws/identities.js'
import type { FakeKey, KeyWish } from '../../support/fakes/aws/kms.js'
import { answerKms } from '../../support/fakes/aws/operations.js'

const recording = recordingOf<KeyWish & { readonly alias: string }>('aws-encryption-provider')
const recordedArn = 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'
const decoder = erased(awsEncryptionProvider).decoder({}, { allowUnauthenticated: false })

const CONTEXT = { team: 'infra', cluster: 'prod-1' }

let aws: FakeAws
let kek: FakeKey
let identity: Identity
let restore: () => void
const opened: AwsKeyWrapper[] = []

/** Has no way to go to the service, for the thousands of values that are altered: its answers are read as those over HTTP. */
class NearClient extends AwsKmsClient {
  readonly #context: AwsSettings['encryptionContext']

  constructor(section: AwsSettings) {
    super(section, partsWith())
    this.#context = section.encryptionContext
  }

  override async decrypt(arn: string | undefined, blob: Uint8Array): Promise<Opened> {
    const input = {
      ...(arn !== undefined && { KeyId: arn }),
      CiphertextBlob: Buffer.from(blob).toString('base64'),
      EncryptionContext: this.#context,
    }
    try {
      const caller = { identity, region: kek.region, conditions: {} }
      const { Plaintext } = answerKms('Decrypt', input, caller, aws) as { readonly Plaintext: string }
      return await Promise.resolve({ dek: Buffer.from(Plaintext, 'base64'), materialId: undefined })
    } catch (error) {
      throw serviceError(error, { service: 'AWS KMS', subject: arn ?? 'a key', action: 'kms:Decrypt' })
    }
  }
}

/** As the core has it: with a canary that knows a DEK which opens. */
async function wrapperWith(
  encryptionContext: AwsSettings['encryptionContext'],
  makeClient: (section: AwsSettings) => AwsKmsClient,
): Promise<KeyWrapper> {
  const endpoint = aws.server.url
  const section = settings.parse({ backend: 'aws', keyId: kek.arn, endpoint, encryptionContext })
  const clock = createSystemClock()
  const wrapper = new AwsKeyWrapper(makeClient(section), clock, silentLogger, section)
  opened.push(wrapper)
  const whole = canaried(wrapper, clock, 10_000)
  ;(await whole.unwrap(await whole.wrap(randomBytes(32), within()), within())).fill(0)
  return whole
}

interface Pair {
  readonly plain: KeyWrapper
  readonly bound: KeyWrapper
}
let far: Pair
let near: Pair

beforeAll(async () => {
  aws = await FakeAws.start()
  kek = aws.addKey(recording.key)
  identity = aws.addIdentity()
  restore = useEnv(envOf(identity))
  const pairOf = async (makeClient: (section: AwsSettings) => AwsKmsClient): Promise<Pair> => ({
    plain: await wrapperWith(undefined, makeClient),
    bound: await wrapperWith(CONTEXT, makeClient),
  })
  far = await pairOf((section) => new AwsKmsClient(section, partsWith()))
  near = await pairOf((section) => new NearClient(section))
})

afterAll(async () => {
  await Promise.all(opened.map(async (one) => one.close()))
  restore()
  await aws.close()
})

const cases = recording.values.map((value): [string, RecordedValue] => [`${value.api}, ${value.note}`, value])
const isBound = ({ raw }: RecordedValue) => raw['encryptionContext'] !== undefined
const wrapperOf = (value: RecordedValue, { plain, bound }: Pair) => (isBound(value) ? bound : plain)
const openingWith = (wrapper: KeyWrapper) => async (stored: StoredValue) =>
  open(decoder, wrapper, stored, within())

describe.each(cases)('%s', (_name, value) => {
  const { stored, plaintext } = value

  test('is recognized and opens', async () => {
    const isNamed = stored.keyId?.startsWith('arn:') === true || stored.keyId?.startsWith('alias/') === true
    expect(decoder.recognize(stored)).toBe(isNamed ? 'keyId' : 'bytes')
    expect(Buffer.from(await openingWith(wrapperOf(value, far))(stored)).equals(plaintext)).toBe(true)
  })

  test('opens with no other encryption context', async () => {
    const other = isBound(value) ? far.plain : far.bound
    expect(await outcomeOf(openingWith(other)(stored))).toBe('ERR_DECRYPTION_FAILED')
  })

  test('is refused whatever of its bytes is altered, and never as a fault of AWS', async () => {
    const damaged = damagedCiphertexts(stored).map((ciphertext) => ({ ...stored, ciphertext }))
    const counts = await tally(damaged, plaintext, openingWith(wrapperOf(value, near)))
    const { ERR_MALFORMED_ENVELOPE = 0, ERR_DECRYPTION_FAILED = 0, ERR_KEY_UNKNOWN = 0, ...others } = counts
    expect(others).toEqual({})
    expect(ERR_MALFORMED_ENVELOPE + ERR_DECRYPTION_FAILED + ERR_KEY_UNKNOWN).toBe(damaged.length)
    // A pin leaves no doubt whose fault it is.
    if (stored.keyId === kek.arn) expect(ERR_KEY_UNKNOWN).toBe(0)
  })
})

test.each([
  ['with a pin', recording.values.find(({ stored }) => stored.keyId === recordedArn)!],
  ['without a pin', recording.values.find(({ stored }) => stored.keyId === undefined)!],
])('%s, so it is over the wire as well', async (_name, { stored, plaintext }) => {
  const damaged = damagedCiphertexts(stored).map((ciphertext) => ({ ...stored, ciphertext }))
  const overWire = await tally(damaged, plaintext, openingWith(far.plain))
  expect(overWire).toEqual(await tally(damaged, plaintext, openingWith(near.plain)))
  expect(overWire.OK).toBeUndefined()
})

test('an altered key id opens the value with the key of the blob, or not at all: never another plaintext', async () => {
  const { stored, plaintext } = recording.values.find(({ stored: one }) => one.keyId === kek.arn)!
  const damaged = damagedTexts(kek.arn).map((keyId) => ({ ...stored, keyId }))
  const { OK = 0, ERR_KEY_UNKNOWN = 0, ...others } = await tally(damaged, plaintext, openingWith(far.plain))
  expect(others).toEqual({})
  expect(OK + ERR_KEY_UNKNOWN).toBe(damaged.length)
})

describe('the form', () => {
  const arn = recordedArn
  const blob = Buffer.from('0102020078aabbcc', 'hex')
  const one = Buffer.concat([Buffer.from('1'), blob])
  const stored = (ciphertext: Buffer, keyId?: string): StoredValue => ({ ciphertext, keyId, annotations: {} })

  test.each([
    ['an empty value', stored(Buffer.alloc(0))],
    ['an empty value of v2', stored(Buffer.alloc(0), arn)],
    ['the first byte alone', stored(Buffer.from('1'))],
    ['the first byte alone of v2', stored(Buffer.from('1'), arn)],
    ['another first byte on v2', stored(Buffer.concat([Buffer.from('2'), blob]), arn)],
    ['a bare blob on v2', stored(blob, arn)],
    ['more than AWS takes', stored(Buffer.concat([Buffer.from('1'), Buffer.alloc(6145, 1)]), arn)],
  ])('refuses %s before anybody is asked', (_name, value) => {
    expect(outcomeNow(() => decoder.plan(value))).toBe('ERR_MALFORMED_ENVELOPE')
  })

  test.each([
    ['the ARN of a key', arn, arn],
    ['an alias', 'alias/kek', undefined],
    ['the ARN of an alias', 'arn:aws:kms:eu-west-1:111122223333:alias/kek', undefined],
    ['the id of a key', '1234abcd-12ab-34cd-56ef-1234567890ab', undefined],
    ['nothing (v1)', undefined, undefined],
  ])('with %s as key id pins as much as that says', (_name, keyId, keyName) => {
    const { questions } = decoder.plan(stored(one, keyId))
    expect(questions).toEqual([{ bytes: blob, ...(keyName !== undefined && { keyName }) }])
  })

  test.each([
    ['a text that begins with a 1, as a value of Azure can', stored(Buffer.from(`1${'A'.repeat(341)}`))],
    ['a value of Vault', stored(Buffer.from('vault:v1:AAAA'))],
    ['a value of Cloud KMS', stored(Buffer.from('0a2400', 'hex'))],
    ['a bare blob on v2 under a foreign key id', stored(blob, 'kms-test')],
    ['a value with annotations', { ...stored(one), annotations: { 'a.example.com': Buffer.from('1') } }],
    ['nothing', stored(Buffer.alloc(0))],
  ])('does not recognize %s', (_name, value) => {
    expect(decoder.recognize(value)).toBeUndefined()
  })

  test('is explained without a key', () => {
    expect(awsEncryptionProvider.explain(stored(one, arn))).toEqual({
      fields: [
        { label: 'storage version', value: '1' },
        { label: 'key', value: arn },
        { label: 'blob of AWS KMS', value: '8 bytes' },
      ],
    })
    expect(awsEncryptionProvider.explain(stored(blob)).fields[0]).toEqual({
      label: 'storage version',
      value: 'none',
    })
    expect(awsEncryptionProvider.explain(stored(blob, arn)).problem).toContain('no blob')
    expect(awsEncryptionProvider.explain(stored(one, 'alias/\u001b[31m')).fields[1]?.value).toBe(
      'not readable',
    )
  })
})
