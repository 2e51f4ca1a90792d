/**
 * @grpc/grpc-js writes to stderr by itself, between our log lines, and a header field that it cannot read with its
 * value: bytes of a caller, which may be a Secret. What matters of its errors reaches us as errors.
 */
import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js'

/** Call it before a server or a client is made. */
export function silenceGrpc(): void {
  setLogVerbosity(logVerbosity.NONE)
}
