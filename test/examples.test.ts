/** The examples work as they stand: what they name exists, and agrees with the defaults of the program. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { runCli } from '../src/adapters/cli/index.js'
import type { CliServices, Served } from '../src/adapters/cli/index.js'
import { createConfig } from '../src/container.js'
import type { Config } from '../src/ports/config.js'

const pathOf = (name: string): string => fileURLToPath(new URL(`../examples/${name}`, import.meta.url))
const textOf = (name: string): string => readFileSync(pathOf(name), 'utf8')

async function exampleConfig(): Promise<Config> {
  const result = await createConfig().load(pathOf('kmsplugin-config.yaml'))
  expect(result.problems).toEqual([])
  if (!('config' in result)) throw new Error('unreachable: there are no problems')
  return result.config
}

/** The arguments as the program reads them, with the example config in the place of the installed one. */
async function served(args: readonly string[]): Promise<Config | undefined> {
  let config: Config | undefined
  const services = {
    version: '0',
    configSource: async () => Promise.resolve(createConfig()),
    serve: async ({ configs: [given] }: Served) => {
      config = given
      return Promise.resolve(0)
    },
  } as Partial<CliServices> as CliServices
  const io = {
    stdout: () => undefined,
    stderr: () => undefined,
    readStdin: async () => Promise.resolve(new Uint8Array()),
    readFile: async () => Promise.resolve(new Uint8Array()),
    env: {},
    isTty: false,
  }
  const installed = args.map((arg) => (arg.startsWith('/etc/') ? pathOf('kmsplugin-config.yaml') : arg))
  expect(await runCli(installed, io, services)).toBe(0)
  return config
}

test('kmsplugin-config.yaml is valid and seals with an HSM', async () => {
  const { keys, primary } = await exampleConfig()
  expect(keys[primary]?.backend).toBe('pkcs11')
})

describe.each(['v1', 'v2'])('encryption-configuration-%s.yaml', (version) => {
  const parsed = parse(textOf(`encryption-configuration-${version}.yaml`)) as {
    resources: { providers: Record<string, Record<string, string>>[] }[]
  }
  const kms = parsed.resources[0]?.providers[0]?.['kms']

  test('names the socket of the example config and the API version of its title', async () => {
    const { server } = await exampleConfig()
    expect(kms?.['endpoint']).toBe(`unix://${server.socket}`)
    expect(kms?.['apiVersion']).toBe(version)
  })

  test('gives the plugin more time than it takes', async () => {
    const { retry } = await exampleConfig()
    expect(Number.parseInt(kms?.['timeout'] ?? '', 10) * 1000).toBeGreaterThan(retry.totalTimeoutMs)
  })
})

describe('static-pod.yaml', () => {
  interface Mount {
    readonly name: string
    readonly mountPath: string
  }
  interface Probe {
    readonly httpGet: { readonly host: string; readonly port: number; readonly path: string }
  }
  interface Container {
    readonly args: string[]
    readonly volumeMounts: Mount[]
    readonly livenessProbe: Probe
    readonly readinessProbe: Probe
  }
  const { spec } = parse(textOf('static-pod.yaml')) as {
    spec: { containers: [Container]; volumes: Record<string, unknown>[]; hostNetwork: boolean }
  }
  const [container] = spec.containers

  test('starts the plugin with arguments that it takes', async () => {
    expect(await served(container.args)).toEqual(await exampleConfig())
  })

  test('uses nothing that a static pod cannot have: only folders of the node', () => {
    for (const volume of spec.volumes) expect(Object.keys(volume).sort()).toEqual(['hostPath', 'name'])
  })

  test('mounts the folders of socket and state and probes the health port of the example config', async () => {
    const { server, health } = await exampleConfig()
    const mounts = container.volumeMounts.map(({ mountPath }) => mountPath)
    expect(mounts.some((path) => server.socket === `${path}/kms.sock`)).toBe(true)
    expect(mounts).toContain(server.stateDir)
    for (const { httpGet } of [container.livenessProbe, container.readinessProbe]) {
      expect({ host: httpGet.host, port: httpGet.port }).toEqual(health.address)
    }
  })

  test('never restarts the plugin because of the backend', () => {
    expect(container.livenessProbe.httpGet.path).toBe('/livez')
  })
})

describe('kmsplugin.service', () => {
  const lines = textOf('kmsplugin.service').split('\n')
  const valueOf = (key: string): string | undefined =>
    lines.find((line) => line.startsWith(`${key}=`))?.slice(key.length + 1)

  test('starts the plugin with arguments that it takes', async () => {
    const args = valueOf('ExecStart')?.split(' ').slice(2) ?? []
    expect(await served(args)).toEqual(await exampleConfig())
  })

  test('keeps the folder of the socket over restarts, closed to others', async () => {
    const { server } = await exampleConfig()
    expect(server.socket).toBe(`/run/${valueOf('RuntimeDirectory') ?? ''}/kms.sock`)
    expect(valueOf('RuntimeDirectoryMode')).toBe('0700')
    expect(valueOf('RuntimeDirectoryPreserve')).toBe('yes')
  })

  test('makes the state folder of the example config, closed to others', async () => {
    const { server } = await exampleConfig()
    expect(server.stateDir).toBe(`/var/lib/${valueOf('StateDirectory') ?? ''}`)
    expect(valueOf('StateDirectoryMode')).toBe('0700')
  })

  test('waits longer for the end than the plugin drains', async () => {
    const { server } = await exampleConfig()
    expect(Number(valueOf('TimeoutStopSec')) * 1000).toBeGreaterThan(server.drainTimeoutMs)
  })
})
