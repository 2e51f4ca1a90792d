/** For each program that this one replaces: a KMS, and the arguments with which that program uses it. */
import { randomBytes } from 'node:crypto'
import { spawn } from 'node:child_process'
import { Process, Sandbox, freePort } from '../../support/plugin.js'
import { OkmsSubject } from '../../support/okms_subject.js'
import { laboratoryOf } from '../aws/laboratory.js'
import { LocalStack, pythonWithLocalStack } from '../aws/localstack.js'
import { kmipGoMissing, startKmipGo } from '../kmip/server.js'
import { missing as openBaoMissing, OpenBao } from '../openbao/server.js'
import { enableAppRole } from '../openbao/logins.js'
import { policyFor } from '../openbao/policy.js'
import { programOf, type PeerName } from './programs.js'

export interface Scene {
  readonly peer: PeerName
  /** Behind the name of the program; both take the same. */
  readonly words: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly apis: readonly ('v1' | 'v2')[]
  /** Where metrics are; `undefined`: the program has none. */
  readonly metrics: string | undefined
  /** What no output may show. */
  readonly secrets: readonly string[]
  close(): Promise<void>
}

export interface SceneMaker {
  readonly peer: PeerName
  /** Why it cannot be had here; `undefined`: it can. */
  readonly missing: string | undefined
  make(sandbox: Sandbox): Promise<Scene>
}

/** By what it shows. */
export const scenes: Readonly<Record<string, SceneMaker>> = {
  'aws-encryption-provider with a key of LocalStack': {
    peer: 'aws-encryption-provider',
    missing: whyNot(
      'aws-encryption-provider',
      pythonWithLocalStack() === undefined ? 'LocalStack is not installed' : undefined,
    ),
    make: async (sandbox) => awsScene(sandbox, []),
  },
  'aws-encryption-provider with an encryption context': {
    peer: 'aws-encryption-provider',
    missing: whyNot(
      'aws-encryption-provider',
      pythonWithLocalStack() === undefined ? 'LocalStack is not installed' : undefined,
    ),
    make: async (sandbox) => awsScene(sandbox, ['--encryption-context', 'cluster=prod,owner=team-a']),
  },
  'vault-kubernetes-kms with AppRole on OpenBao': {
    peer: 'vault-kubernetes-kms',
    missing: whyNot('vault-kubernetes-kms', openBaoMissing),
    make: vaultScene,
  },
  'okms-k8s-encryption-provider by KMIP on a server of ovh/kmip-go': {
    peer: 'okms-k8s-encryption-provider',
    missing: whyNot('okms-k8s-encryption-provider', kmipGoMissing),
    make: kmipScene,
  },
  'okms-k8s-encryption-provider by REST on the fake': {
    peer: 'okms-k8s-encryption-provider',
    missing: whyNot('okms-k8s-encryption-provider', undefined),
    make: restScene,
  },
}

function whyNot(peer: PeerName, server: string | undefined): string | undefined {
  if (server !== undefined) return server
  const found = programOf(peer)
  return 'missing' in found ? found.missing : undefined
}

/** The program itself. */
export function startPeer({ peer, words, env }: Scene): Process {
  const found = programOf(peer)
  if ('missing' in found) throw new Error(found.missing)
  return new Process(
    spawn(found.path, [...words], {
      env: { PATH: process.env['PATH'], ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  )
}

async function awsScene(sandbox: Sandbox, more: readonly string[]): Promise<Scene> {
  const server = await LocalStack.start(pythonWithLocalStack() ?? '')
  const laboratory = laboratoryOf(server)
  const arn = await laboratory.makeKey()
  const port = await freePort()
  const secret = randomBytes(20).toString('hex')
  return {
    peer: 'aws-encryption-provider',
    words: [
      `--key=${arn}`,
      `--region=${arn.split(':')[3] ?? ''}`,
      `--listen=${sandbox.socket}`,
      `--kms-endpoint=${server.url}`,
      `--health-port=127.0.0.1:${port}`,
      ...more,
    ],
    env: { AWS_ACCESS_KEY_ID: '111122223333', AWS_SECRET_ACCESS_KEY: secret },
    apis: ['v1', 'v2'],
    metrics: `http://127.0.0.1:${port}/metrics`,
    secrets: [secret],
    close: async () => {
      laboratory.kms.destroy()
      await server.close()
    },
  }
}

async function vaultScene(sandbox: Sandbox): Promise<Scene> {
  const server = await OpenBao.start()
  const { operator, api } = server
  await operator.enableTransit()
  await operator.makeKey('kms')
  await operator.writePolicy('kms', policyFor({ mount: 'transit', keyName: 'kms' }))
  const { roleId, secretId } = await enableAppRole(api, { policies: ['kms'] })
  const port = await freePort()
  return {
    peer: 'vault-kubernetes-kms',
    words: [
      `-socket=unix://${sandbox.socket}`,
      `-vault-address=${server.url}`,
      '-auth-method=approle',
      `-approle-role-id=${roleId}`,
      '-transit-key=kms',
      `-health-port=${port}`,
    ],
    env: { VAULT_KMS_APPROLE_SECRET_ID: secretId, VAULT_CACERT: server.caFile },
    apis: ['v1', 'v2'],
    metrics: `http://127.0.0.1:${port}/metrics`,
    secrets: [secretId],
    close: async () => server.close(),
  }
}

async function kmipScene(sandbox: Sandbox): Promise<Scene> {
  const server = await startKmipGo('-okms', '-versions', '1.4,1.2')
  const { address, caFile, clientCertFile, clientKeyFile } = server.settings
  const id = await server.admin.makeKey()
  return {
    peer: 'okms-k8s-encryption-provider',
    words: [
      '--protocol=kmip',
      `--serv-addr=${address}`,
      `--sock=${sandbox.socket}`,
      `--encryption-key-id=${id}`,
      `--client-cert=${clientCertFile}`,
      `--client-key=${clientKeyFile}`,
      `--ca=${caFile}`,
    ],
    env: {},
    apis: ['v2'],
    metrics: undefined,
    secrets: [],
    close: server.close,
  }
}

async function restScene(sandbox: Sandbox): Promise<Scene> {
  const subject = await OkmsSubject.start()
  const { caFile, clientCertFile, clientKeyFile } = subject.settings()
  return {
    peer: 'okms-k8s-encryption-provider',
    words: [
      '--protocol=rest',
      `--serv-addr=${subject.fake.server.url}`,
      `--okms-id=${subject.fake.okmsId}`,
      `--sock=${sandbox.socket}`,
      `--encryption-key-id=${subject.key.id}`,
      `--client-cert=${clientCertFile}`,
      `--client-key=${clientKeyFile}`,
      `--ca=${caFile ?? ''}`,
    ],
    env: {},
    apis: ['v2'],
    metrics: undefined,
    secrets: [],
    close: async () => subject.close(),
  }
}
