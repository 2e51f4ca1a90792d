/** THE table of the flags of vault-kubernetes-kms (FalcoSuessgott): one row each. */
import { resolve } from 'node:path'
import { idle, works, type PeerFlag, type Reading } from './flag.js'
import { goBool } from './go_values.js'
import type { Peer } from './peer.js'
import { address, file, socket, whenOn } from './readings.js'
import { trustRows } from './trust.js'
import { libraryRows } from './vault_library.js'

const METHODS = ['token', 'approle', 'userpass', 'cert', 'jwt']

const NO_SPIFFE =
  'spiffe is refused: this plugin does not speak the SPIFFE Workload API; have spiffe-helper write the JWT-SVID to a file, and use -jwt-token-source file with -jwt-token-path'

const healthPort: Reading = (text, mode) => address(text.includes(':') ? text : `:${text}`, mode)

const jwtFile: Reading = (text) => ({ values: { 'key.auth.jwt': `file:${resolve(text)}` } })

const jwtSource: Reading = (text) => {
  if (text === 'spiffe') throw new Error(NO_SPIFFE)
  if (text !== 'file') throw new Error('must be file')
  return {}
}

/** `admin/`, as Vault prints a namespace or a mount. The program cleans paths, and Vault its header, in the same way. */
function place(path: string): Reading {
  return (text) => ({ values: { [path]: text.replace(/\/+/g, '/').replace(/^\/|\/$/g, '') } })
}

const bothFromOneFile: Reading = (text) => ({
  values: { 'key.clientCertFile': resolve(text), 'key.clientKeyFile': resolve(text) },
})

/** As its documents name it: the variable is the flag in capitals behind a prefix. */
const env = (name: string) => [`VAULT_KMS_${name}`]

const forSpiffe = 'only the token source spiffe uses it'

const rows: readonly PeerFlag[] = [
  works(
    { name: 'vault-address', env: [...env('VAULT_ADDR'), 'VAULT_ADDR'], kind: 'text' },
    'key.url',
    '`https://`; `http://` only to the loopback address.',
  ),
  works(
    { name: 'vault-namespace', env: [...env('VAULT_NAMESPACE'), 'VAULT_NAMESPACE'], kind: 'text' },
    'key.namespace',
    '',
    place('key.namespace'),
  ),
  works(
    { name: 'vault-ca-cert', env: [...env('VAULT_CACERT'), 'VAULT_CACERT'], kind: 'text' },
    'key.caFile',
    '',
    file('key.caFile'),
  ),
  works(
    { name: 'transit-mount', env: env('TRANSIT_MOUNT'), kind: 'text', fallback: 'transit' },
    'key.mount',
    '',
    place('key.mount'),
  ),
  works({ name: 'transit-key', env: env('TRANSIT_KEY'), kind: 'text', fallback: 'kms' }, 'key.keyName'),
  works(
    { name: 'auth-method', env: env('AUTH_METHOD'), kind: 'text' },
    'key.auth.method',
    '`token`, `approle`, `userpass`, `cert` or `jwt`, in letters of any case.',
    (_, mode) => ({ values: { 'key.auth.method': mode } }),
  ),
  works(
    {
      name: 'token',
      env: [...env('TOKEN'), ...env('VAULT_TOKEN'), 'VAULT_TOKEN'],
      kind: 'secret',
      only: 'token',
    },
    'key.auth.token',
    'A reference to the variable; on the command line, with a warning.',
  ),
  works(
    { name: 'approle-role-id', env: env('APPROLE_ROLE_ID'), kind: 'text', only: 'approle' },
    'key.auth.roleId',
  ),
  works(
    {
      name: 'approle-secret-id',
      env: env('APPROLE_SECRET_ID'),
      kind: 'secret',
      only: 'approle',
      required: 'is missing',
    },
    'key.auth.secretId',
    'A reference to the variable; on the command line, with a warning.',
  ),
  works(
    { name: 'approle-mount', env: env('APPROLE_MOUNT'), kind: 'text', fallback: 'approle', only: 'approle' },
    'key.auth.mount',
    '',
    place('key.auth.mount'),
  ),
  works(
    { name: 'userpass-username', env: env('USERPASS_USERNAME'), kind: 'text', only: 'userpass' },
    'key.auth.username',
  ),
  works(
    { name: 'userpass-password', env: env('USERPASS_PASSWORD'), kind: 'secret', only: 'userpass' },
    'key.auth.password',
    'A reference to the variable; on the command line, with a warning.',
  ),
  works(
    {
      name: 'userpass-mount',
      env: env('USERPASS_MOUNT'),
      kind: 'text',
      fallback: 'userpass',
      only: 'userpass',
    },
    'key.auth.mount',
    '',
    place('key.auth.mount'),
  ),
  works({ name: 'cert-role', env: env('CERT_ROLE'), kind: 'text', only: 'cert' }, 'key.auth.role'),
  works(
    { name: 'cert-pem', env: env('CERT_PEM'), kind: 'text', only: 'cert' },
    ['key.clientCertFile', 'key.clientKeyFile'],
    'One file with both. Wins over the two flags below. Mode 0600 or 0400.',
    bothFromOneFile,
  ),
  works(
    { name: 'cert-file', env: env('CERT_FILE'), kind: 'text', only: 'cert' },
    'key.clientCertFile',
    '',
    file('key.clientCertFile'),
  ),
  works(
    { name: 'cert-key', env: env('CERT_KEY'), kind: 'text', only: 'cert' },
    'key.clientKeyFile',
    'Mode 0600 or 0400.',
    file('key.clientKeyFile'),
  ),
  works(
    { name: 'cert-mount', env: env('CERT_MOUNT'), kind: 'text', fallback: 'cert', only: 'cert' },
    'key.auth.mount',
    '',
    place('key.auth.mount'),
  ),
  works({ name: 'jwt-role', env: env('JWT_ROLE'), kind: 'text', only: 'jwt' }, 'key.auth.role'),
  works(
    { name: 'jwt-token-source', env: env('JWT_TOKEN_SOURCE'), kind: 'text', fallback: 'file', only: 'jwt' },
    [],
    `\`file\`. ${NO_SPIFFE}.`,
    jwtSource,
  ),
  works(
    {
      name: 'jwt-token-path',
      env: env('JWT_TOKEN_PATH'),
      kind: 'text',
      fallback: '/var/run/secrets/kubernetes.io/serviceaccount/token',
      only: 'jwt',
    },
    'key.auth.jwt',
    'As `file:`.',
    jwtFile,
  ),
  works(
    { name: 'jwt-mount', env: env('JWT_MOUNT'), kind: 'text', fallback: 'jwt', only: 'jwt' },
    'key.auth.mount',
    '',
    place('key.auth.mount'),
  ),
  idle(
    { name: 'jwt-spiffe-endpoint', env: env('JWT_SPIFFE_ENDPOINT'), kind: 'text', only: 'jwt' },
    forSpiffe,
  ),
  idle(
    { name: 'jwt-spiffe-audience', env: env('JWT_SPIFFE_AUDIENCE'), kind: 'text', only: 'jwt' },
    forSpiffe,
  ),
  idle({ name: 'jwt-spiffe-id', env: env('JWT_SPIFFE_ID'), kind: 'text', only: 'jwt' }, forSpiffe),
  idle(
    { name: 'token-refresh-interval', env: env('TOKEN_REFRESH_INTERVAL'), kind: 'duration', fallback: '60s' },
    'a token is renewed when half of its time has passed',
  ),
  idle(
    {
      name: 'token-renewal',
      env: [...env('TOKEN_RENEWAL_SECONDS'), ...env('TOKEN_RENEWAL')],
      kind: 'number',
      fallback: '3600',
    },
    'Vault says for how long a renewal holds',
  ),
  works(
    { name: 'socket', env: env('SOCKET'), kind: 'text', fallback: 'unix:///opt/kms/vaultkms.socket' },
    'server.socket',
    '',
    socket,
  ),
  idle(
    {
      name: 'force-socket-overwrite',
      env: [...env('FORCE_SOCKET_OVERWRITE'), 'FORCE_SOCKET_OVERWRITE'],
      kind: 'switch',
      fallback: 'false',
    },
    'a dead socket is always replaced, and a living one, or what is no socket, never',
  ),
  works(
    { name: 'health-port', env: env('HEALTH_PORT'), kind: 'text', fallback: '8080' },
    'health.address',
    'Also as `:8080`. All interfaces, with a warning.',
    healthPort,
  ),
  works(
    { name: 'disable-v1', env: env('DISABLE_V1'), kind: 'switch', fallback: 'false' },
    'server.kmsV1',
    '`false`. Its older guide names `true` as the default; the program has `false`.',
    whenOn('server.kmsV1', false),
  ),
  idle(
    { name: 'disable-v2', env: env('DISABLE_V2'), kind: 'switch', fallback: 'false' },
    'v2 is always served; which API is used is said by the EncryptionConfiguration',
  ),
  works(
    { name: 'debug', env: env('DEBUG'), kind: 'switch', fallback: 'false' },
    'log.level',
    '`debug`',
    whenOn('log.level', 'debug'),
  ),
  ...libraryRows,
  ...trustRows,
]

