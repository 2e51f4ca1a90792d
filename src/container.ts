/**
 * The composition root: the only file that knows the core and the outside. No class knows inversify.
 *
 * A whole graph is built from one config, so that a second one can stand beside it.
 */
import { Container, type ServiceIdentifier } from 'inversify'
import { backends, isBackendName } from './adapters/backends/index.js'
import type { AnyBackend, BackendDeps } from './adapters/backends/backend.js'
import { labelled } from './adapters/backends/labelled_logger.js'
import { checkStateDir } from './adapters/backends/state_dir.js'
import { createConfigSource } from './adapters/config/config_source.js'
import { createValueExplainer } from './adapters/etcd/value_explainer.js'
import { describeForeign, formatOfName, formats } from './adapters/formats/index.js'
import { createKmsClient } from './adapters/grpc/client.js'
import { GrpcServer } from './adapters/grpc/server.js'
import { checkSocket } from './adapters/grpc/socket_check.js'
import { HealthEndpoint } from './adapters/observability/health_endpoint.js'
import { peerMetricsOf } from './adapters/observability/peer_metrics/index.js'
import type { PeerMetrics } from './adapters/observability/peer_metrics/peer.js'
import { createPinoLogger, type PinoLogger } from './adapters/observability/pino_logger.js'
import {
  createPrometheusMetrics,
  type PrometheusMetrics,
} from './adapters/observability/prometheus_metrics.js'
import { createSystemClock } from './adapters/system/clock.js'
import { resolveGroup } from './adapters/system/group.js'
import { suitesByName } from './domain/cipher_suites.js'
import { DekMaker } from './domain/dek_maker.js'
import { describeEnvelope } from './domain/envelope.js'
import { EnvelopeKmsService } from './domain/envelope_kms_service.js'
import { ForeignValues } from './domain/foreign_values.js'
import { FreshDeks } from './domain/fresh_deks.js'
import { Health } from './domain/health.js'
import { KeyRing } from './domain/key_ring.js'
import { ringKey } from './domain/keys.js'
import { OpeningDeks } from './domain/opening_deks.js'
import { createPlugin } from './domain/plugin.js'
import { createPluginGroup, jointHealth } from './domain/plugin_group.js'
import { createPreflight, type Check } from './domain/preflight.js'
import { Probe } from './domain/probe.js'
import { Publication } from './domain/publication.js'
import { ReusedDeks } from './domain/reused_deks.js'
import type { SealingDeks } from './domain/sealing_deks.js'
import { sharedMetrics } from './domain/shared_metrics.js'
import type { Clock } from './ports/clock.js'
import type { Config, ConfigSource, KeyConfig } from './ports/config.js'
import { asKmsError, KmsError } from './ports/errors.js'
import type { Host } from './ports/host.js'
import { kekPart } from './ports/key_id.js'
import type { HealthSource } from './ports/health.js'
import type { KmsService } from './ports/kms_service.js'
import type { Logger } from './ports/logger.js'
import type { Metrics } from './ports/metrics.js'
import type { Endpoint, KeyMaker, Plugin, Preflight, ValueExplainer } from './ports/operations.js'

export { createKmsClient }

/** A DEK is wrapped anew at least this often, so that the right to wrap is proved and not only the right to unwrap. */
const RENEW_AFTER_MS = 3_600_000

/** Opened in `check`, `keygen` and `inspect --config`, where nobody waits for 3 seconds. */
const COMMAND_TIMEOUT_MS = 15_000

function token<T>(name: string): ServiceIdentifier<T> {
  return Symbol(name)
}

const TOKEN = {
  config: token<Config>('config'),
  host: token<Host>('host'),
  purpose: token<Purpose>('purpose'),
  clock: token<Clock>('clock'),
  logger: token<PinoLogger>('logger'),
  /** What the parts report to; {@link TOKEN.registry} is what /metrics shows. */
  metrics: token<Metrics>('metrics'),
  registry: token<PrometheusMetrics>('registry'),
  keys: token<KeyRing>('keys'),
  publication: token<Publication>('publication'),
  sealing: token<SealingDeks>('sealing'),
  opening: token<OpeningDeks>('opening'),
  foreign: token<ForeignValues>('foreign'),
  health: token<Health>('health'),
  probe: token<Probe>('probe'),
  service: token<KmsService>('service'),
  kms: token<Endpoint>('kms'),
  healthEndpoint: token<Endpoint | undefined>('healthEndpoint'),
  plugin: token<Plugin>('plugin'),
  preflight: token<Preflight>('preflight'),
  keyMaker: token<KeyMaker>('keyMaker'),
}

