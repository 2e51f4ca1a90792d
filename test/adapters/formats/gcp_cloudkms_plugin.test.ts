/** Values that Google's plugin itself wrote open with the key in Cloud KMS, and nothing that was altered does. */
import { describe, expect, test } from 'vitest'
import { erased } from '../../../src/adapters/formats/format.js'
import { gcpCloudkmsPlugin } from '../../../src/adapters/formats/gcp_cloudkms_plugin.js'
import type { StoredValue } from '../../../src/ports/foreign.js'
import { outcomeNow, outcomeOf } from '../../doubles/outcome.js'
import {
  damagedCiphertexts,
  damagedTexts,
  open,
  recordingOf,
  tally,
  type RecordedValue,
} from '../../support/cloud_values.js'
import type { VersionWish } from '../../support/fakes/gcp_key.js'
import { patiently, useScene } from '../gcp/opened.js'

const recording = recordingOf<{ readonly name: string; readonly versions: readonly VersionWish[] }>(
  'gcp-cloudkms-plugin',
)
const decoder = erased(gcpCloudkmsPlugin).decoder({}, { allowUnauthenticated: false })
const scene = useScene()
const keyName = recording.key.name

const openingNow = (additionalAuthenticatedData?: string) => {
  scene.fake.key.restore(recording.key.versions)
  const wrapper = scene.open(additionalAuthenticatedData === undefined ? {} : { additionalAuthenticatedData })
  return async (stored: StoredValue) => open(decoder, wrapper, stored, patiently())
}

const cases = recording.values.map((value): [string, RecordedValue] => [`${value.api}, ${value.note}`, value])

describe.each(cases)('%s', (_name, { stored, plaintext }) => {
  test('is recognized and opens, whatever our own entry binds its DEKs to', async () => {
    expect(decoder.recognize(stored)).toBe(stored.keyId === undefined ? 'bytes' : 'keyId')
    expect(Buffer.from(await openingNow()(stored)).equals(plaintext)).toBe(true)
    expect(Buffer.from(await openingNow('prod-1')(stored)).equals(plaintext)).toBe(true)
  })

  test('is refused whatever of its bytes is altered, and never as a fault of Google', async () => {
    const damaged = damagedCiphertexts(stored).map((ciphertext) => ({ ...stored, ciphertext }))
    const counts = await tally(damaged, plaintext, openingNow())
    const { ERR_MALFORMED_ENVELOPE = 0, ERR_DECRYPTION_FAILED = 0, ...others } = counts
    expect(others).toEqual({})
    expect(ERR_MALFORMED_ENVELOPE + ERR_DECRYPTION_FAILED).toBe(damaged.length)
  })
})

test('an altered key id names another key, or nothing, or the same key: never is there another plaintext', async () => {
  const { stored, plaintext } = recording.values.find(({ raw }) => String(raw['keyId']).includes(':again'))!
  const opening = openingNow()
  const end = keyName.length
  const damaged = damagedTexts(stored.keyId ?? '').map((keyId) => ({ ...stored, keyId }))
  const ofKey = await tally(damaged.slice(0, end), plaintext, opening)
  const { ERR_KEY_UNKNOWN = 0, ERR_MALFORMED_ENVELOPE = 0, ...others } = ofKey
  expect(others).toEqual({})
  expect(ERR_KEY_UNKNOWN + ERR_MALFORMED_ENVELOPE).toBe(end)
  // Which version it was stands in the ciphertext, where Cloud KMS finds it; the suffix is the operator's own.
  const behind = await tally(damaged.slice(end), plaintext, opening)
  expect(Object.keys(behind).filter((code) => code !== 'OK' && code !== 'ERR_MALFORMED_ENVELOPE')).toEqual([])
})

test('a value of another key is not sent anywhere', async () => {
  const { stored } = recording.values.find(({ raw }) => raw['keyId'] !== undefined)!
  const opening = openingNow()
  const keyId = `${keyName}-2/cryptoKeyVersions/1`
  expect(await outcomeOf(opening({ ...stored, keyId }))).toBe('ERR_KEY_UNKNOWN')
  expect(scene.asked()).toEqual([])
})

describe('the form', () => {
  const bytes = Buffer.concat([Buffer.from('0a02aabb', 'hex'), Buffer.alloc(40, 7)])
  const stored = (keyId?: string, ciphertext: Buffer = bytes): StoredValue => ({
    ciphertext,
    keyId,
    annotations: {},
  })

  test.each([
    ['a version', `${keyName}/cryptoKeyVersions/12`, keyName],
    ['a version and a suffix', `${keyName}/cryptoKeyVersions/12:2`, keyName],
    ['a suffix with all that may be in it', `${keyName}/cryptoKeyVersions/1:a:b/c`, keyName],
    ['the key alone', keyName, keyName],
    [
      'a project id of old',
      'projects/acme.com:prod/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1',
      'projects/acme.com:prod/locations/l/keyRings/r/cryptoKeys/k',
    ],
    ['nothing (v1)', undefined, undefined],
  ])('takes the key out of %s', (_name, keyId, key) => {
    expect(decoder.plan(stored(keyId)).questions).toEqual([
      { bytes, ...(key !== undefined && { keyName: key }) },
    ])
  })

  test.each([
    ['an empty value', stored(undefined, Buffer.alloc(0))],
    ['a value that is too short', stored(keyName, bytes.subarray(0, 27))],
    ['a key id without a key', stored('projects/p/locations/l/keyRings/r')],
    ['a key id with something else behind the key', stored(`${keyName}/importJobs/1`)],
    ['a version that is no number', stored(`${keyName}/cryptoKeyVersions/one`)],
    ['an empty key id', stored('')],
  ])('refuses %s before anybody is asked', (_name, value) => {
    expect(outcomeNow(() => decoder.plan(value))).toBe('ERR_MALFORMED_ENVELOPE')
  })

  test.each([
    ['a value of AWS', stored(undefined, Buffer.from('310102020078', 'hex'))],
    ['a text', stored(undefined, Buffer.from('vault:v1:AAAA'))],
    [
      'a field that is longer than the value',
      stored(undefined, Buffer.from(`0a7f${'00'.repeat(60)}`, 'hex')),
    ],
    ['a value of v2 under a foreign key id', stored('alias/kek')],
    ['a value with annotations', { ...stored(keyName), annotations: { 'a.example.com': Buffer.from('1') } }],
    ['nothing', stored(undefined, Buffer.alloc(0))],
  ])('does not recognize %s', (_name, value) => {
    expect(decoder.recognize(value)).toBeUndefined()
  })

  test('is explained without a key', () => {
    expect(gcpCloudkmsPlugin.explain(stored(`${keyName}/cryptoKeyVersions/12:again`))).toEqual({
      fields: [
        { label: 'key', value: keyName },
        { label: 'version', value: '12' },
        { label: 'key suffix', value: 'again' },
        { label: 'ciphertext of Cloud KMS', value: '44 bytes' },
      ],
    })
    expect(gcpCloudkmsPlugin.explain(stored()).fields[0]?.value).toBe('not stored by v1')
    expect(gcpCloudkmsPlugin.explain(stored(`${keyName}:\u001b[0m`)).fields[1]?.value).toBe('not readable')
    expect(gcpCloudkmsPlugin.explain(stored(keyName, Buffer.alloc(3))).problem).toContain('too short')
  })
})
