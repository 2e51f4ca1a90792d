/** Every flag and variable of every plugin that we stand in for: what works, what warns, what is refused. */
import { describe, expect, test } from 'vitest'
import { aws } from '../../../../src/adapters/cli/peers/aws.js'
import type { PeerFlag } from '../../../../src/adapters/cli/peers/flag.js'
import { peers } from '../../../../src/adapters/cli/peers/index.js'
import { okms } from '../../../../src/adapters/cli/peers/okms.js'
import type { Peer } from '../../../../src/adapters/cli/peers/peer.js'
import { vault } from '../../../../src/adapters/cli/peers/vault.js'
import { at, said, shown } from './said.js'

/** The least that each mode needs beside the flag that is tried, and what a value of each flag becomes. */
interface Sample {
  readonly peer: Peer
  readonly mode: string
  readonly base: Readonly<Record<string, string>>
  readonly flags: Readonly<
    Record<string, readonly [value: string, becomes?: Readonly<Record<string, unknown>>]>
  >
}

/** Which variable it is follows from how the secret was given. */
const A_REFERENCE: unknown = expect.stringMatching(/^env:/)

const kmsKey = 'arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'

const goFlags: Sample['flags'] = {
  SSL_CERT_FILE: ['/etc/ssl/ca.pem'],
  SSL_CERT_DIR: ['/etc/ssl/certs'],
}
const vaultFlags: Sample['flags'] = {
  ...goFlags,
  'vault-address': ['https://v:8200', { 'key.url': 'https://v:8200' }],
  'vault-namespace': ['team', { 'key.namespace': 'team' }],
  'vault-ca-cert': ['/ca.pem', { 'key.caFile': '/ca.pem' }],
  'transit-mount': ['t', { 'key.mount': 't' }],
  'transit-key': ['k', { 'key.keyName': 'k' }],
  'token-refresh-interval': ['30s'],
  'token-renewal': ['60'],
  socket: ['unix:///run/v/s.sock', { 'server.socket': '/run/v/s.sock' }],
  'force-socket-overwrite': ['true'],
  'health-port': ['9090', { 'health.address': '[::]:9090' }],
  'disable-v1': ['true', { 'server.kmsV1': false }],
  'disable-v2': ['true'],
  debug: ['true', { 'log.level': 'debug' }],
  VAULT_CLIENT_CERT: ['/c.pem', { 'key.clientCertFile': '/c.pem' }],
  VAULT_CLIENT_KEY: ['/k.pem', { 'key.clientKeyFile': '/k.pem' }],
  VAULT_CLIENT_TIMEOUT: ['2', { 'retry.totalTimeout': '2000ms', 'retry.callTimeout': '1000ms' }],
  VAULT_MAX_RETRIES: ['4', { 'retry.maxRetries': 4 }],
  VAULT_SKIP_VERIFY: ['true'],
  VAULT_CACERT_BYTES: ['-----BEGIN CERTIFICATE-----'],
  VAULT_CAPATH: ['/etc/ssl'],
  VAULT_TLS_SERVER_NAME: ['v'],
  VAULT_HEADERS: ['{}'],
  VAULT_SRV_LOOKUP: ['true'],
  VAULT_HTTP_PROXY: ['http://p'],
  VAULT_PROXY_ADDR: ['http://p'],
  VAULT_AGENT_ADDR: ['http://127.0.0.1:8200'],
  VAULT_RATE_LIMIT: ['10'],
  VAULT_DISABLE_REDIRECTS: ['true'],
  VAULT_WRAP_TTL: ['5m'],
  VAULT_MFA: ['x'],
}
const vaultBase = { 'vault-address': 'https://vault' }
const okmsFlags: Sample['flags'] = {
  ...goFlags,
  'encryption-key-label': ['a label', { 'key.keyLabel': 'a label' }],
  'client-cert': ['/c.pem', { 'key.clientCertFile': '/c.pem' }],
  'client-key': ['/k.pem', { 'key.clientKeyFile': '/k.pem' }],
  ca: ['/ca.pem', { 'key.caFile': '/ca.pem' }],
  sock: ['/run/o/s.sock', { 'server.socket': '/run/o/s.sock' }],
  timeout: ['1500ms'],
  debug: ['1', { 'log.level': 'debug' }],
}

