/** Runs the command line in memory: what it printed, how it ended, and what it asked of its services. */
import { runCli, type CliIo, type CliServices } from '../../../src/adapters/cli/index.js'
import { createValueExplainer } from '../../../src/adapters/etcd/value_explainer.js'
import { describeEnvelope } from '../../../src/domain/envelope.js'
import type { Config, ConfigProblem, LogConfig } from '../../../src/ports/config.js'

export interface Ran {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
  /** Each call to a service, as in `serve /etc/x.yaml`. */
  readonly calls: readonly string[]
}

export interface World {
  readonly env?: CliIo['env']
  readonly isTty?: boolean
  readonly stdin?: Uint8Array
  readonly files?: Readonly<Record<string, Uint8Array>>
  /** The configuration is invalid for these reasons. */
  readonly problems?: readonly ConfigProblem[]
  /** The configuration is valid, and this is worth a word. */
  readonly notices?: readonly ConfigProblem[]
  readonly logLevel?: LogConfig['level']
  readonly services?: Partial<CliServices>
}

export const DEFAULT_CONFIG = '/etc/kmsplugin/kmsplugin-config.yaml'

export async function run(argv: readonly string[], world: World = {}): Promise<Ran> {
  const printed = { stdout: '', stderr: '' }
  const calls: string[] = []
  const io: CliIo = {
    stdout: (text) => void (printed.stdout += text),
    stderr: (text) => void (printed.stderr += text),
    readStdin: async () => world.stdin ?? Buffer.of(),
    readFile: async (path) => {
      const bytes = world.files?.[path]
      if (bytes === undefined)
        throw Object.assign(new Error(`no such file, open '${path}'`), { code: 'ENOENT' })
      return bytes
    },
    env: world.env ?? {},
    isTty: world.isTty ?? false,
  }
  const exitCode = await runCli(argv, io, { ...healthyServices(world, calls), ...world.services })
  return { exitCode, ...printed, calls }
}

export function someConfig(logLevel: LogConfig['level'] = 'info'): Config {
  return {
    server: {
      socket: '/run/from-config/kms.sock',
      socketMode: 0o600,
      socketGroup: '',
      kmsV1: false,
      drainTimeoutMs: 5000,
      restartDelayMs: 0,
      stateDir: undefined,
    },
    envelope: {
      cipher: 'A256GCM',
      dek: 'reused',
      dekMaxAgeMs: 3_600_000,
      dekMaxSeals: 2 ** 21,
      dekMaxBytes: 2 ** 32,
      dekCacheTimeoutMs: 3_600_000,
      dekCacheSize: 1000,
    },
    retry: { maxRetries: 2, callTimeoutMs: 1000, totalTimeoutMs: 2500, initialDelayMs: 50, maxDelayMs: 1000 },
    health: {
      address: undefined,
      path: '/healthz',
      livePath: '/livez',
      probeIntervalMs: 30_000,
      onBackendOutage: 'report',
      metricsOf: '',
    },
    log: { level: logLevel, allValues: false },
    primary: 'hsm',
    keys: { hsm: { backend: 'local', path: '/var/lib/kmsplugin/kek' } },
  }
}

function healthyServices(world: World, calls: string[]): CliServices {
  const call = (text: string): void => void calls.push(text)
  return {
    version: '1.2.3',
    configSource: async () => ({
      load: async (file) => {
        call(`load ${file}`)
        if (world.problems !== undefined) return { problems: world.problems }
        return { config: someConfig(world.logLevel), problems: [], notices: world.notices ?? [] }
      },
      read: async () => {
        call('read')
        if (world.problems !== undefined) return { problems: world.problems }
        return { config: someConfig(world.logLevel), problems: [], notices: world.notices ?? [] }
      },
      print: (config) => `primary: ${config.primary}\n`,
      schema: async () => ({ type: 'object' }),
    }),
    preflight: async () => ({ run: async () => [{ level: 'ok', subject: 'config', text: 'valid' }] }),
    keyMaker: async () => ({
      make: async (key) => {
        call(`make ${key}`)
        return `made ${key}`
      },
    }),
    kmsClient: async (socket) => {
      call(`connect ${socket}`)
      return {
        status: async () => ({ version: 'v2', healthz: 'ok', keyId: 'local:a.b' }),
        close: () => call('hang up'),
      }
    },
    explainer: async () => createValueExplainer(describeEnvelope),
    keyNames: async () => new Map(),
    serve: async ({ origin, notices }) => {
      call([`serve ${origin}`, ...notices.map(({ path }) => path)].join(' '))
      return 0
    },
  }
}