/** Whether one command of the operator is to be served rather than kube-apiserver. */
interface Purpose {
  readonly isCommand: boolean
}

/** What a config gives; each part is built when it is first asked for. */
export interface Graph {
  readonly logger: PinoLogger
  plugin(): Promise<Plugin>
  health(): Promise<HealthSource>
  preflight(): Promise<Preflight>
  keyMaker(): Promise<KeyMaker>
  /** Configured names by KEK part of the key id, as far as the backends answer. */
  keyNames(): Promise<ReadonlyMap<string, string>>
}

/** What there is once in a process, however many configs it serves. */
interface ProcessParts {
  readonly logger: PinoLogger
  readonly registry: PrometheusMetrics
  readonly metrics: Metrics
}

/** What the config must know of each format. */
export const formatSchemas = Object.fromEntries(formats.map((format) => [format.name, format]))

export function createConfig(): ConfigSource {
  const schemas = Object.entries(backends).map(
    ([name, load]) => [name, async () => (await load()).settings] as const,
  )
  return createConfigSource(Object.fromEntries(schemas), formatSchemas)
}

export function createExplainer(): ValueExplainer {
  return createValueExplainer(describeEnvelope, describeForeign)
}

/**
 * What serves these configs in one process: a whole graph for each, of which none knows another; one log, one
 * registry of metrics, and the health server of the first, which reports the keys of all.
 */
export function buildServing(
  configs: readonly [Config, ...Config[]],
  host: Host,
): Pick<Graph, 'logger' | 'plugin'> {
  const [first, ...others] = configs
  if (others.length === 0) return buildGraph(first, host)
  const { logger, registry } = processParts(configs, host)
  const viewOf = sharedMetrics()
  const graphs = configs.map((config) => {
    const { socket } = config.server
    const metrics = viewOf(registry.withPeer(peerOf(config)))
    const parts = { registry, metrics, logger: { ...logger, ...labelled(logger, { socket }) } }
    const withoutHealth = { ...config, health: { ...config.health, address: undefined } }
    return buildGraph(withoutHealth, host, { isCommand: false }, parts)
  })
  return {
    logger,
    plugin: async () => {
      const plugins = await Promise.all(graphs.map(async (graph) => graph.plugin()))
      const health = jointHealth(await Promise.all(graphs.map(async (graph) => graph.health())))
      const endpoint = makeHealthEndpoint(first, health, createSystemClock(), registry, logger)
      return createPluginGroup(plugins, endpoint, logger)
    },
  }
}

function processParts(configs: readonly [Config, ...Config[]], host: Host): ProcessParts {
  const logger = makeLogger(configs[0], host)
  const registry = makeMetrics(configs, host, logger)
  return { logger, registry, metrics: registry.withPeer(peerOf(configs[0])) }
}

function peerOf({ health, keys, primary }: Config): PeerMetrics | undefined {
  return peerMetricsOf(health.metricsOf, keys[primary])
}

