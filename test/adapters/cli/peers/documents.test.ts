/** What the flags become is valid with every real backend, and the printed file is the config that would have run. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { peers } from '../../../../src/adapters/cli/peers/index.js'
import { peersReference } from '../../../../src/adapters/cli/peers/reference.js'
import type { Served } from '../../../../src/adapters/cli/index.js'
import { createConfig } from '../../../../src/container.js'
import { run, type Ran } from '../run.js'

const folder = mkdtempSync(join(tmpdir(), 'kmsplugin-peers-'))
afterAll(() => rmSync(folder, { recursive: true }))

const source = createConfig()

interface Trial extends Ran {
  readonly served: Served | undefined
}

async function runReally(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Trial> {
  let served: Served | undefined
  const serve = async (given: Served) => {
    served = given
    return Promise.resolve(0)
  }
  const ran = await run(argv, { env, services: { serve, configSource: async () => Promise.resolve(source) } })
  return { ...ran, served }
}

const awsKey = 'arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'
const otherKey = 'arn:aws:kms:us-west-2:111122223333:key/4321abcd-12ab-34cd-56ef-1234567890ba'
const okmsFiles = ['--client-cert', '/o/cert.pem', '--client-key', '/o/key.pem', '--ca', '/o/ca.pem']
const uuid = '70001308-5674-43fe-93dd-6270ecac0710'
const approle = ['-auth-method=approle', '-approle-role-id=XXXX', '-approle-secret-id=CANARY']
const cert = ['-auth-method=cert', '-cert-role=kms', '-cert-pem=/k.pem', '-vault-ca-cert=/ca.pem']
const spiffeless = ['--auth-method=jwt', '--jwt-role=kms', '--jwt-token-path=/jwt']
const userpass = ['-auth-method=userpass', '-userpass-username=u', '-userpass-password=CANARY']

/** The command lines of the documents of each plugin, with the kinds of variables that they name. */
type Line = readonly [title: string, argv: readonly string[], env?: Readonly<Record<string, string>>]

const lines: readonly Line[] = [
  [
    'aws',
    [
      'aws-encryption-provider',
      `--key=${awsKey}`,
      '--region=us-west-2',
      '--listen=/var/run/kmsplugin/socket.sock',
      '-health-port=:8083',
    ],
  ],
  [
    'aws with two keys',
    [
      'aws-encryption-provider',
      ...[`--key=${awsKey}`, '--listen=/var/run/kmsplugin/socket.sock', '--encryption-context=context=one'],
      ...[
        `--key=${otherKey}`,
        '--listen=/var/run/kmsplugin/socket2.sock',
        '--encryption-context=context=two',
      ],
      ...[
        '--region=us-west-2',
        '--health-port=:8083',
        '--debug',
        '--qps-limit=1',
        '--retry-token-capacity=9',
      ],
    ],
  ],
  [
    'vault by token',
    ['vault-kubernetes-kms', '-vault-address=https://v', '-auth-method=token', '-token=CANARY'],
  ],
  [
    'vault by variables',
    ['vault-kubernetes-kms'],
    {
      VAULT_KMS_VAULT_ADDR: 'https://v',
      VAULT_KMS_AUTH_METHOD: 'token',
      VAULT_KMS_TOKEN: 'CANARY',
      VAULT_CACERT: '/ca.pem',
      VAULT_CLIENT_TIMEOUT: '5s',
    },
  ],
  ['vault by AppRole', ['vault-kubernetes-kms', '-vault-address=https://v', ...approle]],
  ['vault by certificate', ['vault-kubernetes-kms', '-vault-address=https://v', ...cert]],
  ['vault by JWT', ['vault-kubernetes-kms', '--vault-address=https://v', ...spiffeless, '-disable-v1']],
  ['vault by password', ['vault-kubernetes-kms', '-vault-address=https://v', ...userpass]],
  [
    'okms by KMIP',
    [
      'okms-k8s-encryption-provider',
      '--protocol',
      'kmip',
      '--serv-addr',
      'kms.example:5696',
      '--encryption-key-id',
      uuid,
      ...okmsFiles,
    ],
  ],
  [
    'okms by REST',
    [
      'okms-k8s-encryption-provider',
      '--protocol',
      'rest',
      '--serv-addr',
      'https://kms.example',
      '--okms-id',
      uuid,
      '--encryption-key-label',
      'a label',
      '--timeout=5s',
      ...okmsFiles,
    ],
  ],
]

