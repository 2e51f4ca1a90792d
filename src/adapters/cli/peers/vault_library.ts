/** Which of Vault's own variables, that the client library in vault-kubernetes-kms reads, count here? */
import { idle, refused, works, type Kind, type PeerFlag } from './flag.js'
import { file, retries, secondsOrDuration, timeout } from './readings.js'

const of = (name: string, kind: Kind = 'text') => ({ env: [name], kind })

/** Those that stand beside a flag are in its row. */
export const libraryRows: readonly PeerFlag[] = [
  works(of('VAULT_CLIENT_CERT'), 'key.clientCertFile', '', file('key.clientCertFile')),
  works(of('VAULT_CLIENT_KEY'), 'key.clientKeyFile', '', file('key.clientKeyFile')),
  works(
    { ...of('VAULT_CLIENT_TIMEOUT', 'duration'), fallback: '60s', keepsOurs: true },
    ['retry.totalTimeout', 'retry.callTimeout'],
    'Bounded to 1 minute, with a warning where kube-apiserver would not wait so long.',
    timeout(secondsOrDuration),
  ),
  works(
    { ...of('VAULT_MAX_RETRIES', 'number'), fallback: '2', keepsOurs: true },
    'retry.maxRetries',
    'At most 10.',
    retries,
  ),
  refused(
    of('VAULT_SKIP_VERIFY', 'switch'),
    'any server would be believed, and DEKs cross this connection; name the authority of the server with VAULT_CACERT',
  ),
  refused(of('VAULT_CACERT_BYTES'), 'write the certificates to a file and name it with VAULT_CACERT'),
  refused(
    of('VAULT_CAPATH'),
    'write the certificates of the folder to one file and name it with VAULT_CACERT',
  ),
  refused(
    of('VAULT_TLS_SERVER_NAME'),
    'the certificate of the server must have the name in -vault-address; use that name there',
  ),
  refused(of('VAULT_HEADERS'), 'requests carry no headers of others; let a proxy before Vault add them'),
  refused(
    of('VAULT_SRV_LOOKUP', 'switch'),
    'the address is not looked up as an SRV record; write host and port',
  ),
  refused(of('VAULT_HTTP_PROXY'), 'set HTTPS_PROXY, and NO_PROXY for what is not behind it'),
  refused(of('VAULT_PROXY_ADDR'), 'set HTTPS_PROXY, and NO_PROXY for what is not behind it'),
  idle(of('VAULT_AGENT_ADDR'), '-vault-address says where Vault is'),
  idle(of('VAULT_RATE_LIMIT'), 'one data key seals many values, so Vault is rarely asked'),
  idle(of('VAULT_DISABLE_REDIRECTS', 'switch'), 'redirects are never followed'),
  idle(of('VAULT_WRAP_TTL'), 'answers are never wrapped'),
  idle(of('VAULT_MFA'), 'no login of this plugin asks for a second factor'),
]
