/**
 * What does a server of the Vault API answer to requests good and bad? One table, put to OpenBao and to the fake that
 * stands for it: where both answer so, a test on the fake says something about the server.
 */

export type Json = Readonly<Record<string, unknown>>

/**
 * Who asks: with rights on the keys; with a token that has none; with a token that nobody gave out; without one; with a
 * token of the kind batch; with one that cannot be renewed.
 */
export type Caller = 'kms' | 'stranger' | 'unknown' | 'nobody' | 'batch' | 'fixed'

/** Ciphertexts that the server made of {@link DEK} before the table is put to it, all by version 1 of the key. */
export type Sealed = Readonly<
  Record<'kek' | 'other' | 'bound' | 'floor' | 'derived' | 'rsa' | 'gone', string>
>

export interface Exchange {
  /** What is special about it. */
  readonly name: string
  readonly by?: Caller
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Behind `/v1/`. */
  readonly path: string
  readonly body?: Json | string | ((sealed: Sealed) => Json)
  readonly namespace?: string
  readonly status: number
  /** In `errors`; absent: there is none. */
  readonly says?: RegExp
  /** Names below `data` that have to be there; `auth.` before those of a login. */
  readonly has?: readonly string[]
}

/** Version 1 of each seals the ciphertexts; those of {@link ROTATED} are rotated then. */
export const KEYS: Readonly<Record<string, Json>> = {
  kek: {},
  other: {},
  /** Its `min_decryption_version` is 2. */
  floor: {},
  derived: { derived: true },
  rsa: { type: 'rsa-2048' },
  /** Can only sign. */
  signer: { type: 'ed25519' },
  /** Can only make MACs. */
  mac: { type: 'hmac', key_size: 32 },
  /** Soft-deleted. */
  gone: {},
}
export const ROTATED: readonly string[] = ['kek', 'other', 'floor', 'rsa']

export const DEK = Buffer.alloc(32, 7).toString('base64')
export const CONTEXT = Buffer.from('cluster one').toString('base64')
export const OTHER_CONTEXT = Buffer.from('cluster two').toString('base64')

/** What lets in, by the roles named `kms` of the auth methods of these names. */
export interface LoginNames {
  readonly roleId: string
  readonly secretId: string
  readonly password: string
  readonly jwt: string
  readonly serviceAccount: string
}

function flipped(ciphertext: string): string {
  const [prefix, version, base64 = ''] = ciphertext.split(':')
  const bytes = Buffer.from(base64, 'base64')
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1)
  return `${prefix}:${version}:${bytes.toString('base64')}`
}

/** The same bytes behind another version. */
function asVersion(ciphertext: string, version: string): string {
  return `vault:${version}:${ciphertext.split(':')[2] ?? ''}`
}

const get = { method: 'GET' } as const
const post = { method: 'POST' } as const
const keyFields = [
  'type',
  'derived',
  'keys',
  'latest_version',
  'min_decryption_version',
  'min_encryption_version',
  'deletion_allowed',
  'exportable',
  'allow_plaintext_backup',
  'supports_encryption',
  'supports_decryption',
  'soft_deleted',
]

const reads: readonly Exchange[] = [
  { name: 'a key', ...get, path: 'transit/keys/kek', status: 200, has: keyFields },
  { name: 'an RSA key', ...get, path: 'transit/keys/rsa', status: 200, has: keyFields },
  {
    name: 'a key for MACs, which shows no versions',
    ...get,
    path: 'transit/keys/mac',
    status: 200,
    has: keyFields.filter((name) => name !== 'keys'),
  },
  { name: 'a derived key', ...get, path: 'transit/keys/derived', status: 200, has: keyFields },
  { name: 'a soft-deleted key', ...get, path: 'transit/keys/gone', status: 200, has: keyFields },
  { name: 'a key that is not there', ...get, path: 'transit/keys/absent', status: 404 },
  {
    name: 'a path that Transit does not have',
    ...get,
    path: 'transit/nothing/kek',
    status: 403,
    says: /permission denied/,
  },
  {
    name: 'a mount that is not there, which our policy does not name',
    ...get,
    path: 'elsewhere/keys/kek',
    status: 403,
    says: /permission denied/,
  },
  {
    name: 'a mount that is not there, which our policy names',
    ...get,
    path: 'unmounted/keys/kek',
    status: 404,
    says: /no handler for route/,
  },
  {
    name: 'a namespace that is not there',
    ...get,
    path: 'transit/keys/kek',
    namespace: 'absent',
    status: 404,
    says: /namespace not found/,
  },
]