describe.each(lines.map(([title, argv, env = {}]): Required<Line> => [title, argv, env]))(
  '%s',
  (_, [command = '', ...flags], env) => {
    test('what --print-config prints loads to the same config that the command runs', async () => {
      const ran = await runReally([command, ...flags], env)
      expect(ran.stderr).toBe('')
      expect(ran.exitCode).toBe(0)
      const printed = await runReally([command, '--print-config', ...flags], env)
      expect(printed.exitCode).toBe(0)
      expect(printed.served).toBeUndefined()
      const documents = printed.stdout.split(/^---$/m)
      expect(documents).toHaveLength(ran.served?.configs.length ?? 0)
      expect(parseAllDocuments(printed.stdout)).toHaveLength(documents.length)
      const loaded = documents.map(async (text, index) => {
        const file = join(folder, `${index}.yaml`)
        writeFileSync(file, text)
        return source.load(file)
      })
      const expected = ran.served?.configs.map((config) => ({ config, problems: [], notices: [] }))
      expect(await Promise.all(loaded)).toEqual(expected)
    })

    test('it decodes what that plugin wrote, and no secret shows', async () => {
      const { served, stdout, stderr } = await runReally([command, ...flags], env)
      for (const { keys, primary } of served?.configs ?? []) expect(keys[primary]?.decode).toHaveLength(1)
      expect(served?.origin).toBe(command)
      const printed = await runReally([command, '--print-config', ...flags], env)
      const shown = [
        stdout,
        stderr,
        printed.stdout,
        printed.stderr,
        JSON.stringify(served?.configs),
        JSON.stringify(served?.notices),
      ]
      expect(shown.join('\n')).not.toContain('CANARY')
    })

    test('the warnings of the start are those of --print-config', async () => {
      const { served } = await runReally([command, ...flags], env)
      const { stderr } = await runReally([command, '--print-config', ...flags], env)
      const told = served?.notices.map(({ path, text }) => `${command}: warning: ${path}: ${text}\n`) ?? []
      expect(stderr).toBe(told.join(''))
    })
  },
)

describe('what the settings of a backend refuse names the flag', () => {
  test.each([
    [['aws-encryption-provider', '--key=nonsense'], '--key: must be a key id, a key ARN'],
    [['aws-encryption-provider', `--key=${awsKey}`, '--region=eu-west-1'], '--region: is not that of keyId'],
    [
      ['aws-encryption-provider', `--key=${awsKey}`, '--health-port=8080'],
      '--health-port: must be host:port',
    ],
    [
      ['aws-encryption-provider', `--key=${awsKey}`, '--listen=@abstract'],
      '--listen: must not be an abstract socket',
    ],
    [
      ['aws-encryption-provider', `--key=${awsKey}`, '--livez-path=/healthz'],
      '--livez-path: health.livePath must not be',
    ],
    [['vault-kubernetes-kms', '-auth-method=token', '-token=CANARY'], '-vault-address: is missing'],
    [['vault-kubernetes-kms', '-auth-method=token', '-vault-address=https://v'], '-token: is missing'],
    [
      ['vault-kubernetes-kms', '-auth-method=token', '-token=CANARY', '-vault-address=http://v'],
      '-vault-address: must begin with https://',
    ],
    [
      ['vault-kubernetes-kms', '-auth-method=cert', '-cert-file=/c', '-vault-address=https://v'],
      '-cert-pem: is missing',
    ],
    [
      [
        'okms-k8s-encryption-provider',
        '--protocol=kmip',
        '--serv-addr=h:x',
        '--encryption-key-id=i',
        ...okmsFiles,
      ],
      '--serv-addr: must be host:port',
    ],
    [
      ['okms-k8s-encryption-provider', '--protocol=kmip', '--serv-addr=h:1', ...okmsFiles],
      '--encryption-key-id: is missing',
    ],
    [
      [
        'okms-k8s-encryption-provider',
        '--protocol=kmip',
        '--serv-addr=h:1',
        '--encryption-key-id=i',
        '--encryption-key-label=l',
        ...okmsFiles,
      ],
      '--encryption-key-label: names the key a second time',
    ],
    [
      [
        'okms-k8s-encryption-provider',
        '--protocol=rest',
        '--serv-addr=https://h',
        '--okms-id=x',
        '--encryption-key-id=i',
        ...okmsFiles,
      ],
      '--okms-id: must be the UUID',
    ],
  ])('%j', async (argv, text) => {
    const { exitCode, stderr, stdout, served } = await runReally(argv)
    expect(stderr).toContain(`${argv[0] ?? ''}: ${text}`)
    expect(exitCode).toBe(78)
    expect(served).toBeUndefined()
    expect(stdout + stderr).not.toContain('CANARY')
  })
})

test('a secret of the command line is found under the name that the printed file refers to', async () => {
  const { served } = await runReally(['vault-kubernetes-kms', '-vault-address=https://v', ...approle])
  expect(served?.env).toEqual({ VAULT_KMS_APPROLE_SECRET_ID: 'CANARY' })
  const { stdout } = await runReally([
    'vault-kubernetes-kms',
    '--print-config',
    '-vault-address=https://v',
    ...approle,
  ])
  expect(stdout).toMatch(/^# .*VAULT_KMS_APPROLE_SECRET_ID/m)
  expect(stdout).toContain('secretId: env:VAULT_KMS_APPROLE_SECRET_ID')
})

test('docs/peers.md is what the tables say; `npm run docs` writes it', async () => {
  await expect(peersReference(peers)).toMatchFileSnapshot('../../../../docs/peers.md')
})

test('peer bug 19: health and metrics on all interfaces are never opened without a warning', async () => {
  for (const [, argv, env] of lines) {
    const { served } = await runReally(argv, env)
    const isOpen = served?.configs.some(({ health }) => health.address?.host === '::') ?? false
    expect(served?.notices.some(({ text }) => text.startsWith('listens on all interfaces'))).toBe(isOpen)
  }
})

test('npm run docs writes docs/peers.md too', () => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
  expect(scripts['docs']).toContain('test/adapters/cli/peers/documents.test.ts')
})
