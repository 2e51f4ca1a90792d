/** What does an error of AWS mean, and what is to be done? By its name, since the SDK marks none as retryable. */
import type { KmsErrorCode } from '../../../ports/errors.js'

/** What was asked when the error came. */
export interface Place {
  /** In messages: `AWS KMS in eu-west-1`. */
  readonly service: string
  /** The KEK, as configured or by its ARN; or the role that was to be assumed. */
  readonly subject: string
  /** As in policies: `kms:Encrypt`. */
  readonly action: string
}

export interface Meaning {
  readonly code: KmsErrorCode
  /** Behind the name of the service: what it says, and what to do. */
  readonly says: (place: Place) => string
}

interface Row extends Meaning {
  readonly names: readonly string[]
  /** Only where the message is so; rows are read from the top. */
  readonly when?: (message: string, place: Place) => boolean
  /** What is at fault where others of it may do. */
  readonly refuses?: 'credentials'
}

const THROTTLED: Meaning = {
  code: 'ERR_BACKEND_THROTTLED',
  says: () => 'limits the rate of this account; raise its quota of cryptographic operations if it stays',
}
const OUT: Meaning = { code: 'ERR_BACKEND_UNAVAILABLE', says: () => 'cannot serve at the moment' }
const DENIED: Meaning = {
  code: 'ERR_ACCESS_DENIED',
  says: ({ action, subject }) =>
    `does not allow ${action} on ${subject}: grant it in the policy of our identity and, for a key of another account, in the policy of the key; look at their conditions as well (kms:EncryptionContext, aws:SourceArn)`,
}
const ALTERED: Meaning = {
  code: 'ERR_DECRYPTION_FAILED',
  says: ({ subject }) =>
    `does not open the wrapped DEK under ${subject}: it was altered, or wrapped with another encryptionContext`,
}

