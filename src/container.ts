/**
 * The composition root: the only file, with its parts.ts, that knows the core and the outside. No class knows inversify.
 *
 * A whole graph is built from one config, so that a second one can stand beside it.
 */
import { Container, type ServiceIdentifier } from 'inversify'
import { backends } from './adapters/backends/index.js'
import { labelled } from './adapters/backends/labelled_logger.js'
import { createConfigSource } from './adapters/config/config_source.js'
import { createValueExplainer } from './adapters/etcd/value_explainer.js'
import { describeForeign, formats } from './adapters/formats/index.js'
import { createKmsClient } from './adapters/grpc/client.js'
import { peerMetricsOf } from './adapters/observability/peer_metrics/index.js'
import type { PeerMetrics } from './adapters/observability/peer_metrics/peer.js'
import { type PinoLogger } from './adapters/observability/pino_logger.js'
import { type PrometheusMetrics } from './adapters/observability/prometheus_metrics.js'
import { createSystemClock } from './adapters/system/clock.js'
import { describeEnvelope } from './domain/envelope.js'
import { ForeignValues } from './domain/foreign_values.js'
import { Health } from './domain/health.js'
import { KeyRing } from './domain/key_ring.js'
import { OpeningDeks } from './domain/opening_deks.js'
import { createPlugin } from './domain/plugin.js'
import { createPluginGroup, jointHealth } from './domain/plugin_group.js'
import { Probe } from './domain/probe.js'
import { Publication } from './domain/publication.js'
import type { SealingDeks } from './domain/sealing_deks.js'
import { sharedMetrics } from './domain/shared_metrics.js'
import type { Clock } from './ports/clock.js'
import type { Config, ConfigSource } from './ports/config.js'
import type { Host } from './ports/host.js'
import type { HealthSource } from './ports/health.js'
import type { KmsService } from './ports/kms_service.js'
import type { Metrics } from './ports/metrics.js'
import type { Endpoint, KeyMaker, Plugin, Preflight, ValueExplainer } from './ports/operations.js'
import {
  makeForeign,
  makeHealth,
  makeHealthEndpoint,
  makeKeyMaker,
  makeKms,
  makeLogger,
  makeMetrics,
  makeOpening,
  makePreflight,
  makeProbe,
  makePublication,
  makeSealing,
  makeService,
  namesOf,
  openKeys,
  type Purpose,
} from './parts.js'

export { createKmsClient }

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