export function buildGraph(
  config: Config,
  host: Host,
  purpose: Purpose = { isCommand: false },
  parts: ProcessParts = processParts([config], host),
): Graph {
  const container = new Container({ defaultScope: 'Singleton' })
  const T = TOKEN
  container.bind(T.config).toConstantValue(config)
  container.bind(T.host).toConstantValue(host)
  container.bind(T.purpose).toConstantValue(purpose)
  container.bind(T.clock).toConstantValue(createSystemClock())
  container.bind(T.logger).toConstantValue(parts.logger)
  container.bind(T.metrics).toConstantValue(parts.metrics)
  container.bind(T.registry).toConstantValue(parts.registry)
  container
    .bind(T.keys)
    .toResolvedValue(openKeys, [T.config, T.host, T.purpose, T.clock, T.logger, T.metrics])
  container.bind(T.publication).toResolvedValue(makePublication, [T.config, T.logger, T.metrics])
  container
    .bind(T.sealing)
    .toResolvedValue(makeSealing, [T.config, T.keys, T.publication, T.clock, T.metrics])
  container.bind(T.opening).toResolvedValue(makeOpening, [T.config, T.keys, T.clock, T.metrics])
  container.bind(T.foreign).toResolvedValue(makeForeign, [T.config, T.keys, T.clock, T.logger, T.metrics])
  container.bind(T.health).toResolvedValue(makeHealth, [T.config, T.keys, T.publication, T.clock])
  container
    .bind(T.probe)
    .toResolvedValue(makeProbe, [
      T.config,
      T.keys,
      T.publication,
      T.sealing,
      T.health,
      T.clock,
      T.logger,
      T.metrics,
    ])
  container
    .bind(T.service)
    .toResolvedValue(makeService, [
      T.config,
      T.sealing,
      T.opening,
      T.foreign,
      T.publication,
      T.health,
      T.probe,
      T.clock,
    ])
  container.bind(T.kms).toResolvedValue(makeKms, [T.config, T.host, T.service, T.clock, T.logger, T.metrics])
  container
    .bind(T.healthEndpoint)
    .toResolvedValue(makeHealthEndpoint, [T.config, T.health, T.clock, T.registry, T.logger])
  container.bind(T.plugin).toResolvedValue(
    ({ server: { restartDelayMs } }, kms, health, probe, opening, foreign, keys, clock, logger) =>
      createPlugin({
        kms,
        health,
        probe,
        caches: [opening, foreign],
        keys,
        clock,
        logger,
        restartDelayMs,
      }),
    [T.config, T.kms, T.healthEndpoint, T.probe, T.opening, T.foreign, T.keys, T.clock, T.logger],
  )
  container.bind(T.preflight).toResolvedValue(makePreflight, [T.config, T.host, T.keys, T.clock, T.logger])
  container.bind(T.keyMaker).toResolvedValue(makeKeyMaker, [T.config, T.host, T.clock, T.logger])
  return {
    logger: container.get(T.logger),
    plugin: async () => container.getAsync(T.plugin),
    health: async () => container.getAsync(T.health),
    preflight: async () => container.getAsync(T.preflight),
    keyMaker: async () => container.getAsync(T.keyMaker),
    keyNames: async () => namesOf(await container.getAsync(T.keys), container.get(T.clock)),
  }
}

function makeLogger(config: Config, host: Host): PinoLogger {
  return createPinoLogger({ level: config.log.level, pretty: host.logIsTty, fd: host.logFd })
}

function makeMetrics(configs: readonly Config[], host: Host, logger: PinoLogger): PrometheusMetrics {
  const { version, nodeVersion: node } = host
  const keys = configs.flatMap((config) => Object.values(config.keys))
  const decoded = keys.flatMap(({ decode = [] }) => decode.map(({ format }) => format))
  return createPrometheusMetrics({
    version,
    node,
    droppedLogLines: () => logger.dropped(),
    foreignFormats: [...new Set(decoded)],
  })
}

async function openKeys(
  config: Config,
  host: Host,
  { isCommand }: Purpose,
  clock: Clock,
  logger: PinoLogger,
  metrics: Metrics,
): Promise<KeyRing> {
  const opened = Object.keys(config.keys).map(async (name) => {
    const { backend, section } = await backendOf(config, name)
    if (backend.warning !== undefined) logger.warn(backend.warning, { key: name })
    const told: BackendEvents = {
      onRestart: () => metrics.hsmChildRestarted(name),
      onTokenHealth: (token, isUp) => metrics.tokenHealth(name, token, isUp),
      onCredential: (how, lifetimeMs) =>
        metrics.credentialReplaced(name, how, lifetimeMs === undefined ? undefined : lifetimeMs / 1000),
      onHttpRequest: (request) => metrics.httpRequestFinished(name, request),
    }
    const deps = { ...backendDeps(config, host, clock, logger, name, told), isCommand }
    return ringKey(name, backend.open(section, deps), config.retry, clock, metrics)
  })
  const keys = await Promise.all(opened)
  const primary = keys.find(({ name }) => name === config.primary)
  if (primary === undefined)
    throw new KmsError('ERR_CONFIG_INVALID', `primary: there is no key ${config.primary}`)
  const decryptOnly = keys.filter((key) => key !== primary)
  return new KeyRing(primary, decryptOnly)
}

function makePublication(config: Config, logger: PinoLogger, metrics: Metrics): Publication {
  return new Publication(config.primary, logger, metrics)
}