const samples: readonly Sample[] = [
  {
    peer: aws,
    mode: '',
    base: { key: kmsKey },
    flags: {
      key: [kmsKey, { 'key.keyId': kmsKey }],
      listen: ['/run/a/s.sock', { 'server.socket': '/run/a/s.sock' }],
      region: ['us-west-2', { 'key.region': 'us-west-2' }],
      'kms-endpoint': ['https://kms', { 'key.endpoint': 'https://kms' }],
      'encryption-context': ['a=b,c=d=e', { 'key.encryptionContext': { a: 'b', c: 'd=e' } }],
      'source-arn': ['arn:aws:eks:r:1:c', { 'key.sourceArn': 'arn:aws:eks:r:1:c' }],
      'health-port': [':8083', { 'health.address': '[::]:8083' }],
      'healthz-path': ['/h', { 'health.path': '/h' }],
      'livez-path': ['/l', { 'health.livePath': '/l' }],
      'health-kms-version': ['v2'],
      'qps-limit': ['5'],
      'burst-limit': ['5'],
      'retry-token-capacity': ['5'],
      debug: ['true', { 'log.level': 'debug' }],
      AWS_CA_BUNDLE: ['/ca.pem', { 'key.caFile': '/ca.pem' }],
      ...goFlags,
    },
  },
  {
    peer: vault,
    mode: 'token',
    base: { ...vaultBase, 'auth-method': 'token', token: 'hvs.CANARY' },
    flags: {
      ...vaultFlags,
      'auth-method': ['token', { 'key.auth.method': 'token' }],
      token: ['hvs.OTHER', { 'key.auth.token': A_REFERENCE }],
    },
  },
  {
    peer: vault,
    mode: 'approle',
    base: { ...vaultBase, 'auth-method': 'AppRole', 'approle-role-id': 'r', 'approle-secret-id': 's' },
    flags: {
      'approle-role-id': ['role', { 'key.auth.roleId': 'role' }],
      'approle-secret-id': ['CANARY', { 'key.auth.secretId': A_REFERENCE }],
      'approle-mount': ['m', { 'key.auth.mount': 'm' }],
    },
  },
  {
    peer: vault,
    mode: 'userpass',
    base: { ...vaultBase, 'auth-method': 'userpass' },
    flags: {
      'userpass-username': ['u', { 'key.auth.username': 'u' }],
      'userpass-password': ['CANARY', { 'key.auth.password': A_REFERENCE }],
      'userpass-mount': ['m', { 'key.auth.mount': 'm' }],
    },
  },
  {
    peer: vault,
    mode: 'cert',
    base: { ...vaultBase, 'auth-method': 'cert' },
    flags: {
      'cert-role': ['r', { 'key.auth.role': 'r' }],
      'cert-pem': ['/both.pem', { 'key.clientCertFile': '/both.pem', 'key.clientKeyFile': '/both.pem' }],
      'cert-file': ['/c.pem', { 'key.clientCertFile': '/c.pem' }],
      'cert-key': ['/k.pem', { 'key.clientKeyFile': '/k.pem' }],
      'cert-mount': ['m', { 'key.auth.mount': 'm' }],
    },
  },
  {
    peer: vault,
    mode: 'jwt',
    base: { ...vaultBase, 'auth-method': 'jwt', 'jwt-role': 'r' },
    flags: {
      'jwt-role': ['role', { 'key.auth.role': 'role' }],
      'jwt-token-source': ['file', {}],
      'jwt-token-path': ['/jwt', { 'key.auth.jwt': 'file:/jwt' }],
      'jwt-mount': ['m', { 'key.auth.mount': 'm' }],
      'jwt-spiffe-endpoint': ['unix:///agent.sock'],
      'jwt-spiffe-audience': ['a'],
      'jwt-spiffe-id': ['spiffe://a/b'],
    },
  },
  {
    peer: okms,
    mode: 'kmip',
    base: { protocol: 'kmip', 'serv-addr': 'h:5696' },
    flags: {
      ...okmsFlags,
      protocol: ['kmip', { 'key.backend': 'kmip', 'key.decode': ['okms-kmip'] }],
      'serv-addr': ['k:5696', { 'key.address': 'k:5696', 'key.url': undefined }],
      'encryption-key-id': ['id', { 'key.keyId': 'id' }],
    },
  },
  {
    peer: okms,
    mode: 'rest',
    base: { protocol: 'rest', 'serv-addr': 'https://h', 'okms-id': 'd' },
    flags: {
      protocol: ['rest', { 'key.backend': 'okms', 'key.decode': ['okms-rest'] }],
      'serv-addr': ['https://k', { 'key.url': 'https://k', 'key.address': undefined }],
      'okms-id': ['domain', { 'key.okmsId': 'domain' }],
    },
  },
]

const argvOf = (flags: Readonly<Record<string, string>>) =>
  Object.entries(flags).map(([name, value]) => `--${name}=${value}`)

