import { describe, expect, test } from 'vitest'
import { pathOf, versionNumber } from '../../../src/adapters/backends/gcp/key_name.js'
import { settings } from '../../../src/adapters/backends/gcp/settings.js'
import { KEY_NAME } from '../../support/fakes/gcp.js'

const section = { backend: 'gcp', keyName: KEY_NAME }

function mistakesOf(change: object): string {
  const result = settings.safeParse({ ...section, ...change })
  return result.success ? '' : result.error.issues.map(({ message }) => message).join('; ')
}

describe('the settings of gcp', () => {
  test('a key by its resource name is enough', () => {
    expect(settings.parse(section)).toEqual(section)
  })

  test.each([
    '',
    'kek',
    'projects/p/locations/l/keyRings/r',
    'projects/p/locations/l/keyRings/r/cryptoKeys/',
    'projects/P/locations/l/keyRings/r/cryptoKeys/k',
    'projects/p/locations/l/keyRings/r/cryptoKeys/k/',
    '/projects/p/locations/l/keyRings/r/cryptoKeys/k',
    'projects/p/locations/../keyRings/r/cryptoKeys/k',
    'projects/p/locations/l/keyRings/r/cryptoKeys/k?x=y',
    'projects/p/locations/l/keyRings/r/cryptoKeys/k:destroy',
    'https://cloudkms.googleapis.com/v1/projects/p/locations/l/keyRings/r/cryptoKeys/k',
  ])('a key name that is none is refused with the form of one: %j', (keyName) => {
    expect(mistakesOf({ keyName })).toBe(
      'must be projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY',
    )
  })

  test('a key name with a version is refused with what to write instead', () => {
    expect(mistakesOf({ keyName: `${KEY_NAME}/cryptoKeyVersions/3` })).toContain(
      'leave out /cryptoKeyVersions/…',
    )
  })

  test('an old project id with its domain is taken, and its colon encoded', () => {
    const keyName = 'projects/example.com:acme/locations/global/keyRings/r/cryptoKeys/k'
    expect(mistakesOf({ keyName })).toBe('')
    expect(pathOf(keyName)).toBe('/v1/projects/example.com%3Aacme/locations/global/keyRings/r/cryptoKeys/k')
  })

  test.each([
    '/etc/kmsplugin/gcp.json',
    'env:GCP',
    'file:gcp.json',
    'file:/',
    '{"type":"service_account"}',
    7,
  ])('credentials are a file and never a literal: %j', (credentials) => {
    expect(mistakesOf({ credentials })).toBe(
      'must be file:/absolute/path of a JSON file with the credentials',
    )
  })

  test('an endpoint without TLS is for loopback only', () => {
    expect(mistakesOf({ endpoint: 'http://kms.example.com' })).toContain('https://')
    expect(mistakesOf({ endpoint: 'http://127.0.0.1:8080' })).toBe('')
    expect(mistakesOf({ endpoint: 'https://cloudkms-psc.p.googleapis.com' })).toBe('')
  })

  test('an empty or endless text to bind to is refused', () => {
    expect(mistakesOf({ additionalAuthenticatedData: '' })).not.toBe('')
    expect(mistakesOf({ additionalAuthenticatedData: 'x'.repeat(1025) })).not.toBe('')
  })
})

test.each([
  [`${KEY_NAME}/cryptoKeyVersions/1`, 1],
  [`${KEY_NAME}/cryptoKeyVersions/4294967295`, 4294967295],
  [`${KEY_NAME}/cryptoKeyVersions/4294967296`, undefined],
  [`${KEY_NAME}/cryptoKeyVersions/0`, undefined],
  [`${KEY_NAME}/cryptoKeyVersions/01`, undefined],
  [`${KEY_NAME}/cryptoKeyVersions/1/x`, undefined],
  [`${KEY_NAME}2/cryptoKeyVersions/1`, undefined],
  [KEY_NAME, undefined],
  [undefined, undefined],
])('the version of %j is %j', (name, version) => {
  expect(versionNumber(KEY_NAME, name)).toBe(version)
})
