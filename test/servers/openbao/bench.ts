/** OpenBao with a key and a policy, and the backend under test on it: what the tests of the backend begin with. */
import { backendDeps } from '../../support/backend_deps.js'
import { randomBytes } from 'node:crypto'
import { backends } from '../../../src/adapters/backends/index.js'
import type { AnyBackend, BackendDeps } from '../../../src/adapters/backends/backend.js'
import { createSystemClock } from '../../../src/adapters/system/clock.js'
import { ringKey } from '../../../src/domain/keys.js'
import { asKmsError, KmsError } from '../../../src/ports/errors.js'
import {
  DEK_BYTES,
  type CallOptions,
  type KeyWrapper,
  type WrappedDek,
} from '../../../src/ports/key_wrapper.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'
import { RecordingMetrics } from '../../doubles/recording_metrics.js'
import type { Json } from './api.js'
import { policyFor } from './policy.js'
import { OpenBao } from './server.js'
import type { Storage } from './server_parts.js'

export const clock = createSystemClock()

/** As in the README, but for the number of tries, with which a test can see a single failure. */
const CALL_TIMEOUT_MS = 5000
const GUARD_MS = 20_000

export function options(): CallOptions {
  return { deadlineMs: clock.nowMs() + GUARD_MS, signal: AbortSignal.timeout(GUARD_MS) }
}

/** The entry under `keys`, but for what the bench fills in. */
export type Section = Json & { readonly auth: Json }

/** A wrapper of the backend, as the core calls it and bare. */
export interface Opened {
  /** Tries once. */
  readonly bare: KeyWrapper
  /** As the core has it: tries again where the error says that it may. */
  readonly core: KeyWrapper
  readonly logger: RecordingLogger
}

/** One server; keys and tokens are made as a test wants them. */
export class Bench {
  readonly server: OpenBao
  readonly #backend: AnyBackend
  readonly #opened: KeyWrapper[] = []

  private constructor(server: OpenBao, backend: AnyBackend) {
    this.server = server
    this.#backend = backend
  }

  /** With Transit at `transit` and the policy of the documentation for the key `kek`, under the name `kms`. */
  static async start(storage: Storage = 'memory'): Promise<Bench> {
    const bench = await Bench.startEmpty(storage)
    await bench.server.operator.enableTransit()
    await bench.server.operator.writePolicy('kms', policyFor({ mount: 'transit', keyName: 'kek' }))
    return bench
  }

  /** Without Transit and policy. */
  static async startEmpty(storage: Storage = 'memory'): Promise<Bench> {
    return new Bench(await OpenBao.start(storage), await backends.vault())
  }

  /** A file for `file:` references. */
  secret(value: string, name = randomBytes(8).toString('hex')): string {
    return `file:${this.server.files.write(name, `${value}\n`)}`
  }

  /** The auth section of a token with the policy `kms` that outlives the test. */
  async token(policies: readonly string[] = ['kms']): Promise<Json> {
    const token = await this.server.operator.makeToken({ policies, period: '1h', no_parent: true })
    return { method: 'token', token: this.secret(token) }
  }

  #section(section: Section): object {
    const { url, caFile } = this.server
    return this.#backend.settings.parse({
      backend: 'vault',
      url,
      caFile,
      keyName: 'kek',
      ...section,
    }) as object
  }

  #deps(logger: RecordingLogger): BackendDeps {
    return backendDeps({ clock, logger, callTimeoutMs: CALL_TIMEOUT_MS })
  }

  /** Closed with the bench. */
  open(section: Section): Opened {
    const logger = new RecordingLogger()
    const bare = this.#backend.open(this.#section(section), this.#deps(logger))
    this.#opened.push(bare)
    const policy = {
      maxRetries: 2,
      callTimeoutMs: CALL_TIMEOUT_MS,
      totalTimeoutMs: GUARD_MS,
      initialDelayMs: 20,
      maxDelayMs: 100,
    }
    const core = ringKey('kek', bare, policy, clock, new RecordingMetrics()).wrapper
    return { bare, core, logger }
  }

  /** What `kmsplugin check` says, as `level: text`. */
  async check(section: Section): Promise<readonly string[]> {
    const found = await this.#backend.check(this.#section(section), this.#deps(new RecordingLogger()))
    return found.map(({ level, subject, text }) => `${level} ${subject}: ${text}`)
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#opened.map(async (wrapper) => wrapper.close()))
    await this.server.close()
  }
}

/** One DEK there and back; answers it wrapped. */
export async function roundTrip(wrapper: KeyWrapper): Promise<WrappedDek> {
  const dek = randomBytes(DEK_BYTES)
  const wrapped = await wrapper.wrap(dek, options())
  const back = Buffer.from(await wrapper.unwrap(wrapped, options()))
  if (!back.equals(dek)) throw new Error('another DEK came back')
  return wrapped
}

/** The error that a call ends with. */
export async function failureOf(call: Promise<unknown>): Promise<KmsError> {
  try {
    await call
  } catch (thrown) {
    return asKmsError(thrown)
  }
  throw new Error('it did not fail')
}
