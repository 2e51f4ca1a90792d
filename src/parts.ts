/**
 * How each part of a graph is made from what it needs: the one file beside container.ts that knows the core and the
 * outside, and it knows nothing of how they are put together. Only container.ts imports it.
 */
import { backends, isBackendName } from './adapters/backends/index.js'
import type { AnyBackend, BackendDeps } from './adapters/backends/backend.js'
import { checkStateDir } from './adapters/backends/state_dir.js'
import { describeForeign, formatOfName } from './adapters/formats/index.js'
import { GrpcServer } from './adapters/grpc/server.js'
import { checkSocket } from './adapters/grpc/socket_check.js'
import { HealthEndpoint } from './adapters/observability/health_endpoint.js'
import { createPinoLogger, type PinoLogger } from './adapters/observability/pino_logger.js'
import {
  createPrometheusMetrics,
  type PrometheusMetrics,
} from './adapters/observability/prometheus_metrics.js'
import { resolveGroup } from './adapters/system/group.js'
import { suitesByName } from './domain/cipher_suites.js'
import { DekMaker } from './domain/dek_maker.js'
import { EnvelopeKmsService } from './domain/envelope_kms_service.js'
import { ForeignValues } from './domain/foreign_values.js'
import { FreshDeks } from './domain/fresh_deks.js'
import { Health } from './domain/health.js'
import { KeyRing } from './domain/key_ring.js'
import { ringKey } from './domain/keys.js'
import { OpeningDeks } from './domain/opening_deks.js'
import { createPreflight, type Check } from './domain/preflight.js'
import { Probe } from './domain/probe.js'
import { Publication } from './domain/publication.js'
import { ReusedDeks } from './domain/reused_deks.js'
import type { SealingDeks } from './domain/sealing_deks.js'
import type { Clock } from './ports/clock.js'
import type { Config, KeyConfig } from './ports/config.js'
import { asKmsError, KmsError } from './ports/errors.js'
import type { Host } from './ports/host.js'
import { kekPart } from './ports/key_id.js'
import type { HealthSource } from './ports/health.js'
import type { KmsService } from './ports/kms_service.js'
import type { Logger } from './ports/logger.js'
import type { Metrics } from './ports/metrics.js'
import type { Endpoint, KeyMaker, Preflight } from './ports/operations.js'

/** A DEK is wrapped anew at least this often, so that the right to wrap is proved and not only the right to unwrap. */
const RENEW_AFTER_MS = 3_600_000

/** Opened in `check`, `keygen` and `inspect --config`, where nobody waits for 3 seconds. */
const COMMAND_TIMEOUT_MS = 15_000

/** Whether one command of the operator is to be served rather than kube-apiserver. */
export interface Purpose {
  readonly isCommand: boolean
}

export function makeLogger(config: Config, host: Host): PinoLogger {
  return createPinoLogger({ level: config.log.level, pretty: host.logIsTty, fd: host.logFd })
}

export function makeMetrics(configs: readonly Config[], host: Host, logger: PinoLogger): PrometheusMetrics {
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

export async function openKeys(
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

export function makePublication(config: Config, logger: PinoLogger, metrics: Metrics): Publication {
  return new Publication(config.primary, logger, metrics)
}

export function makeSealing(
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

export function makeOpening(config: Config, keys: KeyRing, clock: Clock, metrics: Metrics): OpeningDeks {
  const { dekCacheTimeoutMs: timeoutMs, dekCacheSize: maxEntries } = config.envelope
  return new OpeningDeks(keys, { timeoutMs, maxEntries }, clock, config.retry.totalTimeoutMs, metrics)
}

export function makeForeign(
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

export function makeHealth(config: Config, keys: KeyRing, publication: Publication, clock: Clock): Health {
  return new Health(keys, publication, config.health.onBackendOutage, clock)
}

export function makeProbe(
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

export function makeService(
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

export async function makeKms(
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

export function makeHealthEndpoint(
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

export function makePreflight(
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

export function makeKeyMaker(config: Config, host: Host, clock: Clock, logger: PinoLogger): KeyMaker {
  return {
    make: async (name) => {
      const { backend, section } = await backendOf(config, name)
      return backend.keygen(section, backendDeps(config, host, clock, logger, name, untold))
    },
  }
}

export async function namesOf(keys: KeyRing, clock: Clock): Promise<ReadonlyMap<string, string>> {
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
