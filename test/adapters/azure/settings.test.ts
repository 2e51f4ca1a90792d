import { describe, expect, test } from 'vitest'
import { authorityOf, mayAskFor } from '../../../src/adapters/backends/azure/cloud.js'
import { settings } from '../../../src/adapters/backends/azure/settings.js'
import { KmsError } from '../../../src/ports/errors.js'
import { CLIENT, TENANT } from '../../support/fakes/azure_login.js'
import { secretAuth } from './opened.js'

const base = { backend: 'azure', vaultUrl: 'https://v.vault.azure.net', keyName: 'kek', auth: secretAuth }

describe('the settings', () => {
  const id = { tenantId: TENANT, clientId: CLIENT }

  test.each([
    {},
    { keyVersion: '0123456789abcdefABCDEF0123456789' },
    { vaultUrl: 'https://my-hsm.managedhsm.azure.net/' },
    { vaultUrl: 'http://127.0.0.1:8443' },
    { auth: { method: 'workloadIdentity' } },
    {
      auth: {
        method: 'workloadIdentity',
        ...id,
        tokenFile: '/var/run/secrets/azure/tokens/azure-identity-token',
      },
    },
    { auth: { method: 'managedIdentity' } },
    { auth: { method: 'managedIdentity', clientId: CLIENT } },
    { auth: { method: 'clientCertificate', ...id, certificateFile: '/c.pem', privateKeyFile: '/k.pem' } },
    { authorityHost: 'https://login.microsoftonline.us' },
    { caFile: '/etc/ssl/ca.pem' },
  ])('take %j', (change) => {
    expect(settings.safeParse({ ...base, ...change }).success).toBe(true)
  })

  test.each([
    [{ vaultUrl: 'http://v.vault.azure.net' }, 'vaultUrl'],
    [{ vaultUrl: 'https://v.vault.azure.net/keys/kek' }, 'vaultUrl'],
    [{ vaultUrl: 'v.vault.azure.net' }, 'vaultUrl'],
    [{ keyName: 'kek/versions' }, 'keyName'],
    [{ keyName: '' }, 'keyName'],
    [{ keyVersion: 'latest' }, 'keyVersion'],
    [{ auth: { ...secretAuth, clientSecret: 'Abc8Q~literal' } }, 'auth.clientSecret'],
    [{ auth: { method: 'clientSecret', ...id } }, 'auth.clientSecret'],
    [{ auth: { ...secretAuth, clientId: 'my-app' } }, 'auth.clientId'],
    [{ auth: { ...secretAuth, tenantId: '../x' } }, 'auth.tenantId'],
    [{ auth: { method: 'managedIdentity', clientSecret: 'env:X' } }, 'auth'],
    [{ auth: { method: 'cli' } }, 'auth.method'],
    [{ auth: { method: 'clientCertificate', ...id, certificateFile: '/c.pem' } }, 'auth.privateKeyFile'],
    [{ authorityHost: 'https://login.microsoftonline.com/tenant' }, 'authorityHost'],
    [{ authorityHost: 'http://login.microsoftonline.com' }, 'authorityHost'],
    [{ algorithm: 'RSA-OAEP-256' }, ''],
  ])('refuse %j and say where', (change, path) => {
    const result = settings.safeParse({ ...base, ...change })
    expect(result.error?.issues.map((issue) => issue.path.join('.'))).toEqual([path])
    expect(JSON.stringify(result.error?.issues)).not.toContain('literal')
  })
})

describe('a vault may ask for tokens', () => {
  test.each([
    ['v.vault.azure.net', 'vault.azure.net'],
    ['h.managedhsm.azure.net', 'managedhsm.azure.net'],
    ['v.vault.azure.cn', 'vault.azure.cn'],
    ['v.vault.usgovcloudapi.net', 'vault.usgovcloudapi.net'],
    ['v.vault.local.azurestack.external', 'vault.local.azurestack.external'],
    ['127.0.0.1', 'vault.azure.net'],
    ['localhost', '127.0.0.1'],
  ])('%s: of the domain that its name is below, %s', (host, resource) => {
    expect(mayAskFor(host, resource)).toBe(true)
  })

  test.each([
    ['v.vault.azure.net', 'management.azure.com'],
    ['v.vault.azure.net', 'graph.microsoft.com'],
    ['v.vault.azure.net', 'managedhsm.azure.net'],
    ['v.vault.azure.net', 'v.vault.azure.net'],
    ['v.vault.azure.net', 'ault.azure.net'],
    ['v.vault.azure.net', 'net'],
    ['vault.azure.net.evil.example', 'vault.azure.net'],
    ['evilvault.azure.net', 'vault.azure.net'],
    ['127.0.0.1', 'management.azure.com'],
    ['127.0.0.1', 'x.vault.azure.net'],
  ])('%s: and of no other, such as %s', (host, resource) => {
    expect(mayAskFor(host, resource)).toBe(false)
  })
})

describe('one logs in', () => {
  const authority = (change: object, env: Record<string, string> = {}) =>
    authorityOf(settings.parse({ ...base, ...change }), env).origin

  test.each([
    ['https://v.vault.azure.net', 'https://login.microsoftonline.com'],
    ['https://h.managedhsm.azure.net', 'https://login.microsoftonline.com'],
    ['https://v.vault.azure.cn', 'https://login.chinacloudapi.cn'],
    ['https://h.managedhsm.usgovcloudapi.net', 'https://login.microsoftonline.us'],
    ['https://V.VAULT.USGOVCLOUDAPI.NET', 'https://login.microsoftonline.us'],
  ])('to %s in the cloud of the vault, %s', (vaultUrl, expected) => {
    expect(authority({ vaultUrl })).toBe(expected)
  })

  test('where the environment says, and where the config says before that', () => {
    const env = { AZURE_AUTHORITY_HOST: 'https://login.partner.example/' }
    expect(authority({}, env)).toBe('https://login.partner.example')
    expect(authority({ authorityHost: 'https://login.here.example' }, env)).toBe('https://login.here.example')
    expect(authority({}, { AZURE_AUTHORITY_HOST: '' })).toBe('https://login.microsoftonline.com')
  })

  test('nowhere that the environment names without TLS', () => {
    const env = { AZURE_AUTHORITY_HOST: 'http://login.example' }
    expect(() => authority({}, env)).toThrow(KmsError)
    expect(() => authority({}, env)).toThrow(/AZURE_AUTHORITY_HOST/)
  })
})
