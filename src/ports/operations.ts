/** What the command line asks of the rest: each command is a driving adapter over one of these. */
import type { KeyId } from './key_id.js'

/** One line of `kmsplugin check`. */
export interface Finding {
  readonly level: 'ok' | 'warning' | 'error'
  /** What was looked at: `config`, `server.socket`, `keys.hsm`. */
  readonly subject: string
  /** What was found and, unless ok, what to do. One line, nothing secret. */
  readonly text: string
  /** What the text concludes from, where that is a list of attributes. */
  readonly evidence?: readonly EvidenceRow[]
}

/** One attribute, its value as a text, the value that it should have, and what follows: `ok`, `refused`, … */
export interface EvidenceRow {
  readonly name: string
  readonly value: string
  readonly wanted: string
  readonly verdict: string
}

/** Looks at everything that the plugin needs before it is started. Changes nothing. */
export interface Preflight {
  run(): Promise<readonly Finding[]>
}

/** Creates the KEK of a configured key. */
export interface KeyMaker {
  /**
   * @param key A name under `keys`.
   * @returns One line that says what was made, with its key id.
   * @throws {KmsError} `ERR_CONFIG_INVALID` when there is no such key or a KEK already exists.
   */
  make(key: string): Promise<string>
}

/** A running plugin as kube-apiserver sees it. */
export interface KmsClient {
  status(): Promise<RemoteStatus>
  /** Waits for pending calls and hangs up. */
  close(): void
}

export interface RemoteStatus {
  readonly version: string
  readonly healthz: string
  readonly keyId: string
}

/** Something that listens. */
export interface Endpoint {
  /** Safe to call again after it failed. */
  start(): Promise<void>
  /** Safe to call twice, and without a start before. */
  stop(): Promise<void>
}

/** The plugin as a process: what `serve` runs. */
export interface Plugin {
  /**
   * Resolves when the socket is published; the backend may still be out. Tries again after `server.restartDelay`
   * for as long as the failure may pass.
   *
   * @throws {KmsError} `ERR_SHUTTING_DOWN` when {@link stop} was called meanwhile.
   */
  start(): Promise<void>
  /** Drains and stops within `server.drainTimeout`. Safe to call twice. */
  stop(reason: string): Promise<void>
}

/** What the bytes of our own envelope say without any key. */
export interface EnvelopeFields {
  readonly formatVersion: number
  readonly cipher: string
  readonly keyId: KeyId
  readonly wrappedDekBytes: number
  readonly ciphertextBytes: number
  readonly totalBytes: number
}

/** Explains an envelope of ours; `undefined` for bytes that are none. */
export type DescribeEnvelope = (bytes: Uint8Array) => EnvelopeFields | undefined

/** One line of an explanation: `label` is stable and machine-readable, as in `provider name`. */
export interface ExplainedField {
  readonly label: string
  readonly value: string
}

/** What a raw etcd value is. */
export interface Explanation {
  /** One sentence. */
  readonly summary: string
  readonly fields: readonly ExplainedField[]
  /** Whether the bytes follow a grammar that we know, to their end. */
  readonly wellFormed: boolean
}

export interface ValueExplainer {
  /**
   * Explains a value as etcd holds it; never needs a key and never throws on odd bytes.
   *
   * @param keyNames Configured names by KEK part of the key id, to show beside it.
   */
  explain(value: Uint8Array, keyNames?: ReadonlyMap<string, string>): Explanation
}
