/** What a backend's folder exports from its index.ts; adapters/backends/index.ts lists them. */
import type { z } from 'zod'
import type { Clock } from '../../ports/clock.js'
import type { KeyWrapper } from '../../ports/key_wrapper.js'
import type { Logger } from '../../ports/logger.js'
import type { Finding } from '../../ports/operations.js'

/** What a backend gets from the container beside its own settings. */
export interface BackendDeps {
  /** The configured name of the key, for logs. */
  readonly key: string
  readonly clock: Clock
  readonly logger: Logger
  /** `retry.callTimeout`: how long one call to the backend may take. */
  readonly callTimeoutMs: number
  /** Environment variables, for what a vendor's library needs; a backend picks by name. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Told when the process that holds the HSM was replaced. */
  readonly onRestart: () => void
}

export interface Backend<Settings> {
  /** The backend's own settings, strict; each with `.describe()`, shown in docs/configuration.md. */
  readonly settings: z.ZodType<Settings>
  /** What an operator must know before relying on this backend; logged at start and shown by `check`. */
  readonly warning?: string
  /** Makes the wrapper; no I/O happens before its first call. */
  open(settings: Settings, deps: BackendDeps): KeyWrapper
  /**
   * Looks at files, permissions and the KEK's attributes without changing anything. The round trip through the
   * KEK is the caller's.
   */
  check(settings: Settings, deps: BackendDeps): Promise<readonly Finding[]>
  /**
   * Creates the KEK; refuses where one exists. Absent where a backend never creates keys.
   *
   * @returns One line that says what was made.
   */
  keygen?(settings: Settings, deps: BackendDeps): Promise<string>
}
