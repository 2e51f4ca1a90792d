/**
 * What does kubernetes-sigs/aws-encryption-provider export? (pkg/plugin/metrics.go and pkg/kmsplugin/kms.go at 6d4f71e)
 *
 * It calls AWS KMS once for each request of kube-apiserver and counts that call; we count the request, which mostly
 * needs no call.
 */
import { Counter, Histogram, type Registry } from 'prom-client'
import { errorCodes } from '../../../ports/errors.js'
import type { Outcome } from '../../../ports/metrics.js'
import { settingsOf, type PeerMetrics, type PeerRow } from './peer.js'

const labels = ['key_arn', 'status', 'operation', 'version'] as const

export const awsRows = {
  operations: {
    name: 'aws_encryption_provider_kms_operations_total',
    type: 'counter',
    labels,
    meaning: 'Encrypt and Decrypt requests of kube-apiserver.',
  },
  latency: {
    name: 'aws_encryption_provider_kms_operation_latency_ms',
    type: 'histogram',
    labels,
    meaning: 'Time from such a request to its answer, in milliseconds.',
    buckets: Array.from({ length: 14 }, (_, power) => 2 ** (power + 1)),
  },
} as const satisfies Record<string, PeerRow>

/** @param keyArn The key as it is configured: an ARN, an id or an alias. */
export function awsMetrics(keyArn: string): PeerMetrics {
  return (registry) => {
    const { operations, latency } = metricsIn(registry)
    return {
      requestFinished(version, operation, outcome, seconds) {
        if (operation !== 'encrypt' && operation !== 'decrypt') return
        const values = { key_arn: keyArn, status: statusOf(outcome), operation, version }
        operations.inc(values)
        latency.observe(values, Number.isFinite(seconds) ? seconds * 1000 : 0)
      },
    }
  }
}

const made = new WeakMap<Registry, ReturnType<typeof makeMetrics>>()

/** One of each in a registry, whatever the number of keys: they are told apart by a label. */
function metricsIn(registry: Registry): ReturnType<typeof makeMetrics> {
  const known = made.get(registry) ?? makeMetrics(registry)
  made.set(registry, known)
  return known
}

function makeMetrics(registry: Registry) {
  const { buckets } = awsRows.latency
  return {
    operations: new Counter(settingsOf(registry, awsRows.operations)),
    latency: new Histogram({ ...settingsOf(registry, awsRows.latency), buckets }),
  }
}

/** The peer has four words for what may happen. */
function statusOf(outcome: Outcome): string {
  if (outcome === 'OK') return 'success'
  if (outcome === 'ERR_BACKEND_THROTTLED') return 'failure-throttle'
  const isAboutData = Object.hasOwn(errorCodes, outcome) && errorCodes[outcome].fault === 'data'
  return isAboutData ? 'failure-corruption' : 'failure'
}
