/** THE table of the flags of aws-encryption-provider (kubernetes-sigs): one row each. */
import { idle, works, type PeerFlag, type Reading } from './flag.js'
import { csvRecord } from './go_values.js'
import type { Peer } from './peer.js'
import { address, file, socket, whenOn } from './readings.js'
import { trustRows } from './trust.js'

/** `a=b,c=d`, with brackets round it or not; a value with a comma stands in quotes together with its name. */
const encryptionContext: Reading = (text) => {
  const pairs = csvRecord(text.replace(/^[[\]]+|[[\]]+$/g, '')).map((pair) => {
    const at = pair.indexOf('=')
    if (at < 0) throw new Error('must be name=value pairs with commas between them')
    const name = pair.slice(0, at)
    if (name === '__proto__') throw new Error('must not have the name __proto__, which cannot be kept here')
    return [name, pair.slice(at + 1)] as const
  })
  return pairs.length === 0 ? {} : { values: { 'key.encryptionContext': Object.fromEntries(pairs) } }
}

const rows: readonly PeerFlag[] = [
  works(
    { name: 'key', kind: 'list', required: 'is missing' },
    'key.keyId',
    'Comma-separated or repeated: one complete plugin each, with the keys `aws-1`, `aws-2`, …',
  ),
  works(
    { name: 'listen', kind: 'list', fallback: '/var/run/kmsplugin/socket.sock' },
    'server.socket',
    'Comma-separated or repeated, as many as there are keys.',
    socket,
  ),
  works({ name: 'region', kind: 'text' }, 'key.region', 'That of each `--key` that is an ARN.'),
  works({ name: 'kms-endpoint', kind: 'text' }, 'key.endpoint', '`http://` only to the loopback address.'),
  works(
    { name: 'encryption-context', kind: 'repeated' },
    'key.encryptionContext',
    'Repeated, in the order of the keys; what is more than there are keys is accepted with a warning. Never with the name `__proto__`.',
    encryptionContext,
  ),
  works({ name: 'source-arn', kind: 'text' }, 'key.sourceArn', 'An ARN with an account, which AWS compares.'),
  works(
    { name: 'health-port', kind: 'text', fallback: ':8080' },
    'health.address',
    'Without a host, all interfaces, with a warning.',
    address,
  ),
  works(
    { name: 'healthz-path', kind: 'text', fallback: '/healthz' },
    'health.path',
    'Neither `/livez` nor `/metrics`, which are answered beside it, and no `/` at its end.',
  ),
  works(
    { name: 'livez-path', kind: 'text', fallback: '/livez' },
    'health.livePath',
    'Neither `/readyz` nor `/metrics`, which are answered beside it, and no `/` at its end.',
  ),
  idle(
    { name: 'health-kms-version', kind: 'text', fallback: 'v1' },
    'every key is probed in the background, whichever API kube-apiserver uses',
  ),
  idle(
    { name: 'qps-limit', kind: 'number', fallback: '0' },
    'one data key seals many values, so KMS is rarely asked',
  ),
  idle(
    { name: 'burst-limit', kind: 'number', fallback: '0' },
    'one data key seals many values, so KMS is rarely asked',
  ),
  idle(
    { name: 'retry-token-capacity', kind: 'number', fallback: '0' },
    'retries are bounded by retry.maxRetries and retry.totalTimeout',
  ),
  works(
    { name: 'debug', kind: 'switch', fallback: 'false' },
    'log.level',
    '`debug`',
    whenOn('log.level', 'debug'),
  ),
  works(
    { env: ['AWS_CA_BUNDLE'], kind: 'text' },
    'key.caFile',
    'Trusted in the place of all others, as there.',
    file('key.caFile'),
  ),
  ...trustRows,
]

export const aws: Peer = {
  name: 'aws-encryption-provider',
  summary: 'run in the place of that plugin, with its flags and variables',
  home: 'https://github.com/kubernetes-sigs/aws-encryption-provider',
  style: { dash: '--', atWord: 'goes on' },
  rows,
  key: 'aws',
  pairs: ['key', 'listen'],
  always: () => ({
    'key.backend': 'aws',
    'key.decode': ['aws-encryption-provider'],
    'server.kmsV1': true,
    'health.metricsOf': 'aws-encryption-provider',
  }),
  example:
    '--key=arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab --region=us-west-2',
  differs: [
    'Its README writes some flags with one dash, which its program does not read; here both work.',
    'Its image starts `/go-runner` with the program behind it. A pod with `args: [/aws-encryption-provider, …]` keeps that line; of `command: [/go-runner, …, /aws-encryption-provider, …]` all before the program goes away: the log is written to stderr.',
    'It takes its credentials from where the SDK of AWS looks: so do we. It needs `kms:DescribeKey` beside `kms:Encrypt` and `kms:Decrypt`: see [aws.md](aws.md).',
    'Where `AWS_PROFILE` is set beside `AWS_ACCESS_KEY_ID`, the SDK there takes the keys, and ours the profile: unset one. `AWS_ACCESS_KEY`, `AWS_SECRET_KEY` and `AWS_DEFAULT_PROFILE` are older names that only the SDK there reads.',
    'One health server tells of all keys: `--healthz-path` answers 503 while one of them fails, whatever its API, where there the first key may hide the others. `--livez-path` is this process alone. Its README has `/healthz` in `livenessProbe`: put `/livez` there first, or an outage of AWS KMS, or one of several keys that is disabled, restarts the plugin again and again, and with it goes what it could still open.',
    'What stands at the path of the socket is replaced only when it is a dead socket of ours.',
  ],
}