function encrypts(name: string, path: string, body: Json, rest: Pick<Exchange, 'status' | 'says'>): Exchange {
  const full = { plaintext: DEK, ...body }
  const has = rest.status === 200 ? { has: ['ciphertext', 'key_version'] } : {}
  return { name: `encrypt: ${name}`, ...post, path: `transit/encrypt/${path}`, body: full, ...has, ...rest }
}

const bad = (says: RegExp) => ({ status: 400, says })
const ok = { status: 200 }

const encryptions: readonly Exchange[] = [
  encrypts('the newest version', 'kek', {}, ok),
  encrypts('the newest version by its number', 'kek', { key_version: 2 }, ok),
  encrypts('an old version', 'kek', { key_version: 1 }, ok),
  encrypts('with associated data', 'kek', { associated_data: CONTEXT }, ok),
  encrypts('with a context that the key does not want', 'kek', { context: CONTEXT }, ok),
  encrypts('a derived key', 'derived', { context: CONTEXT }, ok),
  encrypts('an RSA key', 'rsa', {}, ok),
  encrypts(
    'a version that is not there yet',
    'kek',
    { key_version: 3 },
    bad(/version for encryption is higher/),
  ),
  encrypts('a version below the floor', 'floor', { key_version: 1 }, bad(/no such key version/)),
  encrypts('no base64', 'kek', { plaintext: '***' }, bad(/illegal base64/)),
  encrypts('a derived key without context', 'derived', {}, bad(/missing 'context'/)),
  encrypts('associated data for RSA', 'rsa', { associated_data: CONTEXT }, bad(/non-AEAD/)),
  encrypts('a key that can only sign', 'signer', {}, bad(/encryption not supported for key type/)),
  encrypts('a key for MACs', 'mac', {}, bad(/encryption not supported for key type/)),
  encrypts('a soft-deleted key', 'gone', {}, bad(/soft-deleted key/)),
  // Made if the token might create.
  encrypts('a key that is not there', 'absent', {}, { status: 403, says: /permission denied/ }),
]

function decrypts(
  name: string,
  path: string,
  ciphertext: (sealed: Sealed) => string,
  rest: Pick<Exchange, 'status' | 'says'>,
  bindings: Json = {},
): Exchange {
  const body = (sealed: Sealed): Json => ({ ciphertext: ciphertext(sealed), ...bindings })
  const has = rest.status === 200 ? { has: ['plaintext'] } : {}
  return { name: `decrypt: ${name}`, ...post, path: `transit/decrypt/${path}`, body, ...has, ...rest }
}

const notAuthentic = bad(/message authentication failed/)
const notRsa = { status: 500, says: /RSA decrypt/ }
const bound = { associated_data: CONTEXT }

const decryptions: readonly Exchange[] = [
  decrypts('an old version', 'kek', ({ kek }) => kek, ok),
  decrypts('with associated data', 'kek', (sealed) => sealed.bound, ok, bound),
  decrypts('a derived key', 'derived', ({ derived }) => derived, ok, { context: CONTEXT }),
  decrypts('an RSA key', 'rsa', ({ rsa }) => rsa, ok),
  decrypts('version 0 is taken for 1', 'kek', ({ kek }) => asVersion(kek, 'v0'), ok),
  decrypts('a flipped bit', 'kek', ({ kek }) => flipped(kek), notAuthentic),
  decrypts('of another key', 'kek', ({ other }) => other, notAuthentic),
  decrypts('of another version', 'kek', ({ kek }) => asVersion(kek, 'v2'), notAuthentic),
  decrypts('without its associated data', 'kek', (sealed) => sealed.bound, notAuthentic),
  decrypts('with associated data too many', 'kek', ({ kek }) => kek, notAuthentic, bound),
  decrypts('with another context', 'derived', ({ derived }) => derived, notAuthentic, {
    context: OTHER_CONTEXT,
  }),
  decrypts('cut', 'kek', ({ kek }) => kek.slice(0, 'vault:v1:'.length + 20), notAuthentic),
  decrypts('cut to less than a nonce', 'kek', () => 'vault:v1:AAAA', bad(/invalid ciphertext length/)),
  decrypts('nothing behind the version', 'kek', () => 'vault:v1:', bad(/invalid ciphertext length/)),
  decrypts('no base64', 'kek', () => 'vault:v1:***', bad(/invalid ciphertext: could not decode base64/)),
  decrypts('base64 without its padding', 'kek', () => 'vault:v1:AA', bad(/could not decode base64/)),
  decrypts('no prefix', 'kek', ({ kek }) => kek.replace('vault:', 'other:'), bad(/no prefix/)),
  decrypts('no version', 'kek', () => 'vault:v1', bad(/wrong number of fields/)),
  decrypts(
    'a version that is no number',
    'kek',
    ({ kek }) => asVersion(kek, 'vx'),
    bad(/could not be decoded/),
  ),
  decrypts(
    'a version that is not there yet',
    'kek',
    ({ kek }) => asVersion(kek, 'v3'),
    bad(/version is too new/),
  ),
  decrypts('a negative version', 'kek', ({ kek }) => asVersion(kek, 'v-1'), bad(/too old/)),
  decrypts('nothing', 'kek', () => '', bad(/missing ciphertext/)),
  decrypts(
    'a version below the floor',
    'floor',
    ({ floor }) => floor,
    bad(/disallowed by policy \(too old\)/),
  ),
  decrypts('a derived key without context', 'derived', ({ derived }) => derived, bad(/missing 'context'/)),
  decrypts('associated data for RSA', 'rsa', ({ rsa }) => rsa, bad(/non-AEAD/), bound),
  decrypts('RSA: a flipped bit', 'rsa', ({ rsa }) => flipped(rsa), notRsa),
  decrypts('RSA: of another version', 'rsa', ({ rsa }) => asVersion(rsa, 'v2'), notRsa),
  decrypts('RSA: cut', 'rsa', () => 'vault:v1:AAAA', notRsa),
  decrypts(
    'a key that can only sign',
    'signer',
    ({ kek }) => kek,
    bad(/decryption not supported for key type/),
  ),
  decrypts('a soft-deleted key', 'gone', ({ gone }) => gone, bad(/soft-deleted key/)),
  decrypts('a key that is not there', 'absent', ({ kek }) => kek, bad(/encryption key not found/)),
]

