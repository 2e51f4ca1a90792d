import { describe, expect, test } from 'vitest'
import { metricsDocument } from '../../../src/adapters/observability/metrics_document.js'
import { metricRows } from '../../../src/adapters/observability/metrics_table.js'
import { peers } from '../../../src/adapters/observability/peer_metrics/index.js'
import { createPrometheusMetrics } from '../../../src/adapters/observability/prometheus_metrics.js'
import type { PrometheusMetrics } from '../../../src/adapters/observability/prometheus_metrics.js'
import { errorCodes } from '../../../src/ports/errors.js'

function make(droppedLogLines = () => 0): PrometheusMetrics {
  return createPrometheusMetrics({ version: '1.2.3', node: 'v20.19.0', droppedLogLines })
}

/** Touches every metric, so that every label shows. */
function makeUsed(): PrometheusMetrics {
  const metrics = make()
  metrics.requestFinished('v2', 'encrypt', 'OK', 0.002)
  metrics.backendCallFinished('hsm', 'wrap', 'OK', 0.02)
  metrics.dekCacheLookup('hit')
  metrics.foreignDecoded('vault-kubernetes-kms', 'OK')
  metrics.dekCacheSize(1)
  metrics.dekSeals(1)
  metrics.dekRenewed('hsm')
  metrics.probeFinished('hsm', 'OK')
  metrics.keyIdPublished('pkcs11:a.b')
  metrics.hsmChildRestarted('hsm')
  metrics.tokenHealth('hsm', '0:k8s-a', true)
  metrics.credentialReplaced('vault', 'login', 3600)
  return metrics
}

interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** The samples of a text in Prometheus' format. */
function samplesOf(scraped: string): readonly Sample[] {
  return scraped
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const parts = /^(?<name>\w+)(?:\{(?<labels>.*)\})? (?<value>\S+)$/.exec(line)?.groups
      if (parts === undefined) throw new Error(`no sample: ${line}`)
      const labels = [...(parts['labels'] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)]
      return {
        name: parts['name']!,
        labels: Object.fromEntries(labels.map(([, name, value]) => [name, value])) as Record<string, string>,
        value: Number(parts['value']),
      }
    })
}

/** The samples of one name. */
async function sampled(metrics: PrometheusMetrics, name: string): Promise<readonly Sample[]> {
  return samplesOf(await metrics.scrape()).filter((sample) => sample.name === name)
}

/** The value of the one sample of that name whose labels include these. */
async function valueOf(
  metrics: PrometheusMetrics,
  name: string,
  labels: Readonly<Record<string, string>> = {},
) {
  const found = (await sampled(metrics, name)).filter((sample) =>
    Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
  )
  expect(found).toHaveLength(1)
  return found[0]!.value
}

describe('labels are bounded', () => {
  test('outcomes that no table knows add no label', async () => {
    const metrics = make()
    for (let n = 0; n < 10_000; n++) {
      const outcome = `ERR_${Math.random()}` as never
      metrics.requestFinished('v2', 'decrypt', outcome, 0.001)
      metrics.backendCallFinished('hsm', 'unwrap', outcome, 0.001)
      metrics.probeFinished('hsm', outcome)
    }
    expect(await sampled(metrics, 'kmsplugin_requests_total')).toHaveLength(
      Object.keys(errorCodes).length + 1,
    )
    expect(await valueOf(metrics, 'kmsplugin_requests_total', { code: 'ERR_INTERNAL' })).toBe(10_000)
    expect(await valueOf(metrics, 'kmsplugin_backend_calls_total', { code: 'ERR_INTERNAL' })).toBe(10_000)
    expect(await valueOf(metrics, 'kmsplugin_probe_total', { outcome: 'ERR_INTERNAL' })).toBe(10_000)
  })

  test('every outcome that the port knows is a label of its own', async () => {
    const metrics = make()
    const outcomes = ['OK', ...(Object.keys(errorCodes) as (keyof typeof errorCodes)[])] as const
    for (const outcome of outcomes) metrics.probeFinished('hsm', outcome)
    const seen = (await sampled(metrics, 'kmsplugin_probe_total')).map(({ labels }) => labels['outcome'])
    expect(seen).toEqual(outcomes)
  })

  test('a name from the config file cannot break out of its label', async () => {
    const metrics = make()
    metrics.dekRenewed('a"} 1\nforged{x="\\')
    const [sample] = await sampled(metrics, 'kmsplugin_dek_renewals_total')
    expect(sample?.labels).toEqual({ key: 'a\\"} 1\\nforged{x=\\"\\\\' })
  })
})

