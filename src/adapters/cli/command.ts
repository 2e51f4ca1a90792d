/** What is a command, and what does the command line need from the rest of the program? */
import type { Config, ConfigProblem, ConfigSource } from '../../ports/config.js'
import type { KeyMaker, KmsClient, Preflight, ValueExplainer } from '../../ports/operations.js'
import type { Arguments, FlagName } from './arguments.js'

/** The world outside, so that no command touches the process. Texts are written as they are, without a newline. */
export interface CliIo {
  /** Results. */
  stdout(text: string): void
  /** Diagnostics. */
  stderr(text: string): void
  readStdin(): Promise<Uint8Array>
  /** Rejects with the file system's own error. */
  readFile(path: string): Promise<Uint8Array>
  readonly env: Readonly<Record<string, string | undefined>>
  /** Whether stdin is a terminal, where nobody pipes a value into us. */
  readonly isTty: boolean
}

/** What a process is to serve until a signal. */
export interface Served {
  /** One plugin each, with keys of names that no other has; the health server of the first tells of all. */
  readonly configs: readonly [Config, ...Config[]]
  /** Where they come from: the path of a file, or a command. */
  readonly origin: string
  /** Logged at the start. */
  readonly notices: readonly ConfigProblem[]
  /** Variables that `env:` references find beside those of the process. */
  readonly env?: Readonly<Record<string, string>>
}

/** Makers of what the commands drive; each is called only by the command that needs it. */
export interface CliServices {
  readonly version: string
  configSource(): Promise<ConfigSource>
  preflight(config: Config): Promise<Preflight>
  keyMaker(config: Config): Promise<KeyMaker>
  /** @param socket Path of a running plugin's socket. */
  kmsClient(socket: string): Promise<KmsClient>
  explainer(): Promise<ValueExplainer>
  /** Configured names by KEK part of the key id; asks the backends. */
  keyNames(config: Config): Promise<ReadonlyMap<string, string>>
  /** Logs the notices and runs the plugins until a signal; resolves with the exit code. */
  serve(served: Served): Promise<number>
}

/** What one run of one command has at hand. */
export interface Invocation {
  readonly args: Arguments
  readonly io: CliIo
  readonly services: CliServices
  /** Set once a configuration that asks for it was loaded: unexpected errors then show their stack. */
  debug: boolean
}

export interface Command {
  readonly name: string
  /** What stands behind the name in the usage line. */
  readonly synopsis: string
  /** One line for the list of commands. */
  readonly summary: string
  /** What it does, what its exit codes mean; lines of at most 100 characters. */
  readonly description: string
  /** Lines to copy. */
  readonly examples: readonly string[]
  /** What it takes, each with its line of help. */
  readonly flags: readonly (readonly [FlagName, string])[]
  /** Most words it takes beside flags. */
  readonly maxWords: number
  /** For a command whose flags are not ours: what it reads and what help says of it, in place of {@link flags}. */
  readonly foreign?: {
    /** @throws {UsageError} As `parseArguments`. */
    parse(argv: readonly string[]): Arguments
    help(): string
  }
  /** @returns The exit code. Fails with a `KmsError` or a `UsageError`. */
  run(invocation: Invocation): Promise<number>
}
