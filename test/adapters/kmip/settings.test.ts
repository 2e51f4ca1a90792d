import { describe, expect, test } from 'vitest'
import { parseAddress, settings } from '../../../src/adapters/backends/kmip/settings.js'

const good = {
  backend: 'kmip',
  address: 'kms.example.com',
  clientCertFile: '/etc/kmsplugin/client.pem',
  clientKeyFile: '/etc/kmsplugin/client.key',
  keyId: '1',
}

const issues = (change: object): readonly string[] =>
  settings
    .safeParse({ ...good, ...change })
    .error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? []

describe('the address', () => {
  test.each([
    ['kms.example.com', 'kms.example.com', 5696],
    ['kms.example.com:5697', 'kms.example.com', 5697],
    ['10.0.0.1:1', '10.0.0.1', 1],
    ['[::1]', '::1', 5696],
    ['[2001:db8::1]:65535', '2001:db8::1', 65535],
    ['eu-west-rbx.okms.ovh.net:5696', 'eu-west-rbx.okms.ovh.net', 5696],
  ])('%s is read', (address, host, port) => {
    expect(parseAddress(address)).toEqual({ host, port })
    expect(issues({ address })).toEqual([])
  })

  test.each([
    '',
    ':5696',
    'a:0',
    'a:65536',
    'a:b',
    'a:1:2',
    '::1',
    '[a]',
    '[::1',
    'https://a',
    'a/b',
    'user@a',
    'a b',
    'a\n',
    '-a',
  ])('%j is refused', (address) => {
    expect(issues({ address }).join()).toMatch(/address: must be host:port/)
  })
})

describe('the key', () => {
  test('is named once', () => {
    expect(issues({})).toEqual([])
    expect(issues({ keyId: undefined, keyLabel: 'kek' })).toEqual([])
    expect(issues({ keyLabel: 'kek' })).toEqual([
      expect.stringContaining('keyLabel: names the key a second time'),
    ])
    expect(issues({ keyId: undefined })).toEqual([expect.stringContaining('keyId: is missing')])
  })

  test.each(['', 'a\nb', 'x'.repeat(256)])('has a name that servers can store: %j', (keyId) => {
    expect(issues({ keyId })).toHaveLength(1)
  })
})

test('a client certificate is needed, and nothing unknown is taken', () => {
  expect(issues({ clientCertFile: undefined, clientKeyFile: undefined })).toHaveLength(2)
  expect(issues({ password: 'x' })).toHaveLength(1)
})
