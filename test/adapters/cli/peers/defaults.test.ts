/** Without flags each plugin is where the other one was; what cannot stand together, or alone, is told. */
import { describe, expect, test } from 'vitest'
import { aws } from '../../../../src/adapters/cli/peers/aws.js'
import { okms } from '../../../../src/adapters/cli/peers/okms.js'
import { vault } from '../../../../src/adapters/cli/peers/vault.js'
import { at, said } from './said.js'

describe('defaults are those of the program', () => {
  test('aws-encryption-provider', () => {
    expect(said(aws, ['--key=k']).roots).toEqual([
      {
        primary: 'aws-1',
        keys: { 'aws-1': { backend: 'aws', keyId: 'k', decode: ['aws-encryption-provider'] } },
        server: { socket: '/var/run/kmsplugin/socket.sock', kmsV1: true },
        health: {
          address: '[::]:8080',
          path: '/healthz',
          livePath: '/livez',
          metricsOf: 'aws-encryption-provider',
        },
      },
    ])
  })

  test('vault-kubernetes-kms', () => {
    expect(said(vault, ['-vault-address=https://v', '-auth-method=jwt', '-jwt-role=r']).roots).toEqual([
      {
        primary: 'vault',
        keys: {
          vault: {
            ...{ backend: 'vault', url: 'https://v', mount: 'transit', keyName: 'kms' },
            decode: ['vault-kubernetes-kms'],
            auth: {
              ...{ method: 'jwt', role: 'r', mount: 'jwt' },
              jwt: 'file:/var/run/secrets/kubernetes.io/serviceaccount/token',
            },
          },
        },
        server: { socket: '/opt/kms/vaultkms.socket', kmsV1: true },
        health: {
          address: '[::]:8080',
          path: '/health',
          livePath: '/live',
          metricsOf: 'vault-kubernetes-kms',
        },
      },
    ])
  })

  test('okms-k8s-encryption-provider', () => {
    expect(said(okms, ['--protocol=kmip', '--serv-addr=h:1']).roots).toEqual([
      {
        primary: 'okms',
        keys: { okms: { backend: 'kmip', address: 'h:1', decode: ['okms-kmip'] } },
        server: { socket: '/var/run/okms_etcd_plugin.sock', kmsV1: false },
        health: { address: '' },
      },
    ])
  })
})

describe('what is missing or cannot stand together', () => {
  test.each([
    [aws, [], ['--key: is missing']],
    [aws, ['--key='], ['--key: is missing']],
    [aws, ['--key=a,b'], ['--key: 2 of them and 1 of --listen: each needs one of the other']],
    [aws, ['--key=a', '--listen=/a,/b'], ['--key: 1 of them and 2 of --listen: each needs one of the other']],
    [
      aws,
      ['--key=a,b', '--listen=/run/a,/run/../run/a'],
      ['--listen: names one socket twice: each key needs its own'],
    ],
    [aws, ['--key=a,', '--listen=/a,/b'], ['--key: is missing']],
    [
      aws,
      ['--key=a', '--encryption-context=a'],
      ['--encryption-context: must be name=value pairs with commas between them'],
    ],
    [
      aws,
      ['--key=a', '--encryption-context=__proto__=b'],
      ['--encryption-context: must not have the name __proto__, which cannot be kept here'],
    ],
    [aws, ['--key=a', '--qps-limit=many'], ['--qps-limit: must be a whole number']],
    [vault, [], ['-auth-method: is missing; one of token, approle, userpass, cert, jwt']],
    [
      vault,
      ['-auth-method=kubernetes'],
      ['-auth-method: must be one of token, approle, userpass, cert, jwt'],
    ],
    [vault, ['-auth-method=approle'], ['-approle-secret-id: is missing']],
    [
      vault,
      ['-auth-method=token', '-disable-v1', '-disable-v2'],
      ['-disable-v2: cannot stand beside -disable-v1: nothing would be served'],
    ],
    [okms, [], ['--protocol: is missing; one of kmip, rest']],
    [okms, ['--protocol=rest'], ['--serv-addr: is missing', '--okms-id: is missing']],
    [
      okms,
      ['--protocol=kmip', '--serv-addr=h', '--timeout=10'],
      ['--timeout: must be a duration of Go, such as 10s or 1m30s'],
    ],
  ])('$name %j', (peer, argv, problems) => {
    expect(said(peer, argv).problems).toEqual(problems)
  })

  test('a token source of SPIFFE is refused, with what to do instead', () => {
    const argv = ['-vault-address=https://v', '-auth-method=jwt', '-jwt-role=r', '-jwt-token-source=spiffe']
    expect(said(vault, argv).problems).toEqual([
      expect.stringMatching(/^-jwt-token-source: spiffe is refused: .*-jwt-token-path/),
    ])
  })
})