interface Case {
  readonly title: string
  readonly sample: Sample
  readonly row: PeerFlag
  readonly value: string
  readonly becomes: Readonly<Record<string, unknown>>
}

const cases: readonly Case[] = samples.flatMap((sample) =>
  Object.entries(sample.flags).map(([flag, [value, becomes = {}]]) => {
    const row = sample.peer.rows.find(({ name, env = [] }) => (name ?? env[0]) === flag)
    if (row === undefined) throw new Error(`${sample.peer.name} has no ${flag}`)
    return {
      title: `${sample.peer.name} ${sample.mode} ${shown(row, sample.peer)}`,
      sample,
      row,
      value,
      becomes,
    }
  }),
)

test('no row of any table is left out here', () => {
  for (const peer of peers) {
    const tried = cases.filter(({ sample }) => sample.peer === peer).map(({ row }) => row)
    expect(peer.rows.filter((row) => !tried.includes(row)).map((row) => shown(row, peer))).toEqual([])
  }
})

type Way = readonly [way: string, argv: readonly string[], env: Readonly<Record<string, string>>]

/** Every way to give the row this value: both dashes, `=` or not, and each variable. */
function waysOf({ sample: { base }, row: { name, env = [], kind }, value }: Case): readonly Way[] {
  const others = Object.fromEntries(Object.entries(base).filter(([flag]) => flag !== name))
  const argv = argvOf(others)
  const ofFlag = (...words: string[]): Way => [words.join(' '), [...argv, ...words], {}]
  const variables = env.map((variable): Way => [variable, argv, { [variable]: value }])
  if (name === undefined) return variables
  const apart = kind === 'switch' ? ofFlag(`-${name}`) : ofFlag(`-${name}`, value)
  return [ofFlag(`--${name}=${value}`), ofFlag(`-${name}=${value}`), apart, ...variables]
}

const worksCases = cases.filter(({ row }) => row.verdict === 'works')
test.each(worksCases)('$title works, however it is given', (one) => {
  for (const [way, argv, env] of waysOf(one)) {
    const answer = said(one.sample.peer, argv, env)
    expect(answer.problems, way).toEqual([])
    for (const [path, value] of Object.entries(one.becomes))
      expect(at(answer, path), `${way} ${path}`).toEqual(value)
  }
})

const idleCases = cases.filter(({ row }) => row.verdict === 'warned')
test.each(idleCases)('$title is accepted with exactly one warning, and changes nothing', (one) => {
  const { peer, base } = one.sample
  const without = said(peer, argvOf(base))
  for (const [way, argv, env] of waysOf(one)) {
    const answer = said(peer, argv, env)
    const more = answer.notices.filter((notice) => !without.notices.includes(notice))
    expect(more, way).toHaveLength(1)
    expect(more[0]).toContain('has no effect: ')
    expect({ ...answer, notices: [] }, way).toEqual({ ...without, notices: [] })
  }
})

const refusedCases = cases.filter(({ row }) => row.verdict === 'refused')
test.each(refusedCases)('$title is refused with the reason, and never shows its value', (one) => {
  for (const [, argv, env] of waysOf(one)) {
    const { problems } = said(one.sample.peer, argv, env)
    expect(problems).toHaveLength(1)
    expect(problems[0]).toContain(`${shown(one.row, one.sample.peer)}: is refused: `)
  }
})

const switches = cases.filter(({ row }) => row.kind === 'switch')
test.each(switches)('$title says nothing when it is off, in every spelling of Go', (one) => {
  const { peer, base } = one.sample
  const without = said(peer, argvOf(base))
  for (const off of ['false', 'False', 'FALSE', 'f', 'F', '0']) {
    const [, argv, env] = waysOf({ ...one, value: off })[0] ?? []
    expect(said(peer, argv ?? [], env)).toEqual(without)
  }
})

