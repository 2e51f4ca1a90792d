/** The whole core, put together as the container does, over doubles of every outgoing port. */
import { suitesByName } from '../../src/domain/cipher_suites.js'
import { DekMaker } from '../../src/domain/dek_maker.js'
import { EnvelopeKmsService } from '../../src/domain/envelope_kms_service.js'
import type { DecodingKey } from '../../src/domain/foreign_candidates.js'
import { ForeignValues } from '../../src/domain/foreign_values.js'
import { FreshDeks } from '../../src/domain/fresh_deks.js'
import { Health } from '../../src/domain/health.js'
import { KeyRing, type RingKey } from '../../src/domain/key_ring.js'
import { ringKey } from '../../src/domain/keys.js'
import { OpeningDeks } from '../../src/domain/opening_deks.js'
import { Probe } from '../../src/domain/probe.js'
import { Publication } from '../../src/domain/publication.js'
import { ReusedDeks } from '../../src/domain/reused_deks.js'
import type { CipherName } from '../../src/ports/config.js'
import type { DescribeForeign, ForeignDecoder } from '../../src/ports/foreign.js'
import type { CallOptions } from '../../src/ports/key_wrapper.js'
import { FaultyKeyWrapper } from './faulty_key_wrapper.js'
import { ManualClock } from './manual_clock.js'
import { RecordingLogger } from './recording_logger.js'
import { RecordingMetrics } from './recording_metrics.js'

/** The defaults of the configuration; a DEK is renewed at half its age. */
const defaults = {
  cipher: 'A256GCM' as CipherName,
  dek: 'reused' as 'reused' | 'fresh',
  dekMaxAgeMs: 3_600_000,
  dekMaxSeals: 2 ** 21,
  dekMaxBytes: 2 ** 32,
  dekCacheTimeoutMs: 3_600_000,
  dekCacheSize: 1000,
  maxRetries: 2,
  callTimeoutMs: 1000,
  totalTimeoutMs: 2500,
  initialDelayMs: 50,
  maxDelayMs: 1000,
  probeIntervalMs: 30_000,
  renewAfterMs: 1_800_000,
  onBackendOutage: 'report' as 'report' | 'error',
}

export type CoreSettings = typeof defaults

export interface CoreParts {
  readonly clock?: ManualClock
  readonly primary?: FaultyKeyWrapper
  /** Under the names `old0`, `old1`, … */
  readonly decryptOnly?: readonly FaultyKeyWrapper[]
  /** What the primary decodes, then `old0`, `old1`, … */
  readonly decoders?: readonly (readonly ForeignDecoder[])[]
  readonly describeForeign?: DescribeForeign
}

function decodingKey({ name, wrapper }: RingKey, decoders: readonly ForeignDecoder[]): DecodingKey {
  return { name, wrapper, decoders }
}

export type Core = ReturnType<typeof buildCore>

export function buildCore(settings: Partial<CoreSettings> = {}, parts: CoreParts = {}) {
  const s: CoreSettings = { ...defaults, ...settings }
  const clock = parts.clock ?? new ManualClock()
  const primary = parts.primary ?? new FaultyKeyWrapper('kek', clock)
  const decryptOnly = parts.decryptOnly ?? []
  const logger = new RecordingLogger()
  const metrics = new RecordingMetrics()

  const keys = new KeyRing(
    ringKey('main', primary, s, clock, metrics),
    decryptOnly.map((wrapper, i) => ringKey(`old${i}`, wrapper, s, clock, metrics)),
  )

  const publication = new Publication('main', logger, metrics)
  const maker = new DekMaker(keys, clock)
  const reuse = { maxAgeMs: s.dekMaxAgeMs, maxSeals: s.dekMaxSeals, maxBytes: s.dekMaxBytes }
  const sealing =
    s.dek === 'reused'
      ? new ReusedDeks(maker, publication, reuse, clock, s.totalTimeoutMs, metrics)
      : new FreshDeks(maker, publication)
  const cache = { timeoutMs: s.dekCacheTimeoutMs, maxEntries: s.dekCacheSize }
  const opening = new OpeningDeks(keys, cache, clock, s.totalTimeoutMs, metrics)
  const decoders = (parts.decoders ?? []).map((all, i) =>
    decodingKey([keys.primary, ...keys.decryptOnly][i]!, all),
  )
  const foreign = new ForeignValues(decoders, cache, clock, s.totalTimeoutMs, metrics)
  const health = new Health(keys, publication, s.onBackendOutage, clock)
  const probePolicy = {
    intervalMs: s.probeIntervalMs,
    timeoutMs: s.totalTimeoutMs,
    renewAfterMs: s.renewAfterMs,
  }
  const probe = new Probe(keys, publication, sealing, health, probePolicy, clock, logger, metrics)
  const service = new EnvelopeKmsService({
    suite: suitesByName[s.cipher],
    sealing,
    opening,
    foreign,
    describeForeign: parts.describeForeign ?? (() => undefined),
    publication,
    health,
    clock,
    totalTimeoutMs: s.totalTimeoutMs,
    onBackendFault: () => probe.hurry(),
  })

  return {
    settings: s,
    clock,
    primary,
    decryptOnly,
    keys,
    publication,
    maker,
    sealing,
    opening,
    foreign,
    health,
    probe,
    service,
    logger,
    metrics,

    /** Options of a request that kube-apiserver gives `ms`. */
    within: (ms = 3000): CallOptions => ({ deadlineMs: clock.nowMs() + ms }),

    /** Seals as the v2 API does. */
    encrypt: async (plaintext: Uint8Array, maxBytes = 1024) =>
      service.encrypt(plaintext, maxBytes, { deadlineMs: clock.nowMs() + 3000 }),

    /** Opens as the v1 API does, which sends no key id. */
    decrypt: async (ciphertext: Uint8Array, keyId?: string) =>
      service.decrypt(keyId === undefined ? { ciphertext } : { ciphertext, keyId }, {
        deadlineMs: clock.nowMs() + 3000,
      }),
  }
}

/** A core whose first probe has proved its primary. */
export async function buildProvedCore(settings: Partial<CoreSettings> = {}, parts: CoreParts = {}) {
  const core = buildCore(settings, parts)
  await core.probe.once()
  core.health.assertMaySeal()
  return core
}
