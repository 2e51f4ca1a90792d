/**
 * THE table of the keys of `kmsplugin-config.yaml` as the KMS plug-in of IBM Cloud Private has it: one row each.
 * docs/ibm-kmsplugin-config.md has the same rows.
 */
import { integer, oneOf, textOf } from '../forms.js'
import { apiKey, choice, listenAddress, number, text, toggle, withoutEffect, type Reading } from './values.js'

export const ibmSections = ['SERVER_CONFIG', 'KP_CONFIG', 'LOGGER'] as const
export type IbmSection = (typeof ibmSections)[number]

export interface IbmKey {
  readonly section: IbmSection
  readonly name: string
  /**
   * The section and key of ours that stand for it; `key` is the entry of a root key under `keys`, `decoder` what that
   * entry says of the values that the IBM plug-in has stored.
   */
  readonly becomes?: readonly [section: string, key: string]
  readonly read: Reading
  /** What a file without this key is taken to say; otherwise our own default holds. */
  readonly whenMissing?: string
  /** Why a file without this key is refused, as it completes "<key> …". */
  readonly required?: string
}

/** What our own settings can hold at most. */
const MAX = { retries: 10, cacheHours: 168, restartSeconds: 3600 }

const server: readonly Omit<IbmKey, 'section'>[] = [
  {
    name: 'REGION',
    read: withoutEffect((value) => textOf(value, 'us-south'), 'URL says where the service is'),
  },
  { name: 'NUM_LEN_BYTES', becomes: ['decoder', 'lengthBytes'], read: choice(integer(1, 8)) },
  {
    name: 'CACHE_TIMEOUT_IN_HOURS',
    becomes: ['envelope', 'dekCacheTimeout'],
    read: number(
      MAX.cacheHours,
      (hours) => (hours === 0 ? 0 : `${hours}h`),
      'a revoked root key must not be readable for longer',
    ),
  },
  {
    name: 'RESTART_DELAY_IN_SECONDS',
    becomes: ['server', 'restartDelay'],
    read: number(
      MAX.restartSeconds,
      (seconds) => (seconds === 0 ? 0 : `${seconds}s`),
      'a longer wait would look like a hang',
    ),
  },
  {
    name: 'UNIX_SOCKET_PATH',
    becomes: ['server', 'socket'],
    read: text('/var/run/icp/keyprotectprovider.sock'),
    required: 'is missing; write the path of "endpoint" in the EncryptionConfiguration of kube-apiserver',
  },
  {
    name: 'TOKEN_URL',
    becomes: ['key', 'tokenUrl'],
    read: text('https://iam.cloud.ibm.com/identity/token'),
  },
  {
    name: 'TOKEN_URL_CA_FILE',
    becomes: ['key', 'tokenCaFile'],
    read: text('/etc/kmsplugin/iam-ca.pem'),
  },
  { name: 'API_KEY', becomes: ['key', 'apiKey'], read: apiKey },
  { name: 'HEALTHZ_PATH', becomes: ['health', 'path'], read: text('/healthz') },
  {
    name: 'HEALTHZ_PORT',
    becomes: ['health', 'address'],
    read: listenAddress,
    whenMissing: ':20358',
  },
  { name: 'NEW_DEK', becomes: ['envelope', 'dek'], read: toggle('fresh', 'reused') },
  {
    name: 'MAX_RETRIES',
    becomes: ['retry', 'maxRetries'],
    read: number(
      MAX.retries,
      (count) => count,
      'a request ends before more of them (retry.totalTimeout, 2500ms)',
    ),
  },
]

const rootKey: readonly Omit<IbmKey, 'section'>[] = [
  { name: 'VERSION', becomes: ['decoder', 'version'], read: choice(integer(1, 2 ** 31 - 1)) },
  { name: 'CRK_ID', becomes: ['key', 'keyId'], read: text('b2f1d6a0-…') },
  { name: 'URL', becomes: ['key', 'url'], read: text('https://us-south.kms.cloud.ibm.com') },
  { name: 'KP_CA_FILE', becomes: ['key', 'caFile'], read: text('/etc/kmsplugin/kms-ca.pem') },
  { name: 'INSTANCE_ID', becomes: ['key', 'instanceId'], read: text('7f2c9e4b-…') },
]

const logger: readonly Omit<IbmKey, 'section'>[] = [
  {
    name: 'LOG_LEVEL',
    becomes: ['log', 'level'],
    read: choice(oneOf('info', 'debug', 'warn', 'error')),
  },
  {
    name: 'LOG_ALL_VALUES',
    becomes: ['log', 'allValues'],
    read: toggle(
      true,
      false,
      'logs every request; unlike those of the IBM plug-in, these lines never hold a key, a PIN or plaintext',
    ),
  },
]

export const ibmKeys: readonly IbmKey[] = [
  ...server.map((key) => ({ section: 'SERVER_CONFIG' as const, ...key })),
  ...rootKey.map((key) => ({ section: 'KP_CONFIG' as const, ...key })),
  ...logger.map((key) => ({ section: 'LOGGER' as const, ...key })),
]

/** The key of IBM's file behind a setting of ours. */
export function ibmKeyFor(section: string, key: string): IbmKey | undefined {
  return ibmKeys.find(({ becomes }) => becomes?.[0] === section && becomes[1] === key)
}