function makeSealing(
  config: Config,
  keys: KeyRing,
  publication: Publication,
  clock: Clock,
  metrics: Metrics,
): SealingDeks {
  const { dek, dekMaxAgeMs: maxAgeMs, dekMaxSeals: maxSeals, dekMaxBytes: maxBytes } = config.envelope
  const maker = new DekMaker(keys, clock)
  if (dek === 'fresh') return new FreshDeks(maker, publication)
  const policy = { maxAgeMs, maxSeals, maxBytes }
  return new ReusedDeks(maker, publication, policy, clock, config.retry.totalTimeoutMs, metrics)
}

function makeOpening(config: Config, keys: KeyRing, clock: Clock, metrics: Metrics): OpeningDeks {
  const { dekCacheTimeoutMs: timeoutMs, dekCacheSize: maxEntries } = config.envelope
  return new OpeningDeks(keys, { timeoutMs, maxEntries }, clock, config.retry.totalTimeoutMs, metrics)
}

function makeForeign(
  config: Config,
  keys: KeyRing,
  clock: Clock,
  logger: Logger,
  metrics: Metrics,
): ForeignValues {
  const { dekCacheTimeoutMs: timeoutMs, dekCacheSize: maxEntries } = config.envelope
  const decoding = [keys.primary, ...keys.decryptOnly].map(({ name, wrapper }) => {
    const { decode = [], allowUnauthenticated = false } = config.keys[name] ?? {}
    const decoders = decode.map(({ format: formatName, ...options }) => {
      const format = formatOfName(formatName)
      if (format === undefined) {
        throw new KmsError('ERR_CONFIG_INVALID', `keys.${name}: there is no format ${formatName}`)
      }
      if (allowUnauthenticated && format.authenticated !== 'all') {
        const text =
          'this key opens values that nothing protects against alteration: have them rewritten, then remove the format'
        logger.warn(text, { key: name, format: formatName })
      }
      return format.decoder(options, { allowUnauthenticated })
    })
    return { name, wrapper, decoders }
  })
  return new ForeignValues(decoding, { timeoutMs, maxEntries }, clock, config.retry.totalTimeoutMs, metrics)
}

function makeHealth(config: Config, keys: KeyRing, publication: Publication, clock: Clock): Health {
  return new Health(keys, publication, config.health.onBackendOutage, clock)
}

function makeProbe(
  config: Config,
  keys: KeyRing,
  publication: Publication,
  sealing: SealingDeks,
  health: Health,
  clock: Clock,
  logger: PinoLogger,
  metrics: Metrics,
): Probe {
  // Well before a DEK dies of age: an outage at that moment would stop the sealing. So it is looked at often enough.
  const renewAfterMs = Math.min(RENEW_AFTER_MS, config.envelope.dekMaxAgeMs / 2)
  const policy = {
    intervalMs: Math.min(config.health.probeIntervalMs, renewAfterMs / 2),
    timeoutMs: config.retry.totalTimeoutMs,
    renewAfterMs,
  }
  return new Probe(keys, publication, sealing, health, policy, clock, logger, metrics)
}

function makeService(
  config: Config,
  sealing: SealingDeks,
  opening: OpeningDeks,
  foreign: ForeignValues,
  publication: Publication,
  health: Health,
  probe: Probe,
  clock: Clock,
): KmsService {
  return new EnvelopeKmsService({
    suite: suitesByName[config.envelope.cipher],
    sealing,
    opening,
    foreign,
    describeForeign,
    publication,
    health,
    clock,
    totalTimeoutMs: config.retry.totalTimeoutMs,
    onBackendFault: () => probe.hurry(),
  })
}

async function makeKms(
  config: Config,
  host: Host,
  service: KmsService,
  clock: Clock,
  logger: PinoLogger,
  metrics: Metrics,
): Promise<Endpoint> {
  const { socket, socketMode: mode, socketGroup, kmsV1, drainTimeoutMs } = config.server
  const { version, pid, uid } = host
  const permissions = { mode, gid: await resolveGroup(socketGroup) }
  return new GrpcServer(
    service,
    { socket, permissions, kmsV1, drainTimeoutMs, version, pid, uid },
    { clock, logger, metrics, logAll: config.log.allValues },
  )
}

