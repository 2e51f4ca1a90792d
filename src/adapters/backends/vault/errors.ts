/** What does an answer of Vault or OpenBao mean that is no success? */
import { KmsError, type KmsErrorCode } from '../../../ports/errors.js'
import type { VaultReply } from './client.js'

/** What was asked, for the message. */
export interface Question {
  /** `Vault at https://vault:8200`. */
  readonly service: string
  /** `transit/decrypt/kek`. */
  readonly path: string
  /** `the key kek in the Transit engine at transit/`. */
  readonly kek: string
  /** What is decrypted, where that is no wrapped DEK. */
  readonly what?: string
  /** What was sent holds a secret that Vault quotes when it does not like it: its words are not repeated. */
  readonly isLogin?: boolean
}

interface Row {
  readonly status: readonly number[]
  /** On the texts in `errors`; both servers use the same ones but where two alternatives stand. */
  readonly says?: RegExp
  readonly code: KmsErrorCode
  readonly text: (question: Question) => string
}

/** The first row that fits decides. 403 is not here: only a second question tells what it means (session.ts). */
const rows: readonly Row[] = [
  {
    status: [400],
    says: /encryption key not found/,
    code: 'ERR_KEY_NOT_FOUND',
    text: ({ service, kek }) => `${service} has not got ${kek}; was it deleted?`,
  },
  {
    status: [400],
    says: /disallowed by policy \(too old\)/,
    code: 'ERR_KEY_UNUSABLE',
    text: ({ kek }) =>
      `${kek} has a min_decryption_version above the version that wrapped this; lower it to open old values`,
  },
  {
    status: [400],
    says: /soft-deleted key/,
    code: 'ERR_KEY_DISABLED',
    text: ({ kek }) => `${kek} is soft-deleted; restore it (soft-delete-restore)`,
  },
  {
    status: [400],
    says: /missing 'context'/,
    code: 'ERR_CONFIG_INVALID',
    text: ({ kek }) => `${kek} is a derived key: set \`context\``,
  },
  {
    status: [400],
    says: /associated_data' provided for non-AEAD/,
    code: 'ERR_CONFIG_INVALID',
    text: ({ kek }) => `${kek} is of a type that takes no associated data: remove \`associatedData\``,
  },
  {
    status: [400],
    says: /(encryption|decryption) not supported for key type|key type .* not supported for this operation/,
    code: 'ERR_KEY_UNUSABLE',
    text: ({ kek }) => `${kek} is of a type that cannot encrypt; make an aes256-gcm96 key`,
  },
  {
    // It was rotated, or deleted and made anew, after we had read its version: the next try reads it again.
    status: [400],
    says: /requested version for encryption is (higher|less) than|no such key version/,
    code: 'ERR_BACKEND_UNAVAILABLE',
    text: ({ kek }) => `${kek} was changed between reading its version and wrapping with it`,
  },
  {
    status: [400],
    says: /unable to decrypt|invalid ciphertext|message authentication failed/,
    code: 'ERR_DECRYPTION_FAILED',
    text: ({ kek, what = 'the wrapped DEK' }) => `${what} failed authentication under ${kek}`,
  },
  {
    status: [404],
    says: /no handler for route|unsupported path/,
    code: 'ERR_KEY_NOT_FOUND',
    text: ({ service, path }) =>
      `${service} has nothing at ${path}: the engine is not mounted there, or the namespace is another`,
  },
  {
    status: [404],
    says: /namespace not found/,
    code: 'ERR_KEY_NOT_FOUND',
    text: ({ service, kek }) => `${service} has not got the namespace of ${kek}`,
  },
  {
    status: [404],
    code: 'ERR_KEY_NOT_FOUND',
    text: ({ service, kek }) => `${service} has not got ${kek}; are namespace, mount and keyName right?`,
  },
  {
    status: [405],
    code: 'ERR_CONFIG_INVALID',
    text: ({ service, path }) => `${service} cannot do this at ${path}; is that a Transit engine?`,
  },
  {
    status: [412],
    code: 'ERR_BACKEND_UNAVAILABLE',
    text: ({ service }) => `${service} has not caught up with its primary yet`,
  },
  {
    status: [429],
    code: 'ERR_BACKEND_THROTTLED',
    text: ({ service, path }) => `${service} limits our rate at ${path} (a quota, or a standby node)`,
  },
  {
    status: [503],
    says: /sealed/,
    code: 'ERR_BACKEND_UNAVAILABLE',
    text: ({ service }) => `${service} is sealed; unseal it`,
  },
  {
    status: [503],
    says: /locked/,
    code: 'ERR_BACKEND_UNAVAILABLE',
    text: ({ service }) => `${service} has locked the API of the namespace`,
  },
  {
    status: [500, 503],
    says: /standby|not active|active cluster node not found/,
    code: 'ERR_BACKEND_UNAVAILABLE',
    text: ({ service }) => `${service} is a standby node and has no active one to ask`,
  },
  {
    status: [472, 473, 501],
    code: 'ERR_BACKEND_UNAVAILABLE',
    text: ({ service }) => `${service} is a node that serves no requests (standby, DR or not initialised)`,
  },
]