const denied = { status: 403, says: /permission denied/ }

/** The three requests of the backend and what it asks about tokens, by everybody who may not. */
const refusals: readonly Exchange[] = (['stranger', 'unknown', 'nobody'] as const).flatMap((by) => [
  { name: `read by ${by}`, by, ...get, path: 'transit/keys/kek', ...denied },
  { name: `read of a key that is not there by ${by}`, by, ...get, path: 'transit/keys/absent', ...denied },
  { name: `encrypt by ${by}`, by, ...post, path: 'transit/encrypt/kek', body: { plaintext: DEK }, ...denied },
  {
    name: `decrypt by ${by}`,
    by,
    ...post,
    path: 'transit/decrypt/kek',
    body: ({ kek }: Sealed) => ({ ciphertext: kek }),
    ...denied,
  },
])

const tokens: readonly Exchange[] = [
  {
    name: 'who am I, by kms',
    ...get,
    path: 'auth/token/lookup-self',
    status: 200,
    has: ['ttl', 'renewable', 'expire_time', 'type', 'policies', 'orphan'],
  },
  { name: 'who am I, by unknown', by: 'unknown', ...get, path: 'auth/token/lookup-self', ...denied },
  { name: 'who am I, by nobody', by: 'nobody', ...get, path: 'auth/token/lookup-self', ...denied },
  {
    name: 'renew me, by kms',
    ...post,
    path: 'auth/token/renew-self',
    body: {},
    status: 200,
    has: ['auth.client_token', 'auth.lease_duration', 'auth.renewable'],
  },
  {
    name: 'renew me, by unknown',
    by: 'unknown',
    ...post,
    path: 'auth/token/renew-self',
    body: {},
    ...denied,
  },
  {
    name: 'renew me, by stranger',
    by: 'stranger',
    ...post,
    path: 'auth/token/renew-self',
    body: {},
    status: 200,
  },
  {
    name: 'who am I, by batch',
    by: 'batch',
    ...get,
    path: 'auth/token/lookup-self',
    status: 200,
    has: ['ttl', 'renewable', 'expire_time', 'type', 'policies', 'orphan'],
  },
  {
    name: 'renew me, by batch',
    by: 'batch',
    ...post,
    path: 'auth/token/renew-self',
    body: {},
    ...bad(/cannot be renewed/),
  },
  {
    name: 'end me, by batch',
    by: 'batch',
    ...post,
    path: 'auth/token/revoke-self',
    ...bad(/cannot be revoked/),
  },
  { name: 'read by batch', by: 'batch', ...get, path: 'transit/keys/kek', status: 200, has: keyFields },
  {
    name: 'renew me, by fixed',
    by: 'fixed',
    ...post,
    path: 'auth/token/renew-self',
    body: {},
    ...bad(/not renewable/),
  },
  { name: 'end me, by fixed', by: 'fixed', ...post, path: 'auth/token/revoke-self', status: 204 },
  { name: 'after my end, by fixed', by: 'fixed', ...get, path: 'auth/token/lookup-self', ...denied },
  {
    name: 'what may I, by stranger',
    by: 'stranger',
    ...post,
    path: 'sys/capabilities-self',
    body: { paths: ['transit/keys/kek'] },
    status: 200,
    has: ['transit/keys/kek'],
  },
  { name: 'end me, by unknown', by: 'unknown', ...post, path: 'auth/token/revoke-self', ...denied },
]