const rows: readonly Row[] = [
  {
    names: [
      'Throttling',
      'ThrottlingException',
      'ThrottledException',
      'RequestThrottled',
      'RequestThrottledException',
      'RequestLimitExceeded',
      'TooManyRequestsException',
      'LimitExceededException',
      'BandwidthLimitExceeded',
      'SlowDown',
    ],
    ...THROTTLED,
  },
  {
    names: [
      'KMSInternalException',
      'InternalFailure',
      'InternalError',
      'InternalServerError',
      'ServiceUnavailable',
      'ServiceUnavailableException',
      'DependencyTimeoutException',
      'IDPCommunicationError',
      'IDPCommunicationErrorException',
    ],
    ...OUT,
  },
  {
    names: ['KeyUnavailableException'],
    code: 'ERR_BACKEND_UNAVAILABLE',
    says: ({ subject }) => `cannot use the KEK ${subject} at the moment`,
  },
  {
    names: ['DisabledException'],
    code: 'ERR_KEY_DISABLED',
    says: ({ subject }) => `has the KEK ${subject}, which is disabled; enable it (aws kms enable-key)`,
  },
  {
    names: ['KMSInvalidStateException'],
    when: (message) => /pending (?:replica )?deletion/i.test(message),
    code: 'ERR_KEY_PENDING_DELETION',
    says: ({ subject }) =>
      `has scheduled the KEK ${subject} for deletion; cancel that at once (aws kms cancel-key-deletion), then enable it (aws kms enable-key)`,
  },
  {
    names: ['KMSInvalidStateException'],
    when: (message) => /pending import/i.test(message),
    code: 'ERR_KEY_UNUSABLE',
    says: ({ subject }) =>
      `has no key material for the KEK ${subject}: it was never imported, has expired or was deleted; import the same material again`,
  },
  {
    names: ['KMSInvalidStateException'],
    when: (message) => /xks|external key|cloudhsm|key store|unavailable|creating/i.test(message),
    code: 'ERR_BACKEND_UNAVAILABLE',
    says: ({ subject }) =>
      `cannot reach the key store of the KEK ${subject}; look at the store and its proxy (aws kms describe-custom-key-stores)`,
  },
  {
    names: ['KMSInvalidStateException'],
    code: 'ERR_KEY_UNUSABLE',
    says: ({ subject, action }) =>
      `has the KEK ${subject} in a state that does not allow ${action}; look at it (aws kms describe-key)`,
  },
  {
    names: ['NotFoundException'],
    code: 'ERR_KEY_NOT_FOUND',
    says: ({ subject }) =>
      `has no key ${subject}; look at keyId, region and account, and whether the key was deleted`,
  },
  {
    names: ['AccessDeniedException', 'AccessDenied'],
    // AWS answers so for a blob that names a key which does not exist, and for one that we may not use.
    when: (message, { action }) => action === 'kms:Decrypt' && /ciphertext refers to/i.test(message),
    code: 'ERR_UNWRAP_AMBIGUOUS',
    says: ({ subject }) =>
      `does not find the key that the wrapped DEK names: it was altered, or kms:Decrypt on ${subject} is not granted`,
  },
  { names: ['AccessDeniedException', 'AccessDenied', 'KMSAccessDeniedException'], ...DENIED },
  {
    names: ['OptInRequired', 'RegionDisabledException'],
    code: 'ERR_ACCESS_DENIED',
    says: () => 'says that this account has not enabled the region; enable it',
  },
  {
    names: ['IncorrectKeyException'],
    code: 'ERR_DECRYPTION_FAILED',
    says: ({ subject }) => `says that the wrapped DEK was not made by ${subject}: it was altered`,
  },
  { names: ['InvalidCiphertextException'], ...ALTERED },
  {
    names: ['InvalidKeyUsageException'],
    code: 'ERR_KEY_UNUSABLE',
    says: ({ subject }) =>
      `does not let ${subject} encrypt and decrypt; name a symmetric key for ENCRYPT_DECRYPT`,
  },
  {
    names: ['InvalidArnException', 'InvalidAliasNameException'],
    code: 'ERR_CONFIG_INVALID',
    says: ({ subject }) => `does not take ${subject} as the name of a key; look at keyId and region`,
  },
  {
    names: ['ValidationException', 'ValidationError'],
    // Only the blob comes from outside; all else of a Decrypt is as in every other.
    when: (_message, { action }) => action === 'kms:Decrypt',
    ...ALTERED,
  },
  {
    names: ['ValidationException', 'ValidationError'],
    code: 'ERR_CONFIG_INVALID',
    says: ({ action, subject }) =>
      `does not accept ${action} with ${subject}; look at keyId, region and encryptionContext`,
  },
  {
    names: ['EndpointError'],
    code: 'ERR_CONFIG_INVALID',
    says: () =>
      'has no address that fits: look at endpoint, region, AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT',
  },
  {
    names: ['ExpiredTokenException', 'ExpiredToken'],
    refuses: 'credentials',
    code: 'ERR_CREDENTIALS_EXPIRED',
    says: () => 'says that our credentials have expired',
  },
  {
    names: ['RequestExpired', 'RequestTimeTooSkewed', 'RequestInTheFuture'],
    code: 'ERR_CREDENTIALS_EXPIRED',
    says: clock,
  },
  {
    names: ['InvalidSignatureException', 'SignatureDoesNotMatch'],
    when: (message) => /signature (?:expired|not yet current)/i.test(message),
    code: 'ERR_CREDENTIALS_EXPIRED',
    says: clock,
  },
  {
    names: ['InvalidSignatureException', 'SignatureDoesNotMatch'],
    refuses: 'credentials',
    code: 'ERR_LOGIN_REFUSED',
    says: () => 'does not accept our signature: the secret access key is not that of the access key id',
  },
  {
    names: [
      'UnrecognizedClientException',
      'InvalidClientTokenId',
      'InvalidAccessKeyId',
      'AuthFailure',
      'IncompleteSignatureException',
      'IncompleteSignature',
      'MissingAuthenticationToken',
      'MissingAuthenticationTokenException',
      'NotAuthorized',
    ],
    refuses: 'credentials',
    code: 'ERR_LOGIN_REFUSED',
    says: () => 'does not know our credentials: they were deleted, deactivated, or are of another partition',
  },
]

function clock(): string {
  return 'says that our request is too old or from the future: the clock of this node is wrong, look at its time service (the SDK corrects for it from the next try on)'
}

/** What an error of this name means; `undefined` for names that are not in the table. */
export function meaningOf(name: string, message: string, place: Place): Meaning | undefined {
  return rowOf(name, message, place)
}

/** Whether an error of this name is about the credentials themselves, so that others are needed. */
export function isAboutCredentials(name: string, message: string): boolean {
  return rowOf(name, message, NOWHERE)?.refuses === 'credentials'
}

/** What an answer without a known name means. */
export function meaningOfStatus(status: number): Meaning {
  if (status === 429) return THROTTLED
  if (status >= 500) return OUT
  if (status === 403) return DENIED
  return {
    code: 'ERR_BACKEND_RESPONSE',
    says: () => 'answered otherwise than its API says; look for a proxy in between',
  }
}

const NOWHERE: Place = { service: '', subject: '', action: '' }

function rowOf(name: string, message: string, place: Place): Row | undefined {
  return rows.find(({ names, when }) => names.includes(name) && (when?.(message, place) ?? true))
}
