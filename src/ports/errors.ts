/**
 * Every error that crosses the edge of the core: one class, one closed table of codes.
 *
 * Rule: the table is the only place that knows what a code means. Callers switch on the code, never on the
 * message. Messages say what, where and what to do for logs and the command line; they hold nothing secret and
 * never reach the wire (adapters/grpc/status.ts has one fixed text per code).
 */

/**
 * Whose move it is: `caller` sent it wrong, `data` is damaged or foreign, `operator` must act, `backend` may
 * recover alone, `plugin` has a bug.
 */
export type Fault = 'caller' | 'data' | 'operator' | 'backend' | 'plugin'

interface ErrorRow {
  readonly fault: Fault
  /** Whether the same call may succeed within the same request. Nothing else is ever retried. */
  readonly retryable: boolean
  /** What happened, for docs/errors.md. */
  readonly meaning: string
  /** What the operator does about it, for docs/errors.md. */
  readonly action: string
}

export const errorCodes = {
  ERR_INVALID_REQUEST: {
    fault: 'caller',
    retryable: false,
    meaning: 'A field of the request is missing, too long or not of its documented form.',
    action: 'Check that the caller is kube-apiserver and speaks KMS v2 or v1beta1.',
  },
  ERR_REQUEST_TOO_LARGE: {
    fault: 'caller',
    retryable: false,
    meaning:
      'The answer would break a limit of kube-apiserver: 1,024 bytes of ciphertext on v2, 65,535 on v1.',
    action: 'kube-apiserver sends 32 bytes; find out who else uses the socket.',
  },
  ERR_CANCELLED: {
    fault: 'caller',
    retryable: false,
    meaning: 'The caller went away before the answer was ready.',
    action: 'None, unless frequent: then the callers time out; look at backend latency.',
  },
  ERR_MALFORMED_ENVELOPE: {
    fault: 'data',
    retryable: false,
    meaning: 'The ciphertext is not an envelope that this version can read. No key was asked.',
    action: 'Run `kmsplugin inspect` on the stored value: it was cut, damaged, or made by another plugin.',
  },
  ERR_VALUE_FOREIGN: {
    fault: 'operator',
    retryable: false,
    meaning: 'Another plugin made this value, and no key of the configuration decodes its format.',
    action:
      'Add the format to `decode` of the key that the other plugin used (docs/migrate/). `kmsplugin inspect` names it.',
  },
  ERR_VALUE_UNAUTHENTICATED: {
    fault: 'operator',
    retryable: false,
    meaning: 'Nothing in this value of another plugin shows whether it was altered.',
    action:
      'Set `allowUnauthenticated: true` on the key that decodes it, for as long as such values are rewritten.',
  },
  ERR_KEY_ID_MISMATCH: {
    fault: 'data',
    retryable: false,
    meaning: 'The key id of the v2 request is not the one inside the envelope.',
    action: 'Run `kmsplugin inspect` on the stored value: parts of two values were mixed.',
  },
  ERR_DECRYPTION_FAILED: {
    fault: 'data',
    retryable: false,
    meaning: 'The envelope or its wrapped DEK failed authentication: it was altered.',
    action: 'Restore the value from a backup of etcd. Other values are not affected.',
  },
  ERR_KEY_UNKNOWN: {
    fault: 'operator',
    retryable: false,
    meaning: 'No configured key made this ciphertext.',
    action:
      'Add the old key under `keys` again (it need not be primary). If it is there, its identity was edited: on a token set CKA_ID back. `kmsplugin inspect --config` names the key id.',
  },
  ERR_KEY_NOT_FOUND: {
    fault: 'operator',
    retryable: false,
    meaning: 'The KEK is not on its token, in its file or in its cloud KMS.',
    action:
      'Check the key name in the config; run `kmsplugin check`. If it was deleted, restore it from backup.',
  },
  ERR_KEY_DISABLED: {
    fault: 'operator',
    retryable: false,
    meaning: 'The KEK exists and is disabled.',
    action: 'Enable it where it lives. Sealing has stopped; opening goes on until the DEK cache ends.',
  },
  ERR_KEY_PENDING_DELETION: {
    fault: 'operator',
    retryable: false,
    meaning: 'The KEK is scheduled for deletion.',
    action: 'Cancel the deletion at once: without the KEK every value under it is lost.',
  },
  ERR_KEY_UNUSABLE: {
    fault: 'operator',
    retryable: false,
    meaning: 'The KEK has the wrong type, size or usage flags, or several keys match its name.',
    action:
      'Run `kmsplugin check`: it prints what is wrong with the key. Make a good one with `kmsplugin keygen`.',
  },
  ERR_ACCESS_DENIED: {
    fault: 'operator',
    retryable: false,
    meaning: 'The backend knows us and refuses the operation.',
    action: 'Grant encrypt, decrypt and describe on the key to the identity of the plugin.',
  },
  ERR_LOGIN_REFUSED: {
    fault: 'operator',
    retryable: false,
    meaning: 'The backend rejected our credentials: PIN, token or API key.',
    action: 'Replace the credential file. A PIN is not tried twice, so nothing locks while you look.',
  },
  ERR_CONFIG_INVALID: {
    fault: 'operator',
    retryable: false,
    meaning: 'A setting does not work here: a missing file, loose permissions, a module that does not load.',
    action: 'The message names the setting. `kmsplugin check` lists all findings.',
  },
  ERR_CREDENTIALS_EXPIRED: {
    fault: 'backend',
    retryable: true,
    meaning: 'A session or token of ours ran out during the call.',
    action: 'None: it is renewed. If it stays, the renewal fails; look at the log line before it.',
  },
  ERR_BACKEND_UNAVAILABLE: {
    fault: 'backend',
    retryable: true,
    meaning: 'The backend answered that it cannot serve, or its process ended.',
    action: 'Look at the HSM or KMS. The plugin recovers alone within a second of its return.',
  },
  ERR_BACKEND_UNREACHABLE: {
    fault: 'backend',
    retryable: true,
    meaning: 'No connection to the backend: refused, reset, DNS or TLS.',
    action: 'Check network, DNS and certificates between this node and the backend.',
  },
  ERR_BACKEND_THROTTLED: {
    fault: 'backend',
    retryable: true,
    meaning: 'The backend limits our rate.',
    action: 'Raise the quota, or keep opened DEKs longer (`envelope.dekCacheTimeout`).',
  },
  ERR_BACKEND_RESPONSE: {
    fault: 'backend',
    retryable: true,
    meaning: 'The backend answered something that its own protocol forbids.',
    action: 'Look for a proxy in between, or a backend version that was not tested.',
  },
  ERR_UNWRAP_AMBIGUOUS: {
    fault: 'backend',
    retryable: false,
    meaning: 'An unwrap failed with a code that stands for both bad data and a bad device.',
    action: 'None: a known-good DEK is unwrapped to tell which, and the answer carries another code.',
  },
  ERR_WRAP_UNVERIFIED: {
    fault: 'backend',
    retryable: true,
    meaning: 'A freshly wrapped DEK did not unwrap to the same bytes. Nothing was sealed under it.',
    action: 'Treat the HSM or KMS as faulty if it stays; nothing that was stored is affected.',
  },
  ERR_DEADLINE_EXCEEDED: {
    fault: 'backend',
    retryable: true,
    meaning: 'The backend did not answer within `retry.callTimeout`, or the request within its deadline.',
    action: 'Look at the latency of the backend: `kmsplugin_backend_call_seconds`.',
  },
  ERR_QUEUE_FULL: {
    fault: 'backend',
    retryable: false,
    meaning: 'Too many calls already wait for this backend.',
    action: 'The backend is too slow for the load; look at its latency and at who calls.',
  },
  ERR_STARTING: {
    fault: 'backend',
    retryable: false,
    meaning: 'The primary key has not proved itself yet since the plugin started.',
    action: 'Wait a second; if it stays, the log says why the first probe fails.',
  },
  ERR_SHUTTING_DOWN: {
    fault: 'backend',
    retryable: false,
    meaning: 'The plugin is stopping.',
    action: 'None: kube-apiserver reconnects to the next instance.',
  },
  ERR_INTERNAL: {
    fault: 'plugin',
    retryable: false,
    meaning: 'A bug of the plugin.',
    action: 'Report it with the log line.',
  },
} as const satisfies Record<string, ErrorRow>

export type KmsErrorCode = keyof typeof errorCodes

/** The one error class of this program. */
export class KmsError extends Error {
  override readonly name = 'KmsError'
  readonly code: KmsErrorCode
  /** How long the backend wants to be left alone, from now on; `undefined` where it does not say. */
  readonly retryAfterMs: number | undefined

  /** @param message One line: what, where and, where it helps, what to do. Nothing secret. */
  constructor(
    code: KmsErrorCode,
    message: string,
    options?: { readonly cause?: unknown; readonly retryAfterMs?: number | undefined },
  ) {
    super(message, options)
    this.code = code
    this.retryAfterMs = options?.retryAfterMs
  }

  get fault(): Fault {
    return errorCodes[this.code].fault
  }

  get retryable(): boolean {
    return errorCodes[this.code].retryable
  }
}

/** Anything thrown, as a {@link KmsError}: what is none becomes `ERR_INTERNAL` with its cause kept. */
export function asKmsError(thrown: unknown): KmsError {
  if (thrown instanceof KmsError) return thrown
  const what = thrown instanceof Error ? thrown.message : 'a value that is no Error was thrown'
  return new KmsError('ERR_INTERNAL', what, { cause: thrown })
}
