/** What each error is on the wire: a gRPC status and one fixed ASCII text, so that no detail leaks through it. */
import { status as grpcStatus } from '@grpc/grpc-js'
import type { KmsErrorCode } from '../../ports/errors.js'

interface WireError {
  readonly status: grpcStatus
  readonly text: string
}

// One text for all that is wrong with a ciphertext: the answer is no oracle.
const rejected: WireError = { status: grpcStatus.INVALID_ARGUMENT, text: 'ciphertext rejected' }

/** Shown by kube-apiserver in its health output and its errors. */
export const wireErrors = {
  ERR_INVALID_REQUEST: { status: grpcStatus.INVALID_ARGUMENT, text: 'invalid request' },
  ERR_REQUEST_TOO_LARGE: { status: grpcStatus.INVALID_ARGUMENT, text: 'request too large' },
  ERR_CANCELLED: { status: grpcStatus.CANCELLED, text: 'cancelled by the caller' },
  ERR_MALFORMED_ENVELOPE: rejected,
  ERR_KEY_ID_MISMATCH: rejected,
  ERR_DECRYPTION_FAILED: rejected,
  ERR_KEY_UNKNOWN: { status: grpcStatus.FAILED_PRECONDITION, text: 'key id unknown to this plugin' },
  ERR_VALUE_FOREIGN: {
    status: grpcStatus.FAILED_PRECONDITION,
    text: 'value of another plugin, not configured',
  },
  ERR_VALUE_UNAUTHENTICATED: {
    status: grpcStatus.FAILED_PRECONDITION,
    text: 'value without authentication, not allowed',
  },
  ERR_KEY_NOT_FOUND: { status: grpcStatus.FAILED_PRECONDITION, text: 'KEK not found' },
  ERR_KEY_DISABLED: { status: grpcStatus.FAILED_PRECONDITION, text: 'KEK disabled' },
  ERR_KEY_PENDING_DELETION: { status: grpcStatus.FAILED_PRECONDITION, text: 'KEK pending deletion' },
  ERR_KEY_UNUSABLE: { status: grpcStatus.FAILED_PRECONDITION, text: 'KEK unusable' },
  ERR_ACCESS_DENIED: { status: grpcStatus.PERMISSION_DENIED, text: 'backend denied access' },
  ERR_LOGIN_REFUSED: { status: grpcStatus.PERMISSION_DENIED, text: 'backend refused the login' },
  ERR_CONFIG_INVALID: { status: grpcStatus.FAILED_PRECONDITION, text: 'plugin configuration invalid' },
  ERR_CREDENTIALS_EXPIRED: { status: grpcStatus.UNAVAILABLE, text: 'backend credentials expired' },
  ERR_BACKEND_UNAVAILABLE: { status: grpcStatus.UNAVAILABLE, text: 'backend unavailable' },
  ERR_BACKEND_UNREACHABLE: { status: grpcStatus.UNAVAILABLE, text: 'backend unreachable' },
  ERR_BACKEND_THROTTLED: { status: grpcStatus.RESOURCE_EXHAUSTED, text: 'backend throttles' },
  ERR_BACKEND_RESPONSE: { status: grpcStatus.INTERNAL, text: 'backend answered nonsense' },
  ERR_UNWRAP_AMBIGUOUS: { status: grpcStatus.UNAVAILABLE, text: 'backend failed to unwrap' },
  ERR_WRAP_UNVERIFIED: { status: grpcStatus.INTERNAL, text: 'wrapped DEK did not verify' },
  ERR_DEADLINE_EXCEEDED: { status: grpcStatus.DEADLINE_EXCEEDED, text: 'backend too slow' },
  ERR_QUEUE_FULL: { status: grpcStatus.RESOURCE_EXHAUSTED, text: 'too many calls wait for the backend' },
  ERR_STARTING: { status: grpcStatus.UNAVAILABLE, text: 'plugin is starting: primary key not proved yet' },
  ERR_SHUTTING_DOWN: { status: grpcStatus.UNAVAILABLE, text: 'plugin is stopping' },
  ERR_INTERNAL: { status: grpcStatus.INTERNAL, text: 'internal error' },
} as const satisfies Record<KmsErrorCode, WireError>
