import type { NativeCiphertext } from './foreign.js'
import type { KeyId } from './key_id.js'

/** Length of every DEK: 256 bits. */
export const DEK_BYTES = 32

/** Upper bound of a wrapped DEK: RSA-4096 gives 512 bytes, and a backend may add what it needs to find a version. */
export const WRAPPED_DEK_MAX_BYTES = 640

/** A DEK as encrypted by a KEK. Opaque to everyone but the wrapper that made it. Not secret. */
export interface WrappedDek {
  /** The KEK version that did the wrapping, as the backend reported it for this very call. */
  readonly keyId: KeyId
  /** 1 to {@link WRAPPED_DEK_MAX_BYTES} bytes. */
  readonly bytes: Uint8Array
}

/** What travels with every call that may leave the process. Hand it on as it is: a copy by `...` may lack the signal. */
export interface CallOptions {
  /** The moment on `Clock.nowMs` after which nobody wants the answer. */
  readonly deadlineMs: number
  /** Aborts when the caller goes away or the deadline passes. */
  readonly signal?: AbortSignal | undefined
  /** The request's UID from kube-apiserver, for log correlation only. */
  readonly uid?: string | undefined
}

/** Whether a wrapper's KEK made a key id; `unknown` until the wrapper has seen its KEK, or where only an unwrap tells. */
export type Recognition = 'yes' | 'no' | 'unknown'

/**
 * Holds a KEK, or the right to use one, and wraps DEKs with it.
 *
 * This is the one port that a KMS backend implements. The KEK never crosses it. A wrapper is usable from its
 * birth and connects on first use, so that the plugin listens before its backend is ready.
 *
 * Every call fails with a `KmsError`: `ERR_LOGIN_REFUSED`, `ERR_ACCESS_DENIED`, `ERR_KEY_*`,
 * `ERR_CREDENTIALS_EXPIRED`, `ERR_BACKEND_*`, `ERR_CONFIG_INVALID` or `ERR_DEADLINE_EXCEEDED`. Wrappers do not
 * retry: the core has one policy for all.
 */
export interface KeyWrapper {
  /** The backend's short name, as it stands in key ids: `pkcs11`, `local`. */
  readonly backend: string

  /** The KEK version that {@link wrap} would use now. Asks the backend each time. */
  currentKeyId(options: CallOptions): Promise<KeyId>

  /** Whether {@link unwrap} should be tried for this key id. Looks at names only; no I/O. */
  recognizes(keyId: KeyId): Recognition

  /**
   * Encrypts a DEK of {@link DEK_BYTES} bytes under the current KEK version.
   *
   * Does not keep `dek` or a view of it after the promise settles: the caller wipes it.
   */
  wrap(dek: Uint8Array, options: CallOptions): Promise<WrappedDek>

  /**
   * Decrypts a DEK with exactly the version that `wrapped.keyId` names, current or not. A wrapper that has not seen
   * its KEK yet looks at it first; `ERR_KEY_UNKNOWN` when the KEK is another, before the bytes go anywhere.
   *
   * Fails with `ERR_DECRYPTION_FAILED` when the bytes were altered or belong to another key, and with
   * `ERR_UNWRAP_AMBIGUOUS` when the backend's answer does not tell that from a fault of its own.
   *
   * @returns {@link DEK_BYTES} bytes that the caller owns and wipes.
   */
  unwrap(wrapped: WrappedDek, options: CallOptions): Promise<Uint8Array>

  /**
   * Decrypts, with the service's own operation, what another plugin had this KEK encrypt; or another key of the same
   * service, where `keyName` says so and the backend allows it. Absent where a backend has no such operation.
   *
   * Fails as {@link unwrap} does: bad data never looks like a fault of the backend.
   *
   * @returns Bytes of any length that the caller owns and wipes.
   */
  decryptNative?(ciphertext: NativeCiphertext, options: CallOptions): Promise<Uint8Array>

  /** Releases sessions, sockets and processes. Safe to call twice. Pending calls fail with `ERR_SHUTTING_DOWN`. */
  close(): Promise<void>
}
