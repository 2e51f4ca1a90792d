/** Do the dashboards of a plugin that we replace go on? */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { peerMetricsOf, peers } from '../../../src/adapters/observability/peer_metrics/index.js'
import { createPrometheusMetrics } from '../../../src/adapters/observability/prometheus_metrics.js'
import type { PrometheusMetrics } from '../../../src/adapters/observability/prometheus_metrics.js'
import type { MetricsOf } from '../../../src/ports/config.js'
import { errorCodes } from '../../../src/ports/errors.js'
import type { Outcome } from '../../../src/ports/metrics.js'

const KEY = { backend: 'aws', keyId: 'alias/k8s' }

function make(name: MetricsOf): PrometheusMetrics {
  const peer = peerMetricsOf(name, KEY)
  return createPrometheusMetrics({ version: '1.2.3', node: 'v20.19.0', droppedLogLines: () => 0, peer })
}

/** The lines of what is exported under the names of others, without HELP. */
async function theirs(metrics: PrometheusMetrics): Promise<readonly string[]> {
  const lines = (await metrics.scrape()).split('\n')
  return lines.filter(
    (line) => line !== '' && !line.startsWith('# HELP') && !/^(# TYPE )?kmsplugin_/.test(line),
  )
}

async function valueOf(metrics: PrometheusMetrics, series: string): Promise<number | undefined> {
  const line = (await theirs(metrics)).find((one) => one.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}

test('nobody else is heard unless the config names a plugin', async () => {
  expect(await theirs(make(''))).toEqual([])
})

test.each(Object.entries(peers))(
  '%s: names, types and labels are those of the table, and ours are all there still',
  async (name, { rows }) => {
    const metrics = make(name as MetricsOf)
    metrics.requestFinished('v2', 'encrypt', 'OK', 0.002)
    metrics.httpRequestFinished('kek', { method: 'GET', path: '/v1/a', status: 200, seconds: 0.1 })
    const lines = await theirs(metrics)
    const types = lines.filter((line) => line.startsWith('#'))
    expect(types.toSorted()).toEqual(rows.map((row) => `# TYPE ${row.name} ${row.type}`).toSorted())
    for (const row of rows) {
      const series = row.type === 'histogram' ? `${row.name}_count` : row.name
      const line = lines.find((one) => one.startsWith(series)) ?? ''
      expect([...line.matchAll(/(\w+)="/g)].map(([, label]) => label)).toEqual(row.labels)
      const bounds = lines.flatMap((one) => one.match(`^${row.name}_bucket.*le="([0-9.]+)"`)?.[1] ?? [])
      expect(bounds.map(Number)).toEqual(row.buckets ?? [])
    }
    const own = async (of: PrometheusMetrics) =>
      (await of.scrape()).split('\n').filter((line) => /^# TYPE kmsplugin_/.test(line))
    expect(await own(metrics)).toEqual(await own(make('')))
    expect(await metrics.scrape()).toContain(
      'kmsplugin_requests_total{api="v2",operation="encrypt",code="OK"} 1',
    )
  },
)

describe('aws-encryption-provider', () => {
  let metrics: PrometheusMetrics
  beforeEach(() => {
    metrics = make('aws-encryption-provider')
  })

  const total = async (status: string, operation: string, version: string) =>
    valueOf(
      metrics,
      `aws_encryption_provider_kms_operations_total{key_arn="alias/k8s",status="${status}",operation="${operation}",version="${version}"}`,
    )

  test('requests are counted under the key as it is configured, by operation and version, in milliseconds', async () => {
    metrics.requestFinished('v1', 'encrypt', 'OK', 0.1)
    metrics.requestFinished('v2', 'decrypt', 'OK', 0.003)
    metrics.requestFinished('v2', 'decrypt', 'OK', 0.004)
    expect(await total('success', 'encrypt', 'v1')).toBe(1)
    expect(await total('success', 'decrypt', 'v2')).toBe(2)
    const latency = 'aws_encryption_provider_kms_operation_latency_ms'
    const labels = 'key_arn="alias/k8s",status="success",operation="decrypt",version="v2"'
    expect(await valueOf(metrics, `${latency}_sum{${labels}}`)).toBe(7)
    expect(await valueOf(metrics, `${latency}_bucket{le="4",${labels}}`)).toBe(2)
    expect(await valueOf(metrics, `${latency}_bucket{le="2",${labels}}`)).toBe(0)
  })

  test('every failure has one of the three words that the plugin has for one', async () => {
    const words: Partial<Record<Outcome, string>> = {
      ERR_BACKEND_THROTTLED: 'failure-throttle',
      ERR_DECRYPTION_FAILED: 'failure-corruption',
      ERR_MALFORMED_ENVELOPE: 'failure-corruption',
      ERR_KEY_ID_MISMATCH: 'failure-corruption',
    }
    const counts = { 'failure-throttle': 0, 'failure-corruption': 0, failure: 0 }
    for (const code of Object.keys(errorCodes) as (keyof typeof errorCodes)[]) {
      metrics.requestFinished('v2', 'decrypt', code, 0.1)
      counts[(words[code] ?? 'failure') as keyof typeof counts] += 1
    }
    for (const [word, count] of Object.entries(counts)) expect(await total(word, 'decrypt', 'v2')).toBe(count)
  })

  test('Status and Version are no operations, and what is no code or no number throws nothing', async () => {
    metrics.requestFinished('v2', 'status', 'OK', 0.1)
    metrics.requestFinished('v1', 'version', 'OK', 0.1)
    expect((await theirs(metrics)).filter((line) => !line.startsWith('#'))).toEqual([])
    metrics.requestFinished('v2', 'encrypt', 'nonsense' as Outcome, NaN)
    expect(await total('failure', 'encrypt', 'v2')).toBe(1)
  })
})

describe('vault-kubernetes-kms', () => {
  let metrics: PrometheusMetrics
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_000_000 })
    metrics = make('vault-kubernetes-kms')
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  const value = async (series: string) => valueOf(metrics, `vault_kubernetes_kms_${series}`)

  test('errors and renewals are there at 0 before the first, so that increase() sees it', async () => {
    for (const name of [
      'encryption_operation_errors_total',
      'decryption_operation_errors_total',
      'token_renewals_total',
    ])
      expect(await value(name)).toBe(0)
  })

  test('an operation is measured whether it fails or not, and a failure is counted beside', async () => {
    metrics.requestFinished('v1', 'encrypt', 'OK', 0.25)
    metrics.requestFinished('v2', 'encrypt', 'ERR_BACKEND_UNREACHABLE', 0.5)
    metrics.requestFinished('v2', 'decrypt', 'ERR_DECRYPTION_FAILED', 1)
    metrics.requestFinished('v2', 'status', 'ERR_STARTING', 1)
    expect(await value('encryption_operation_duration_seconds_sum')).toBe(0.75)
    expect(await value('encryption_operation_duration_seconds_count')).toBe(2)
    expect(await value('encryption_operation_errors_total')).toBe(1)
    expect(await value('decryption_operation_duration_seconds_count')).toBe(1)
    expect(await value('decryption_operation_errors_total')).toBe(1)
  })

  test('the life of the token falls with time, never below 0, and is that of the key whose token ends first', async () => {
    expect(await value('token_expiry_seconds')).toBe(0)
    metrics.credentialReplaced('kek', 'login', 60)
    metrics.credentialReplaced('old', 'login', 600)
    vi.setSystemTime(1_020_000)
    expect(await value('token_expiry_seconds')).toBe(40)
    vi.setSystemTime(1_100_000)
    expect(await value('token_expiry_seconds')).toBe(0)
    metrics.credentialReplaced('kek', 'renewal', undefined)
    expect(await value('token_expiry_seconds')).toBe(500)
  })

  test('the first token of a key is no renewal; every later one is, prolonged or new', async () => {
    metrics.credentialReplaced('kek', 'login', 60)
    metrics.credentialReplaced('old', 'login', 60)
    expect(await value('token_renewals_total')).toBe(0)
    metrics.credentialReplaced('kek', 'renewal', 60)
    metrics.credentialReplaced('kek', 'login', 60)
    expect(await value('token_renewals_total')).toBe(2)
  })

  test('requests go by method, path and status, as the plugin sends them', async () => {
    const path = '/v1/transit/encrypt/kek'
    metrics.httpRequestFinished('kek', { method: 'POST', path, status: 200, seconds: 0.5 })
    metrics.httpRequestFinished('kek', { method: 'POST', path, status: undefined, seconds: NaN })
    const count = async (status: string) =>
      value(`vault_requests_duration_seconds_count{method="PUT",path="${path}",status="${status}"}`)
    expect([await count('200'), await count('error')]).toEqual([1, 1])
  })
})