/**
 * Whether an answer that is no success is Vault's own: it always has `errors`, if only an empty list. A balancer or
 * proxy whose Vault is away answers 403 or 404 as well, and that is no word about token or key.
 */
export function isFromVault({ body }: VaultReply): boolean {
  return Array.isArray(body['errors'])
}

/** The error for any answer that is no success and no 403 of Vault. */
export function errorOf(question: Question, reply: VaultReply): KmsError {
  const { status, retryAfterMs } = reply
  const said = textsOf(reply).join('; ')
  if ([400, 401, 403, 404, 405].includes(status) && !isFromVault(reply)) {
    const text = `${question.service} does not answer as Vault (status ${status} at ${question.path}); is there a proxy in between, and is \`url\` right?`
    return new KmsError('ERR_BACKEND_RESPONSE', text, { retryAfterMs })
  }
  const row = rows.find((one) => one.status.includes(status) && (one.says?.test(said) ?? true))
  if (row !== undefined) return new KmsError(row.code, row.text(question), { retryAfterMs })
  const text = `${question.service} answered ${status} at ${question.path}${question.isLogin === true ? '' : quoted(said)}`
  return new KmsError(status >= 500 ? 'ERR_BACKEND_UNAVAILABLE' : 'ERR_BACKEND_RESPONSE', text, {
    retryAfterMs,
  })
}

/**
 * The error for a decrypt that failed. RSA says bad data with the status of a fault of the server, and 400 is no fault of
 * the server whatever its words: a known-good DEK tells which it is.
 */
export function decryptErrorOf(question: Question, reply: VaultReply, keyType: string): KmsError {
  const said = textsOf(reply).join('; ')
  const isRsa = reply.status === 500 && keyType.startsWith('rsa-') && /RSA decrypt|crypto\/rsa/.test(said)
  const error = errorOf(question, reply)
  if (!isRsa && !(reply.status === 400 && error.code === 'ERR_BACKEND_RESPONSE')) return error
  return new KmsError('ERR_UNWRAP_AMBIGUOUS', `${error.message}; that may be bad data`)
}

/**
 * As {@link decryptErrorOf}, for a value of another plugin: nothing of its key may ever have opened here, so that no
 * known-good one can tell. Go's library has one error for an RSA block that does not open, and for nothing else.
 */
export function nativeErrorOf(question: Question, reply: VaultReply, keyType: string): KmsError {
  const error = decryptErrorOf(question, reply, keyType)
  const isBadBlock = textsOf(reply).some((text) => text.includes('crypto/rsa: decryption error'))
  if (error.code !== 'ERR_UNWRAP_AMBIGUOUS' || !isBadBlock) return error
  return new KmsError('ERR_DECRYPTION_FAILED', `the value is none that ${question.kek} encrypted`)
}

/** What `errors` says. Not for messages as it is: Vault quotes a secret id that it does not like. */
export function textsOf({ body }: VaultReply): readonly string[] {
  const { errors } = body
  return Array.isArray(errors) ? errors.filter((text) => typeof text === 'string') : []
}

/** Only what looks like words: a token, a key or a DEK has digits or is longer, and becomes "…". */
function quoted(said: string): string {
  const words = said
    .split(/\s+/)
    .filter((word) => word !== '')
    .map((word) => (/^[A-Za-z'"(),.:;_-]{1,20}$/.test(word) ? word : '…'))
  return words.length === 0 ? '' : `: ${words.slice(0, 24).join(' ')}`
}
