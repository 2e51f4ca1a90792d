/** What a backend's folder exports from its index.ts; adapters/backends/index.ts lists them. */
import type * as z from 'zod'
import type { Clock } from '../../ports/clock.js'
import { KmsError } from '../../ports/errors.js'
import type { KeyWrapper } from '../../ports/key_wrapper.js'
import type { Logger } from '../../ports/logger.js'
import type { CredentialEvent, HttpRequestEvent } from '../../ports/metrics.js'
import type { Finding } from '../../ports/operations.js'

/** What a backend gets from the container beside its own settings. */
export interface BackendDeps {
  /** The configured name of the key, for logs. */
  readonly key: string
  /** It seals new values. The others only open old ones, and need not be able to wrap. */
  readonly isPrimary: boolean
  readonly clock: Clock
  readonly logger: Logger
  /** `retry.callTimeout`: how long one call to the backend may take. */
  readonly callTimeoutMs: number
  /** Environment variables, for what a vendor's library needs; a backend picks by name. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** `server.stateDir`: a folder for what must outlast a restart; `undefined`: there is none. */
  readonly stateDir: string | undefined
  /**
   * For one command of the operator, beside a plugin that may be running: spends nothing that is scarce, such as the
   * tries of a PIN.
   */
  readonly isCommand?: boolean
  /** Told when the process that holds the HSM was replaced. */
  readonly onRestart: () => void
  /**
   * Told of each of the tokens that hold the key, where there are several: `false` when the key is opened, then every
   * change.
   *
   * @param token Its place in the settings and its name; as few as the config file has.
   */
  readonly onTokenHealth: (token: string, isUp: boolean) => void
  /**
   * Told, where somebody counts, when the token with which the service lets us in was replaced or prolonged.
   *
   * @param lifetimeMs How long it holds from now; `undefined`: without end.
   */
  readonly onCredential?: (how: CredentialEvent, lifetimeMs: number | undefined) => void
  /** Told, where somebody counts, of each request to the service over HTTP; its path is one of few, and nothing in it is secret. */
  readonly onHttpRequest?: (request: HttpRequestEvent) => void
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

/** A backend whose settings were forgotten by the compiler: what the registration table holds. */
export interface AnyBackend {
  readonly settings: z.ZodType
  readonly warning: string | undefined
  /** @param section One entry under `keys`; it was validated by {@link settings} before. */
  open(section: unknown, deps: BackendDeps): KeyWrapper
  check(section: unknown, deps: BackendDeps): Promise<readonly Finding[]>
  keygen(section: unknown, deps: BackendDeps): Promise<string>
}

export function erased<Settings>(backend: Backend<Settings>): AnyBackend {
  const { settings } = backend
  return {
    settings,
    warning: backend.warning,
    open: (section, deps) => backend.open(settings.parse(section), deps),
    check: async (section, deps) => backend.check(settings.parse(section), deps),
    keygen: async (section, deps) => {
      if (backend.keygen === undefined)
        throw new KmsError('ERR_CONFIG_INVALID', 'this backend never creates keys')
      return backend.keygen(settings.parse(section), deps)
    },
  }
}