describe('no event can throw into a request', () => {
  test.each([NaN, Infinity, -1, undefined])('%s in the place of a number counts as 0', async (odd) => {
    const metrics = make()
    metrics.requestFinished('v2', 'encrypt', 'OK', odd as number)
    metrics.backendCallFinished('hsm', 'wrap', 'OK', odd as number)
    metrics.dekCacheSize(odd as number)
    metrics.dekSeals(odd as number)
    expect(await valueOf(metrics, 'kmsplugin_request_seconds_sum')).toBe(0)
    expect(await valueOf(metrics, 'kmsplugin_backend_call_seconds_sum')).toBe(0)
    expect(await valueOf(metrics, 'kmsplugin_dek_cache_size')).toBe(0)
    expect(await valueOf(metrics, 'kmsplugin_dek_seals')).toBe(0)
  })
})

describe('the events of the port', () => {
  test('a request counts by API, operation and code, and every other code of the operation shows at 0', async () => {
    const metrics = make()
    metrics.requestFinished('v1', 'decrypt', 'ERR_DECRYPTION_FAILED', 0.2)
    const labels = { api: 'v1', operation: 'decrypt' }
    const of = async (code: string) => valueOf(metrics, 'kmsplugin_requests_total', { ...labels, code })
    expect(await of('ERR_DECRYPTION_FAILED')).toBe(1)
    expect(await of('ERR_KEY_UNKNOWN')).toBe(0)
    expect(await of('OK')).toBe(0)
    metrics.requestFinished('v1', 'decrypt', 'OK', 0.2)
    expect(await of('ERR_DECRYPTION_FAILED')).toBe(1)
    expect(await of('OK')).toBe(1)
    expect(await valueOf(metrics, 'kmsplugin_request_seconds_count', labels)).toBe(2)
  })

  test('the buckets of a backend call tell 1 ms from 2.5 s', async () => {
    const metrics = make()
    metrics.backendCallFinished('hsm', 'wrap', 'OK', 0.001)
    metrics.backendCallFinished('hsm', 'wrap', 'ERR_DEADLINE_EXCEEDED', 2.5)
    const upTo = async (le: string) => valueOf(metrics, 'kmsplugin_backend_call_seconds_bucket', { le })
    expect(await upTo('0.001')).toBe(1)
    expect(await upTo('1.5')).toBe(1)
    expect(await upTo('2.5')).toBe(2)
  })

  test('lookups, sizes, renewals and restarts are counted', async () => {
    const metrics = make()
    expect(await valueOf(metrics, 'kmsplugin_dek_cache_lookups_total', { result: 'hit' })).toBe(0)
    metrics.dekCacheLookup('hit')
    metrics.dekCacheLookup('miss')
    metrics.dekCacheLookup('miss')
    metrics.dekCacheSize(7)
    metrics.dekSeals(9)
    metrics.dekRenewed('hsm')
    metrics.hsmChildRestarted('hsm')
    expect(await valueOf(metrics, 'kmsplugin_dek_cache_lookups_total', { result: 'hit' })).toBe(1)
    expect(await valueOf(metrics, 'kmsplugin_dek_cache_lookups_total', { result: 'miss' })).toBe(2)
    expect(await valueOf(metrics, 'kmsplugin_dek_cache_size')).toBe(7)
    expect(await valueOf(metrics, 'kmsplugin_dek_seals')).toBe(9)
    expect(await valueOf(metrics, 'kmsplugin_dek_renewals_total', { key: 'hsm' })).toBe(1)
    expect(await valueOf(metrics, 'kmsplugin_hsm_child_restarts_total', { key: 'hsm' })).toBe(1)
  })

  test('a key is as healthy as its last probe, and the time of that probe is known', async () => {
    const metrics = make()
    const before = Date.now() / 1000
    metrics.probeFinished('hsm', 'OK')
    metrics.probeFinished('old', 'OK')
    metrics.probeFinished('old', 'ERR_BACKEND_UNREACHABLE')
    const after = Date.now() / 1000
    expect(await valueOf(metrics, 'kmsplugin_probe_healthy', { key: 'hsm' })).toBe(1)
    expect(await valueOf(metrics, 'kmsplugin_probe_healthy', { key: 'old' })).toBe(0)
    const at = await valueOf(metrics, 'kmsplugin_probe_last_timestamp_seconds', { key: 'old' })
    expect(at).toBeGreaterThanOrEqual(before)
    expect(at).toBeLessThanOrEqual(after)
  })

  test('a token of several is as it was said last', async () => {
    const metrics = make()
    metrics.tokenHealth('hsm', '0:k8s-a', false)
    metrics.tokenHealth('hsm', '1:k8s-b', true)
    metrics.tokenHealth('hsm', '0:k8s-a', true)
    metrics.tokenHealth('hsm', '1:k8s-b', false)
    const of = async (token: string) => valueOf(metrics, 'kmsplugin_hsm_token_up', { key: 'hsm', token })
    expect([await of('0:k8s-a'), await of('1:k8s-b')]).toEqual([1, 0])
  })

  test('each configured format has its series from the start, so that silence is seen as silence', async () => {
    const metrics = createPrometheusMetrics({
      version: '1',
      node: 'v20',
      droppedLogLines: () => 0,
      foreignFormats: ['vault-kubernetes-kms', 'ibm-kmsplugin'],
    })
    const before = Date.now() / 1000
    metrics.foreignDecoded('vault-kubernetes-kms', 'OK')
    metrics.foreignDecoded('vault-kubernetes-kms', 'ERR_DECRYPTION_FAILED')
    const count = async (format: string, code: string) =>
      valueOf(metrics, 'kmsplugin_foreign_decrypts_total', { format, code })
    expect(await count('vault-kubernetes-kms', 'OK')).toBe(1)
    expect(await count('vault-kubernetes-kms', 'ERR_DECRYPTION_FAILED')).toBe(1)
    expect(await count('ibm-kmsplugin', 'OK')).toBe(0)
    const last = async (format: string) =>
      valueOf(metrics, 'kmsplugin_foreign_last_decrypt_timestamp_seconds', { format })
    expect(await last('vault-kubernetes-kms')).toBeGreaterThanOrEqual(before)
    expect(await last('ibm-kmsplugin')).toBe(0)
  })

  test('only the current key id is shown, hashed as kube-apiserver hashes it', async () => {
    const metrics = make()
    expect(await sampled(metrics, 'kmsplugin_key_id_hash_info')).toEqual([])
    metrics.keyIdPublished('pkcs11:old.one')
    metrics.keyIdPublished('abc', 'pkcs11:old.one')
    // FIPS 180-4's example: SHA-256 of "abc".
    const hash = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    expect(await sampled(metrics, 'kmsplugin_key_id_hash_info')).toEqual([
      { name: 'kmsplugin_key_id_hash_info', labels: { key_id_hash: `sha256:${hash}` }, value: 1 },
    ])
    expect(await metrics.scrape()).not.toContain('pkcs11:old.one')
  })

  test('two plugins in one process each show their key id, and a rotation of one leaves the other', async () => {
    const metrics = make()
    metrics.keyIdPublished('aws:a.one')
    metrics.keyIdPublished('aws:b.one')
    metrics.keyIdPublished('aws:a.two', 'aws:a.one')
    expect(await sampled(metrics, 'kmsplugin_key_id_hash_info')).toHaveLength(2)
  })

  test('dropped log lines are asked for at each scrape', async () => {
    let dropped = 3
    const metrics = make(() => dropped)
    expect(await valueOf(metrics, 'kmsplugin_log_lines_dropped_total')).toBe(3)
    dropped = 5
    expect(await valueOf(metrics, 'kmsplugin_log_lines_dropped_total')).toBe(5)
  })
})