const withEnv = cases.filter(
  ({ row }) => row.name !== undefined && (row.env?.length ?? 0) > 0 && row.verdict === 'works',
)
describe('precedence', () => {
  test.each(withEnv)('$title: the command line wins over every variable', (one) => {
    const [, argv] = waysOf(one)[0] ?? []
    const env = Object.fromEntries(
      (one.row.env ?? []).map((name) => [name, one.row.kind === 'switch' ? 'false' : 'kmip']),
    )
    expect(said(one.sample.peer, argv ?? [], env).roots).toEqual(said(one.sample.peer, argv ?? []).roots)
  })

  test.each([
    [
      '-vault-address',
      { VAULT_KMS_VAULT_ADDR: 'https://a', VAULT_ADDR: 'https://b' },
      'key.url',
      'https://a',
    ],
    [
      '-token',
      { VAULT_KMS_TOKEN: 'a', VAULT_KMS_VAULT_TOKEN: 'b', VAULT_TOKEN: 'c' },
      'key.auth.token',
      'env:VAULT_KMS_TOKEN',
    ],
    [
      '-token',
      { VAULT_KMS_VAULT_TOKEN: 'b', VAULT_TOKEN: 'c' },
      'key.auth.token',
      'env:VAULT_KMS_VAULT_TOKEN',
    ],
    ['-token', { VAULT_KMS_TOKEN: '', VAULT_TOKEN: 'c' }, 'key.auth.token', 'env:VAULT_TOKEN'],
    ['-vault-ca-cert', { VAULT_KMS_VAULT_CACERT: '/a', VAULT_CACERT: '/b' }, 'key.caFile', '/a'],
  ])('of several variables of %s the first that is set counts', (_, env, path, value) => {
    const answer = said(vault, ['-auth-method=token'], {
      VAULT_KMS_VAULT_ADDR: 'https://v',
      ...env,
    })
    expect(at(answer, path)).toBe(value)
  })

  test('a flag with nothing behind its = is given, so the variable does not count', () => {
    const answer = said(vault, ['-auth-method=token', '-vault-namespace='], { VAULT_NAMESPACE: 'team' })
    expect(at(answer, 'key.namespace')).toBeUndefined()
  })

  test.each([
    ['token', ['-token=t', '-vault-namespace=admin/'], 'key.namespace', 'admin'],
    ['token', ['-token=t', '-vault-namespace=/team/a/'], 'key.namespace', 'team/a'],
    ['token', ['-token=t', '-transit-mount=/team//transit/'], 'key.mount', 'team/transit'],
    ['approle', ['-approle-secret-id=s', '-approle-mount=/my/app/'], 'key.auth.mount', 'my/app'],
    ['userpass', ['-userpass-password=p', '-userpass-mount=up/'], 'key.auth.mount', 'up'],
    ['cert', ['-cert-mount=c/'], 'key.auth.mount', 'c'],
    ['jwt', ['-jwt-mount=j/'], 'key.auth.mount', 'j'],
  ])('slashes as Vault prints them at the ends of a path: %s %j', (method, argv, path, value) => {
    expect(at(said(vault, [`-auth-method=${method}`, ...argv]), path)).toBe(value)
  })

  test.each([
    ['localhost:8083', '127.0.0.1:8083'],
    ['[::1]:8083', '[::1]:8083'],
    ['localhost.example:8083', 'localhost.example:8083'],
  ])('a health port at %s is one of %s, as Go takes IPv4 first', (text, address) => {
    expect(at(said(aws, [`--key=${kmsKey}`, `--health-port=${text}`]), 'health.address')).toBe(address)
  })

  test('a flag that is repeated counts as it was last given', () => {
    expect(at(said(okms, ['--protocol=rest', '--protocol=kmip', '--serv-addr=h']), 'key.backend')).toBe(
      'kmip',
    )
  })

  test('one file with certificate and key wins over two, and those over the variables of Vault', () => {
    const base = ['-auth-method=cert', '-vault-address=https://v']
    const env = { VAULT_CLIENT_CERT: '/env.pem', VAULT_CLIENT_KEY: '/env.key' }
    const all = said(vault, [...base, '-cert-file=/c', '-cert-key=/k', '-cert-pem=/both'], env)
    expect([at(all, 'key.clientCertFile'), at(all, 'key.clientKeyFile')]).toEqual(['/both', '/both'])
    const two = said(vault, [...base, '-cert-file=/c', '-cert-key=/k'], env)
    expect([at(two, 'key.clientCertFile'), at(two, 'key.clientKeyFile')]).toEqual(['/c', '/k'])
  })
})

test.each([
  '0f6a9b5e-6c1d-4b1e-8f0a-222222222222',
  '0f6a9b5e6c1d4b1e8f0a222222222222',
  'urn:uuid:0f6a9b5e-6c1d-4b1e-8f0a-222222222222',
  '{0f6a9b5e-6c1d-4b1e-8f0a-222222222222}',
])('okms by REST takes a key id as Go takes a UUID: %s', (id) => {
  const base = ['--protocol=rest', '--serv-addr=https://h', '--okms-id=d']
  expect(at(said(okms, [...base, `--encryption-key-id=${id}`]), 'key.keyId')).toBe(
    '0f6a9b5e-6c1d-4b1e-8f0a-222222222222',
  )
  const byKmip = said(okms, ['--protocol=kmip', '--serv-addr=h', `--encryption-key-id=${id}`])
  expect(at(byKmip, 'key.keyId')).toBe(id)
})