function makeHealthEndpoint(
  config: Config,
  health: HealthSource,
  clock: Clock,
  registry: PrometheusMetrics,
  logger: PinoLogger,
): Endpoint | undefined {
  const { address, path, livePath } = config.health
  if (address === undefined) return undefined
  const { contentType } = registry
  const scrape = async () => registry.scrape()
  return new HealthEndpoint({ ...address, path, livePath, health, scrape, contentType, logger }, clock)
}

function makePreflight(
  config: Config,
  host: Host,
  keys: KeyRing,
  clock: Clock,
  logger: PinoLogger,
): Preflight {
  const names = Object.keys(config.keys)
  const { stateDir } = config.server
  const checks: Check[] = [
    {
      subject: 'config',
      run: async () => {
        const text = `valid; ${config.primary} seals, ${names.length - 1} more keys open old values`
        return Promise.resolve([{ level: 'ok', subject: 'config', text }])
      },
    },
    {
      subject: 'server.socket',
      run: async () =>
        checkSocket(config.server.socket, host.uid, await resolveGroup(config.server.socketGroup)),
    },
    ...(stateDir === undefined
      ? []
      : [{ subject: 'server.stateDir', run: async () => [await checkStateDir(stateDir)] }]),
    ...names.map((name) => ({
      subject: `keys.${name}`,
      run: async () => {
        const { backend, section } = await backendOf(config, name)
        const found = await backend.check(section, backendDeps(config, host, clock, logger, name, untold))
        if (backend.warning === undefined) return found
        return [...found, { level: 'warning' as const, subject: `keys.${name}`, text: backend.warning }]
      },
    })),
  ]
  return createPreflight(checks, keys, clock, COMMAND_TIMEOUT_MS)
}

function makeKeyMaker(config: Config, host: Host, clock: Clock, logger: PinoLogger): KeyMaker {
  return {
    make: async (name) => {
      const { backend, section } = await backendOf(config, name)
      return backend.keygen(section, backendDeps(config, host, clock, logger, name, untold))
    },
  }
}

async function namesOf(keys: KeyRing, clock: Clock): Promise<ReadonlyMap<string, string>> {
  const names = new Map<string, string>()
  try {
    for (const { name, wrapper } of [keys.primary, ...keys.decryptOnly]) {
      const options = { deadlineMs: clock.nowMs() + COMMAND_TIMEOUT_MS }
      const id = await wrapper.currentKeyId(options).catch(() => undefined)
      if (id !== undefined) names.set(kekPart(id), name)
    }
    return names
  } finally {
    await keys.close()
  }
}

async function backendOf(config: Config, name: string): Promise<{ backend: AnyBackend; section: unknown }> {
  const entry = config.keys[name]
  if (entry === undefined) {
    const known = Object.keys(config.keys).join(', ')
    throw new KmsError('ERR_CONFIG_INVALID', `there is no key ${name} under keys; there are: ${known}`)
  }
  const section = ownSettings(entry)
  if (!isBackendName(section.backend)) {
    throw new KmsError('ERR_CONFIG_INVALID', `keys.${name}: there is no backend ${section.backend}`)
  }
  try {
    return { backend: await backends[section.backend](), section }
  } catch (thrown) {
    throw new KmsError(
      'ERR_CONFIG_INVALID',
      `keys.${name}: the backend does not load: ${asKmsError(thrown).message}`,
    )
  }
}

/** Without what every key may have, whatever its backend. */
function ownSettings(entry: KeyConfig): KeyConfig {
  const { backend, ...settings } = entry
  const own = Object.entries(settings).filter(
    ([name]) => name !== 'decode' && name !== 'allowUnauthenticated',
  )
  return { backend, ...Object.fromEntries(own) }
}

type BackendEvents = Pick<BackendDeps, 'onRestart' | 'onTokenHealth' | 'onCredential' | 'onHttpRequest'>

/** For commands, which export no metrics. */
const untold: BackendEvents = { onRestart: () => undefined, onTokenHealth: () => undefined }

function backendDeps(
  config: Config,
  host: Host,
  clock: Clock,
  logger: PinoLogger,
  key: string,
  told: BackendEvents,
): BackendDeps {
  const { callTimeoutMs } = config.retry
  const isPrimary = key === config.primary
  const { stateDir } = config.server
  return { key, isPrimary, clock, logger, callTimeoutMs, env: host.env, stateDir, ...told }
}
