/** Which settings are taken, and which are refused before anything is sent? */
import { describe, expect, test } from 'vitest'
import { settings } from '../../../src/adapters/backends/vault/settings.js'

const token = { method: 'token', token: 'file:/etc/kmsplugin/vault-token' }
const base = { backend: 'vault', url: 'https://vault.example.com:8200', keyName: 'kek', auth: token }
const problemsOf = (change: object) =>
  (settings.safeParse({ ...base, ...change }).error?.issues ?? []).map(({ path }) => path.join('.'))

test('the least that is needed, and its defaults', () => {
  expect(settings.parse(base)).toEqual({ ...base, mount: 'transit' })
})

describe('taken', () => {
  test.each([
    { mount: 'team-a/transit' },
    { namespace: 'admin/team-a' },
    { keyName: 'kek-1.prod_eu' },
    { associatedData: 'cluster-1', context: 'größe' },
    { clientCertFile: '/etc/c.pem', clientKeyFile: '/etc/c.key' },
    { auth: { method: 'approle', roleId: 'plain-text' } },
    { auth: { method: 'approle', roleId: 'x', secretId: 'env:SECRET_ID', mount: 'a/b' } },
    { auth: { method: 'kubernetes', role: 'kms' } },
    { auth: { method: 'jwt', role: 'kms', jwt: 'file:/run/jwt' } },
    { auth: { method: 'userpass', username: 'me@example.com', password: 'file:/etc/p' } },
    { auth: { method: 'cert' }, clientCertFile: '/etc/c.pem', clientKeyFile: '/etc/c.key' },
  ])('%j', (change) => {
    expect(problemsOf(change)).toEqual([])
  })
})

describe('refused', () => {
  test.each([
    [{ keyName: 'a/b' }, 'keyName'],
    [{ keyName: '../sys' }, 'keyName'],
    [{ keyName: 'a..b' }, 'keyName'],
    [{ keyName: '..' }, 'keyName'],
    [{ keyName: 'a%2fb' }, 'keyName'],
    [{ keyName: 'a b' }, 'keyName'],
    [{ keyName: '' }, 'keyName'],
    [{ mount: '/transit' }, 'mount'],
    [{ mount: 'transit/' }, 'mount'],
    [{ mount: 'a//b' }, 'mount'],
    [{ mount: 'a/../b' }, 'mount'],
    [{ mount: './a' }, 'mount'],
    [{ mount: 'a/.' }, 'mount'],
    [{ namespace: 'a b' }, 'namespace'],
    [{ namespace: 'a\r\nX-Evil: 1' }, 'namespace'],
    [{ namespace: '' }, 'namespace'],
    [{ url: 'http://vault.example.com:8200' }, 'url'],
    [{ url: 'https://me:secret@vault' }, 'url'],
    [{ clientCertFile: '/etc/c.pem' }, 'clientKeyFile'],
    [{ clientKeyFile: '/etc/c.key' }, 'clientCertFile'],
    [{ auth: { method: 'cert' } }, 'clientCertFile'],
    [{ auth: { method: 'ldap' } }, 'auth.method'],
    [{ auth: {} }, 'auth.method'],
    [{ auth: undefined }, 'auth'],
    [{ auth: { method: 'token', token: 's.literal' } }, 'auth.token'],
    [{ auth: { method: 'approle', roleId: 'x', secretId: 'literal' } }, 'auth.secretId'],
    [{ auth: { method: 'jwt', role: 'x', jwt: 'a.b.c' } }, 'auth.jwt'],
    [{ auth: { method: 'jwt', role: 'x' } }, 'auth.jwt'],
    [{ auth: { method: 'userpass', username: 'a/b', password: 'env:P' } }, 'auth.username'],
    [{ auth: { method: 'userpass', username: '..', password: 'env:P' } }, 'auth.username'],
    [{ auth: { ...token, mount: 'token' } }, 'auth'],
    [{ keyname: 'kek' }, ''],
  ])('%j', (change, path) => {
    expect(problemsOf(change)).toEqual([path])
  })

  test('a namespace that cannot stand in a header', () => {
    expect(problemsOf({ namespace: 'größe' })).toEqual(['namespace'])
  })
})