function isOn(text: string | undefined): boolean {
  try {
    return text !== undefined && goBool(text)
  } catch {
    return false
  }
}

export const vault: Peer = {
  name: 'vault-kubernetes-kms',
  summary: 'run in the place of that plugin, with its flags and variables',
  home: 'https://github.com/FalcoSuessgott/vault-kubernetes-kms',
  style: { dash: '-', atWord: 'stops' },
  rows,
  key: 'vault',
  mode: { flag: 'auth-method', values: METHODS },
  always: () => ({
    'key.backend': 'vault',
    'key.decode': ['vault-kubernetes-kms'],
    'server.kmsV1': true,
    'health.path': '/health',
    'health.livePath': '/live',
    'health.metricsOf': 'vault-kubernetes-kms',
  }),
  conflicts: [
    {
      flag: 'disable-v2',
      isThere: (textOf) => isOn(textOf('disable-v1')) && isOn(textOf('disable-v2')),
      text: 'cannot stand beside -disable-v1: nothing would be served',
    },
  ],
  example: '-vault-address=https://vault.example.com -auth-method=approle -approle-role-id=ROLE',
  differs: [
    'A flag on the command line wins over its variable, and `VAULT_KMS_…` over the variable of Vault itself.',
    '`/health` says whether the key works, `/live` whether this process runs; there they are the same. Its examples have them the wrong way round: put `/live` into `livenessProbe` and `/health` into `readinessProbe`, or an outage of Vault restarts the plugin, and with it goes what it could still open.',
    'The policy of its documents is enough; see [vault.md](vault.md).',
    'With `-auth-method cert` its login leaves out `-vault-namespace`, and only what follows has it. Here the login is in that namespace too: enable `cert` there, or leave the flag out and write the namespace before the mount (`-transit-mount=team/transit`).',
    'It follows a redirect, such as of a standby that cannot forward; here none is followed, since DEKs would go where another server says: name the address that answers by itself.',
    'A word that is no flag ends the flags, as with every program of Go: `-debug true` hides all that follows. Write `-debug=true`. Told with a warning.',
  ],
}