describe('the export', () => {
  test('says which program it is', async () => {
    const [sample] = await sampled(make(), 'kmsplugin_build_info')
    expect(sample).toEqual({
      name: 'kmsplugin_build_info',
      labels: { version: '1.2.3', node: 'v20.19.0' },
      value: 1,
    })
  })

  test('measures this process', async () => {
    const metrics = make()
    expect(await valueOf(metrics, 'kmsplugin_process_resident_memory_bytes')).toBeGreaterThan(10_000_000)
    expect(await valueOf(metrics, 'kmsplugin_process_open_fds')).toBeGreaterThan(2)
  })

  test('does not mix two plugins in one process', async () => {
    const one = make()
    const other = make()
    one.dekRenewed('hsm')
    expect(await sampled(other, 'kmsplugin_dek_renewals_total')).toEqual([])
  })

  test('has the names, types, help texts and labels of the table and no others', async () => {
    const scraped = await makeUsed().scrape()
    const rows = metricRows.map(({ name, type, meaning }) => [
      `# HELP ${name} ${meaning}`,
      `# TYPE ${name} ${type}`,
    ])
    expect(scraped.split('\n').filter((line) => line.startsWith('#'))).toEqual(rows.flat())
    for (const { name, labels, type } of metricRows) {
      const seen = samplesOf(scraped).filter(
        (sample) => sample.name === (type === 'histogram' ? `${name}_sum` : name),
      )
      expect(seen.length, name).toBeGreaterThan(0)
      for (const sample of seen) expect(Object.keys(sample.labels), name).toEqual(labels)
    }
  })

  test('names every metric with the prefix of the plugin and its unit', () => {
    for (const { name, type } of metricRows) {
      expect(name).toMatch(/^kmsplugin_[a-z0-9_]+$/)
      expect(name.endsWith('_total')).toBe(type === 'counter')
      if (type === 'histogram') expect(name).toMatch(/_seconds$/)
    }
  })

  test('is described by docs/metrics.md', async () => {
    const tables = Object.entries(peers).map(([name, { rows }]) => ({ name, rows }))
    await expect(metricsDocument(metricRows, tables)).toMatchFileSnapshot('../../../docs/metrics.md')
  })
})
