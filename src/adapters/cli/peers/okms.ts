/** THE table of the flags of okms-k8s-encryption-provider (OVHcloud): one row each. */
import { idle, works, type PeerFlag, type Reading } from './flag.js'
import type { Peer } from './peer.js'
import { file, socket, whenOn } from './readings.js'
import { trustRows } from './trust.js'

const server: Reading = (text, mode) => ({ values: { [mode === 'rest' ? 'key.url' : 'key.address']: text } })

/** As Go's uuid.Parse takes it: bare, in braces, or as a URN. */
const UUID =
  /^(?:urn:uuid:|\{)?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})\}?$/i

/** A KMIP server may name its keys as it likes. */
const uuid =
  (setting: string): Reading =>
  (text, mode) => {
    const [, ...parts] = UUID.exec(text) ?? []
    return { values: { [setting]: mode === 'rest' && parts.length > 0 ? parts.join('-') : text } }
  }

const rows: readonly PeerFlag[] = [
  works(
    { name: 'protocol', env: ['OKMS_PROTOCOL'], kind: 'text' },
    'key.backend',
    '`kmip`: `kmip`; `rest`: `okms`.',
    () => ({}),
  ),
  works(
    { name: 'serv-addr', env: ['OKMS_SERV_ADDR'], kind: 'text', required: 'is missing' },
    ['key.address', 'key.url'],
    'The first with `kmip`, the second with `rest`.',
    server,
  ),
  works(
    { name: 'okms-id', env: ['OKMS_ID'], kind: 'text', only: 'rest', required: 'is missing' },
    'key.okmsId',
    'A UUID. No effect with `kmip`.',
    uuid('key.okmsId'),
  ),
  works(
    { name: 'encryption-key-id', env: ['OKMS_KEY_ID'], kind: 'text' },
    'key.keyId',
    'Either this or the label. With `rest` a UUID, in any form that Go reads.',
    uuid('key.keyId'),
  ),
  works({ name: 'encryption-key-label', env: ['OKMS_KEY_LABEL'], kind: 'text' }, 'key.keyLabel'),
  works(
    { name: 'client-cert', env: ['OKMS_CLIENT_CERT'], kind: 'text' },
    'key.clientCertFile',
    '',
    file('key.clientCertFile'),
  ),
  works(
    { name: 'client-key', env: ['OKMS_CLIENT_KEY'], kind: 'text' },
    'key.clientKeyFile',
    'Mode 0600 or 0400.',
    file('key.clientKeyFile'),
  ),
  works({ name: 'ca', env: ['OKMS_CA_CERT'], kind: 'text' }, 'key.caFile', '', file('key.caFile')),
  works(
    { name: 'sock', env: ['OKMS_SOCK'], kind: 'text', fallback: '/var/run/okms_etcd_plugin.sock' },
    'server.socket',
    '',
    socket,
  ),
  idle(
    { name: 'timeout', env: ['OKMS_TIMEOUT'], kind: 'duration', fallback: '10s' },
    'there it bounds how long a connection to the socket may take to be set up, and no request; requests are bounded by retry.totalTimeout, below the 3 s that kube-apiserver waits',
  ),
  works(
    { name: 'debug', env: ['OKMS_DEBUG'], kind: 'switch', fallback: 'false' },
    'log.level',
    '`debug`; unlike there, it never prints a key or a plaintext.',
    whenOn('log.level', 'debug'),
  ),
  ...trustRows,
]

export const okms: Peer = {
  name: 'okms-k8s-encryption-provider',
  summary: 'run in the place of that plugin, with its flags and variables',
  home: 'https://github.com/ovh/okms-k8s-encryption-provider',
  style: { dash: '--', atWord: 'stops' },
  rows,
  key: 'okms',
  mode: { flag: 'protocol', values: ['kmip', 'rest'] },
  always: (mode) => ({
    'key.backend': mode === 'rest' ? 'okms' : 'kmip',
    'key.decode': [mode === 'rest' ? 'okms-rest' : 'okms-kmip'],
    'server.kmsV1': false,
    'health.address': '',
  }),
  example:
    '--protocol kmip --serv-addr kms.example.com:5696 --encryption-key-id ID --client-cert CRT --client-key KEY',
  differs: [
    'It serves KMS v2 alone, and so do we in its place: the EncryptionConfiguration in its README lacks `apiVersion: v2`.',
    'It has no health server and no metrics, and none is opened; use our own configuration to have them.',
    'Its variables alone are enough here; the program prints its help when it has no argument at all.',
    'A label that was moved to another key is noticed. What that plugin stored opens on; what this one sealed under the former key needs an entry with its `keyId`, so go over to our own configuration before a label is moved.',
  ],
}
