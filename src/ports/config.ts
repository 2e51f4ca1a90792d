/** The validated configuration: every default filled in, every unit in the name. Secrets are references only. */
export interface Config {
  readonly server: ServerConfig
  readonly envelope: EnvelopeConfig
  readonly retry: RetryConfig
  readonly health: HealthConfig
  readonly log: LogConfig
  /** The name under {@link keys} that seals new values. */
  readonly primary: string
  readonly keys: Readonly<Record<string, KeyConfig>>
}

export interface ServerConfig {
  /** Absolute path of the socket. */
  readonly socket: string
  /** Permission bits of the socket, such as 0o600. */
  readonly socketMode: number
  /** Group name or number that owns the socket; empty for our own. */
  readonly socketGroup: string
  readonly kmsV1: boolean
  readonly drainTimeoutMs: number
  /** How long to wait after a start that failed before the next; 0: there is none. */
  readonly restartDelayMs: number
  /** Absolute path of the folder for what must outlast a restart; `undefined`: there is none. */
  readonly stateDir: string | undefined
}

export type CipherName = 'A256GCM' | 'A256CBC-HS512'

export interface EnvelopeConfig {
  readonly cipher: CipherName
  readonly dek: 'reused' | 'fresh'
  readonly dekMaxAgeMs: number
  readonly dekMaxSeals: number
  readonly dekMaxBytes: number
  /** 0: opened DEKs are not kept. */
  readonly dekCacheTimeoutMs: number
  readonly dekCacheSize: number
}

export interface RetryConfig {
  readonly maxRetries: number
  readonly callTimeoutMs: number
  readonly totalTimeoutMs: number
  readonly initialDelayMs: number
  readonly maxDelayMs: number
}

export interface HealthConfig {
  /** `undefined`: no health server. */
  readonly address: { readonly host: string; readonly port: number } | undefined
  /** Answers as `/readyz` does. */
  readonly path: string
  /** Answers as `/livez` does. */
  readonly livePath: string
  readonly probeIntervalMs: number
  readonly onBackendOutage: 'report' | 'error'
  /** Whose metrics are exported beside our own; empty for nobody's. */
  readonly metricsOf: MetricsOf
}

export type MetricsOf = 'aws-encryption-provider' | 'vault-kubernetes-kms' | ''

export interface LogConfig {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error'
  readonly allValues: boolean
}

/** One format of another plugin that a key decodes; all but `format` is that format's own. */
export interface DecodeConfig {
  readonly format: string
  readonly [option: string]: unknown
}

/** One entry under `keys`; what has no name here is its backend's own, checked by that backend's schema. */
export interface KeyConfig {
  readonly backend: string
  /** Formats of other plugins whose values this key opens. */
  readonly decode?: readonly DecodeConfig[]
  /** Whether values may be opened that nothing protects against alteration. */
  readonly allowUnauthenticated?: boolean
  readonly [setting: string]: unknown
}

/** One mistake in the file, or one thing that is right and worth a word. */
export interface ConfigProblem {
  /** Dotted path such as `server.socketMode`, empty for the file as a whole. */
  readonly path: string
  /** 1-based; `undefined` where it has no place (a missing key). */
  readonly line?: number
  /** What is wrong and what to do, one line, never a secret. */
  readonly text: string
}

export type ConfigResult =
  | {
      readonly config: Config
      readonly problems: readonly []
      /** What the file says and the plugin does otherwise, or not at all; for warnings. In the order of the file. */
      readonly notices: readonly ConfigProblem[]
    }
  | { readonly problems: readonly ConfigProblem[] }

/** Reads and explains the config file. */
export interface ConfigSource {
  /** Reads and validates; all problems at once, none thrown. */
  load(file: string): Promise<ConfigResult>
  /**
   * Validates what stands in no file: the values that one in our own layout would have.
   *
   * @param placeOf What a problem names in place of a path in the file, such as a flag; `undefined`: that path.
   */
  read(
    root: Readonly<Record<string, unknown>>,
    placeOf: (path: readonly string[]) => string | undefined,
  ): Promise<ConfigResult>
  /** The effective configuration as YAML with secrets masked: what {@link load} reads back to the same. */
  print(config: Config): string
  /** JSON Schema (draft 2020-12) of a file in our own layout. */
  schema(): Promise<object>
}