describe('several keys of aws-encryption-provider', () => {
  const argv = [
    '--key=a,b',
    '--listen=/run/1',
    '--listen=/run/2',
    '--region=r',
    '--encryption-context=x=1',
    '--encryption-context=x=2',
  ]

  test('are one document each, with names of their own and one health server', () => {
    const { roots } = said(aws, argv)
    expect(roots.map(({ primary }) => primary)).toEqual(['aws-1', 'aws-2'])
    expect(roots.map(({ keys }) => keys)).toEqual([
      {
        'aws-1': {
          backend: 'aws',
          keyId: 'a',
          region: 'r',
          encryptionContext: { x: '1' },
          decode: ['aws-encryption-provider'],
        },
      },
      {
        'aws-2': {
          backend: 'aws',
          keyId: 'b',
          region: 'r',
          encryptionContext: { x: '2' },
          decode: ['aws-encryption-provider'],
        },
      },
    ])
    expect(roots.map(({ server }) => server)).toEqual([
      { socket: '/run/1', kmsV1: true },
      { socket: '/run/2', kmsV1: true },
    ])
    expect(roots.map(({ health }) => (health as { address: string }).address)).toEqual(['[::]:8080', ''])
  })

  test('warn once of what is said for all of them', () => {
    const { notices } = said(aws, [...argv, '--qps-limit=1'])
    expect(notices.filter((text) => text.startsWith('--qps-limit'))).toHaveLength(1)
    expect(notices).toHaveLength(2)
  })

  test('a context more than there are keys is told', () => {
    expect(said(aws, [...argv, '--encryption-context=x=3']).notices).toContain(
      '--encryption-context: only the first 2 count: there are no more keys',
    )
  })

  test.each([
    ['"a=1,2",b=3', { a: '1,2', b: '3' }],
    ['[a=1]', { a: '1' }],
    ['a=', { a: '' }],
    ['"a=""q"""', { a: '"q"' }],
  ])('an encryption context %j is read as there', (text, context) => {
    expect(at(said(aws, ['--key=k', `--encryption-context=${text}`]), 'key.encryptionContext')).toEqual(
      context,
    )
  })
})

test('peer bug 2: no flag names the API whose health is looked at; every key is probed, whatever it says', () => {
  for (const version of ['v1', 'v2'])
    expect(said(aws, ['--key=k', `--health-kms-version=${version}`]).roots).toEqual(
      said(aws, ['--key=k']).roots,
    )
})

describe('times', () => {
  test.each([
    ['10s', '10000ms', '5000ms', /^VAULT_CLIENT_TIMEOUT: kube-apiserver waits 3 s unless/],
    [
      '120',
      '60000ms',
      '30000ms',
      /^VAULT_CLIENT_TIMEOUT: is out of bounds, so 60000 ms are used; kube-apiserver/,
    ],
    ['1ms', '10ms', '10ms', /^VAULT_CLIENT_TIMEOUT: is out of bounds, so 10 ms are used/],
    ['500ms', '500ms', '500ms', undefined],
    ['1.5s', '1500ms', '1000ms', undefined],
  ])('VAULT_CLIENT_TIMEOUT=%s', (text, total, call, notice) => {
    const argv = ['-auth-method=token', '-health-port=127.0.0.1:1']
    const answer = said(vault, argv, { VAULT_KMS_TOKEN: 't', VAULT_CLIENT_TIMEOUT: text })
    expect(at(answer, 'retry.totalTimeout')).toBe(total)
    expect(at(answer, 'retry.callTimeout')).toBe(call)
    expect(answer.notices).toEqual(notice === undefined ? [] : [expect.stringMatching(notice)])
  })

  test.each(['1ms', '0', '10s', '1h'])('--timeout=%s bounds no request, as there', (text) => {
    const argv = ['--protocol=kmip', '--serv-addr=h']
    const answer = said(okms, [...argv, `--timeout=${text}`])
    expect(answer.roots).toEqual(said(okms, argv).roots)
    expect(answer.notices).toEqual([expect.stringMatching(/^--timeout: has no effect: .*retry.totalTimeout/)])
  })

  test('more retries than there is time for are bounded, and told', () => {
    const answer = said(vault, ['-auth-method=token', '-token=t'], { VAULT_MAX_RETRIES: '50' })
    expect(at(answer, 'retry.maxRetries')).toBe(10)
    expect(answer.notices).toContainEqual(expect.stringMatching(/^VAULT_MAX_RETRIES: is more than 10/))
  })
})

describe('secrets on the command line', () => {
  test.each([
    ['token', ['-token=CANARY-secret'], 'VAULT_KMS_TOKEN'],
    ['approle', ['-approle-secret-id', 'CANARY-secret'], 'VAULT_KMS_APPROLE_SECRET_ID'],
    ['userpass', ['--userpass-password=CANARY-secret'], 'VAULT_KMS_USERPASS_PASSWORD'],
  ])('peer bug 14: a secret of %s becomes a reference and one warning', (method, argv, variable) => {
    const { env, roots, notices, problems } = said(vault, [`-auth-method=${method}`, ...argv])
    expect(env).toEqual({ [variable]: 'CANARY-secret' })
    expect(JSON.stringify(roots)).toContain(`env:${variable}`)
    expect(JSON.stringify({ roots, notices, problems })).not.toContain('CANARY')
    expect(notices.filter((text) => text.includes(variable))).toHaveLength(1)
  })

  test('one in the environment stays there, and nothing is told', () => {
    const { env, roots, notices } = said(vault, ['-auth-method=token'], { VAULT_KMS_TOKEN: 'CANARY' })
    expect(env).toEqual({})
    expect(JSON.stringify(roots)).toContain('env:VAULT_KMS_TOKEN')
    expect(notices.join()).not.toContain('TOKEN')
  })

  test('one for another auth method is not used, and told', () => {
    const { env, notices } = said(vault, ['-auth-method=token', '-approle-secret-id=CANARY'], {
      VAULT_KMS_TOKEN: 't',
    })
    expect(env).toEqual({})
    expect(notices).toContain('-approle-secret-id: has no effect with -auth-method token')
  })
})
