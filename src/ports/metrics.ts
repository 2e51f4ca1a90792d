import type { KmsErrorCode } from './errors.js'

/** `OK`, or the code of the error. The closed table of codes bounds the label. */
export type Outcome = 'OK' | KmsErrorCode

export type ApiVersion = 'v1' | 'v2'

export type ApiOperation = 'encrypt' | 'decrypt' | 'status' | 'version'

/** A call on the port `KeyWrapper` that may leave the process. */
export type BackendOperation = 'wrap' | 'unwrap' | 'currentKeyId' | 'decryptNative'

export type CredentialEvent = 'login' | 'renewal'

/** What is said of a request that left the process: nothing that a request of kube-apiserver carries. */
export interface HttpRequestEvent {
  /** As it was sent: `GET`. */
  readonly method: string
  /** From a fixed list and the names in the config file, so that it may become a label: `/v1/transit/keys/kek`. */
  readonly path: string
  /** Of the answer; `undefined`: there was none. */
  readonly status: number | undefined
  readonly seconds: number
}

/**
 * What the core and the adapters report, named by event rather than by instrument: whoever exports it decides
 * on names, labels and buckets. `key` is the configured name of a key, so labels stay as few as the config file.
 */
export interface Metrics {
  /** One answered request of kube-apiserver. */
  requestFinished(api: ApiVersion, operation: ApiOperation, outcome: Outcome, seconds: number): void
  /** One call to a backend; each retry counts. */
  backendCallFinished(key: string, operation: BackendOperation, outcome: Outcome, seconds: number): void
  /** An envelope was opened with a DEK that was already unwrapped (`hit`) or that had to be (`miss`). */
  dekCacheLookup(result: 'hit' | 'miss'): void
  /** A value that another plugin sealed was asked for; `format` is one of those that the config lists. */
  foreignDecoded(format: string, outcome: Outcome): void
  /** How many unwrapped DEKs are held for opening. */
  dekCacheSize(count: number): void
  /** How many values the current sealing DEK has sealed. */
  dekSeals(count: number): void
  /** A new sealing DEK was wrapped, verified and published. */
  dekRenewed(key: string): void
  /** One background probe of a key. */
  probeFinished(key: string, outcome: Outcome): void
  /** The key id that Status reports from now on, in place of `former` where there was one. */
  keyIdPublished(keyId: string, former?: string): void
  /** The process that holds the HSM was replaced. */
  hsmChildRestarted(key: string): void
  /** One of several tokens that hold the key is asked from now on, or set aside; `token` is a name of the config. */
  tokenHealth(key: string, token: string, isUp: boolean): void
  /**
   * The token with which a KMS on the network lets us in is another (`login`) or holds longer (`renewal`).
   *
   * @param lifetimeSeconds How long it holds from now; `undefined`: without end.
   */
  credentialReplaced(key: string, how: CredentialEvent, lifetimeSeconds: number | undefined): void
  /** One request to a KMS over HTTP was answered, or could not be. */
  httpRequestFinished(key: string, request: HttpRequestEvent): void
}
