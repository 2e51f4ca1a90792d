/** Why was there no answer, in the words of an operator? */
import { KmsError } from '../../../ports/errors.js'
import { errorCode, UNKNOWN_ERROR } from '../system_error.js'

/** By the code that Node.js gives: libuv, OpenSSL (X509_verify_cert_error_string) and its own. */
const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refuses the connection; is it running, and is the port right?',
  ECONNRESET: 'closed the connection before it had answered',
  EPIPE: 'closed the connection before it had answered',
  ETIMEDOUT: 'does not answer; look for a firewall or a wrong address',
  EHOSTUNREACH: 'cannot be reached: there is no route',
  ENETUNREACH: 'cannot be reached: there is no route',
  EADDRNOTAVAIL: 'cannot be reached: there is no local address left',
  ENOTFOUND: 'has a name that DNS does not know',
  EAI_AGAIN: 'has a name that DNS cannot resolve now',
  CERT_HAS_EXPIRED: 'has a certificate that has expired; renew it, or set the clock of this node',
  CERT_NOT_YET_VALID: 'has a certificate that is not valid yet; is the clock of this node right?',
  ERR_TLS_CERT_ALTNAME_INVALID: 'has a certificate for another name; use the name that the certificate has',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'has a certificate that signs itself; name it, or its authority, as CA file',
  SELF_SIGNED_CERT_IN_CHAIN: 'has a certificate of an unknown authority; name that one as CA file',
  UNABLE_TO_GET_ISSUER_CERT: 'has a certificate of an unknown authority; name that one as CA file',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'has a certificate of an unknown authority; name that one as CA file',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'has a certificate of an unknown authority; name that one as CA file',
  CERT_SIGNATURE_FAILURE: 'has a certificate whose signature is wrong',
  CERT_REVOKED: 'has a certificate that was revoked',
  INVALID_PURPOSE: 'has a certificate that is not for a server',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'speaks no TLS 1.2 or newer',
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: 'speaks no TLS 1.2 or newer',
  ERR_SSL_WRONG_VERSION_NUMBER: 'does not speak TLS at this port',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'does not speak TLS at this port',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'wants a client certificate',
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: 'refuses the TLS handshake; does it want a client certificate?',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'does not know the authority of our client certificate',
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'does not accept our client certificate',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: 'says that our client certificate has expired',
}

/**
 * @param service In messages: `Vault at https://vault:8200`.
 * @param error What node:https or a vendor's SDK threw.
 * @returns `ERR_BACKEND_UNREACHABLE`. Without the original as cause, since those carry requests with their headers.
 */
export function transportError(service: string, error: unknown): KmsError {
  const code = codeOf(error)
  return new KmsError(
    'ERR_BACKEND_UNREACHABLE',
    `${service} ${reasons[code] ?? 'cannot be talked to'} (${code})`,
  )
}

function codeOf(error: unknown): string {
  // With several addresses of a name, that of the first that failed.
  const inner = error instanceof AggregateError ? (error.errors as unknown[]).map(errorCode) : []
  const code = errorCode(error) ?? inner.find((one) => one !== undefined) ?? UNKNOWN_ERROR
  return code === 'EPROTO' && error instanceof Error ? (openSslCode(error) ?? code) : code
}

/** Some failures of OpenSSL have their reason in the message only: `error:0A00010B:SSL routines::wrong version number:…`. */
function openSslCode({ message }: Error): string | undefined {
  const reason = /:SSL routines:[^:]*:([a-z0-9 ]+):/.exec(message)?.[1]
  return reason === undefined ? undefined : `ERR_SSL_${reason.toUpperCase().replaceAll(' ', '_')}`
}
