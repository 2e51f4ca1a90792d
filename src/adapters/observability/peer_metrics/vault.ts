/**
 * What does FalcoSuessgott/vault-kubernetes-kms export? (pkg/metrics, pkg/http and pkg/vault/lease.go at c3bc385)
 *
 * Its requests for health are not counted among the operations; ours have no part in them either.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Metrics } from '../../../ports/metrics.js'
import { settingsOf, type PeerMetrics, type PeerRow } from './peer.js'

/** Those that Go's client library has unless told otherwise. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

export const vaultRows = {
  encryptSeconds: {
    name: 'vault_kubernetes_kms_encryption_operation_duration_seconds',
    type: 'histogram',
    labels: [],
    meaning: 'Time from an Encrypt of kube-apiserver to its answer, in seconds.',
    buckets: BUCKETS,
  },
  decryptSeconds: {
    name: 'vault_kubernetes_kms_decryption_operation_duration_seconds',
    type: 'histogram',
    labels: [],
    meaning: 'Time from a Decrypt of kube-apiserver to its answer, in seconds.',
    buckets: BUCKETS,
  },
  encryptErrors: {
    name: 'vault_kubernetes_kms_encryption_operation_errors_total',
    type: 'counter',
    labels: [],
    meaning: 'Encrypts that failed.',
  },
  decryptErrors: {
    name: 'vault_kubernetes_kms_decryption_operation_errors_total',
    type: 'counter',
    labels: [],
    meaning: 'Decrypts that failed.',
  },
  tokenExpiry: {
    name: 'vault_kubernetes_kms_token_expiry_seconds',
    type: 'gauge',
    labels: [],
    meaning:
      'How long the token still holds, at the moment of the scrape; 0 for one without end. Of several keys, the one that ends first.',
  },
  tokenRenewals: {
    name: 'vault_kubernetes_kms_token_renewals_total',
    type: 'counter',
    labels: [],
    meaning: 'Tokens that were prolonged or replaced; the first of each key does not count.',
  },
  requestSeconds: {
    name: 'vault_kubernetes_kms_vault_requests_duration_seconds',
    type: 'histogram',
    labels: ['method', 'path', 'status'],
    meaning:
      'Time of one request to Vault, in seconds. `method` is `PUT` where we send `POST`, which Vault takes for the same; `status` is `error` where there was no answer.',
    buckets: BUCKETS,
  },
} as const satisfies Record<string, PeerRow>

const PREFIX = 'vault_kubernetes_kms_'

/** Of those that its process collector has, the ones that can be told here. */
export const vaultProcessRows = [
  ['process_cpu_seconds_total', 'counter', 'Total user and system CPU time spent in seconds.'],
  ['process_max_fds', 'gauge', 'Maximum number of open file descriptors.'],
  ['process_open_fds', 'gauge', 'Number of open file descriptors.'],
  ['process_resident_memory_bytes', 'gauge', 'Resident memory size in bytes.'],
  ['process_start_time_seconds', 'gauge', 'Start time of the process since unix epoch in seconds.'],
  ['process_virtual_memory_bytes', 'gauge', 'Virtual memory size in bytes.'],
].map(([name, type, meaning]) => ({ name: `${PREFIX}${name}`, type, labels: [], meaning }) as PeerRow)

export const vaultMetrics: PeerMetrics = (registry) => {
  registerProcessMetrics(registry)
  return { ...operations(registry), ...token(registry), ...requests(registry) }
}

function operations(registry: Registry): Pick<Metrics, 'requestFinished'> {
  const of = {
    encrypt: measured(registry, vaultRows.encryptSeconds, vaultRows.encryptErrors),
    decrypt: measured(registry, vaultRows.decryptSeconds, vaultRows.decryptErrors),
  }
  return {
    requestFinished(_api, operation, outcome, seconds) {
      if (operation !== 'encrypt' && operation !== 'decrypt') return
      of[operation].seconds.observe(finite(seconds))
      if (outcome !== 'OK') of[operation].errors.inc()
    },
  }
}

function measured(
  registry: Registry,
  seconds: PeerRow<never> & { readonly buckets: number[] },
  errors: PeerRow<never>,
) {
  return {
    seconds: new Histogram({ ...settingsOf(registry, seconds), buckets: seconds.buckets }),
    errors: new Counter(settingsOf(registry, errors)),
  }
}

function token(registry: Registry): Pick<Metrics, 'credentialReplaced'> {
  const renewals = new Counter(settingsOf(registry, vaultRows.tokenRenewals))
  /** By key, in milliseconds since 1970. */
  const ends = new Map<string, number>()
  new Gauge({
    ...settingsOf(registry, vaultRows.tokenExpiry),
    collect() {
      const first = Math.min(...ends.values())
      this.set(Number.isFinite(first) ? Math.max(0, (first - Date.now()) / 1000) : 0)
    },
  })
  return {
    credentialReplaced(key, _how, lifetimeSeconds) {
      if (ends.has(key)) renewals.inc()
      ends.set(key, Date.now() + (lifetimeSeconds ?? Infinity) * 1000)
    },
  }
}

function requests(registry: Registry): Pick<Metrics, 'httpRequestFinished'> {
  const { buckets } = vaultRows.requestSeconds
  const seconds = new Histogram({ ...settingsOf(registry, vaultRows.requestSeconds), buckets })
  return {
    httpRequestFinished(_key, request) {
      const method = request.method === 'POST' ? 'PUT' : request.method
      const status = request.status === undefined ? 'error' : String(request.status)
      seconds.observe({ method, path: request.path, status }, finite(request.seconds))
    },
  }
}

/** prom-client registers its default metrics all or none: it does so aside, and the chosen ones are taken over. */
function registerProcessMetrics(registry: Registry): void {
  const all = new Registry()
  collectDefaultMetrics({ register: all, prefix: PREFIX })
  for (const { name } of vaultProcessRows) {
    const metric = all.getSingleMetric(name)
    // Memory and descriptors are counted on Linux only.
    if (metric !== undefined) registry.registerMetric(metric)
  }
}

function finite(value: number): number {
  return Number.isFinite(value) && value > 0 ? value : 0
}