const odd: readonly Exchange[] = [
  {
    name: 'half a JSON text',
    ...post,
    path: 'transit/encrypt/kek',
    body: '{"plain',
    ...bad(/failed to decode JSON/),
  },
  { name: 'encrypt without a body', ...post, path: 'transit/encrypt/kek', ...bad(/missing plaintext/) },
  { name: 'PUT for POST', method: 'PUT', path: 'transit/encrypt/kek', body: { plaintext: DEK }, status: 200 },
  {
    name: 'no auth method there',
    by: 'nobody',
    ...post,
    path: 'auth/unmounted/login',
    body: { role_id: 'x', secret_id: 'y' },
    ...denied,
  },
]

export const exchanges: readonly Exchange[] = [
  ...reads,
  ...encryptions,
  ...decryptions,
  ...refusals,
  ...tokens,
  ...odd,
]

/** Logins, whose secrets exist once the server runs. */
export function loginExchanges(names: LoginNames): readonly Exchange[] {
  const { roleId, secretId, password, jwt, serviceAccount } = names
  const has = ['auth.client_token', 'auth.lease_duration', 'auth.renewable', 'auth.token_type']
  const row = (
    name: string,
    path: string,
    body: Json,
    rest: Pick<Exchange, 'status' | 'says'>,
  ): Exchange => ({
    ...{ name, by: 'nobody', method: 'POST', path: `auth/${path}`, body, ...rest },
    ...(rest.status === 200 ? { has } : {}),
  })
  const wrong = bad(/invalid role or secret ID/)
  const wrongPassword = bad(/invalid username or password/)
  return [
    row('approle', 'approle/login', { role_id: roleId, secret_id: secretId }, ok),
    row('approle: another role', 'approle/login', { role_id: 'another', secret_id: secretId }, wrong),
    row('approle: another secret', 'approle/login', { role_id: roleId, secret_id: 'another' }, wrong),
    row('approle: no secret', 'approle/login', { role_id: roleId }, bad(/missing secret_id/)),
    row('userpass', 'userpass/login/kms', { password }, ok),
    row('userpass: another user', 'userpass/login/another', { password }, wrongPassword),
    row('userpass: another password', 'userpass/login/kms', { password: 'another' }, wrongPassword),
    row('jwt', 'jwt/login', { role: 'kms', jwt }, ok),
    row('jwt: another role', 'jwt/login', { role: 'another', jwt }, bad(/role "another" could not be found/)),
    row(
      'jwt: of another signer',
      'jwt/login',
      { role: 'kms', jwt: serviceAccount },
      bad(/error validating token/),
    ),
    row('kubernetes', 'kubernetes/login', { role: 'kms', jwt: serviceAccount }, ok),
    row(
      'kubernetes: another role',
      'kubernetes/login',
      { role: 'another', jwt: serviceAccount },
      bad(/invalid role name/),
    ),
    row('kubernetes: of another signer', 'kubernetes/login', { role: 'kms', jwt }, denied),
    row('cert: without a certificate', 'cert/login', { name: 'kms' }, bad(/no client certificate found/)),
    // After so many wrong passwords the account is locked, for the right one too.
    ...Array.from({ length: 4 }, (_, i) =>
      row(`userpass: wrong again, ${i + 2}`, 'userpass/login/kms', { password: 'another' }, wrongPassword),
    ),
    row('userpass: locked', 'userpass/login/kms', { password }, denied),
  ]
}

/** What `errors` says, as one text. */
export function said(body: Json): string {
  const { errors } = body
  return Array.isArray(errors) ? errors.map(String).join('; ') : ''
}

/** The names of {@link Exchange.has} that an answer lacks. */
export function lacking(body: Json, names: readonly string[] = []): readonly string[] {
  return names.filter((name) => {
    const [parent, child] = name.startsWith('auth.') ? ['auth', name.slice(5)] : ['data', name]
    const value = body[parent]
    return typeof value !== 'object' || value === null || !Object.hasOwn(value, child)
  })
}
