/**
 * Which metrics are there, and what are they for? The one table behind /metrics and docs/metrics.md.
 *
 * Rule: every label has few values. `code` is `OK` or a row of the table of errors, `key` a name of the config
 * file; nothing that a request carries becomes a label.
 */

export interface MetricRow {
  /** Begins with `kmsplugin_` and ends in the unit. */
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly labels: readonly string[]
  /** What it counts: the HELP text, and a cell of a Markdown table. */
  readonly meaning: string
  /** When to wake someone, for docs/metrics.md. */
  readonly alert: string
  /** Upper bounds in seconds. */
  readonly buckets?: readonly number[]
}

/** A cached DEK answers in less than a millisecond; kube-apiserver gives up after 3 s. */
const REQUEST_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3]

/** From a local HSM to the whole of `retry.totalTimeout`. */
const BACKEND_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2.5]

/** What the plugin counts itself. */
export const ownMetrics = {
  requests: {
    name: 'kmsplugin_requests_total',
    type: 'counter',
    labels: ['api', 'operation', 'code'],
    meaning: 'Answered requests of kube-apiserver.',
    alert:
      '`increase(…{code="ERR_DECRYPTION_FAILED"}[15m]) > 0` or the same with `ERR_MALFORMED_ENVELOPE`, `ERR_KEY_UNKNOWN`: a stored value cannot be read. Any other code but `OK` for 5 minutes.',
  },
  requestSeconds: {
    name: 'kmsplugin_request_seconds',
    type: 'histogram',
    labels: ['api', 'operation'],
    meaning: 'Time from a request to its answer, in seconds.',
    alert: '99th percentile above 1 s for 5 minutes: kube-apiserver gives up after 3 s.',
    buckets: REQUEST_BUCKETS,
  },
  backendCalls: {
    name: 'kmsplugin_backend_calls_total',
    type: 'counter',
    labels: ['key', 'operation', 'code'],
    meaning: 'Calls to an HSM or KMS; each retry counts.',
    alert: 'More than 5 % with a code other than `OK` for 5 minutes.',
  },
  backendCallSeconds: {
    name: 'kmsplugin_backend_call_seconds',
    type: 'histogram',
    labels: ['key', 'operation'],
    meaning: 'Time of one call to an HSM or KMS, in seconds.',
    alert: '99th percentile above half of `retry.callTimeout` for 15 minutes.',
    buckets: BACKEND_BUCKETS,
  },
  dekCacheLookups: {
    name: 'kmsplugin_dek_cache_lookups_total',
    type: 'counter',
    labels: ['result'],
    meaning: 'Envelopes opened with a DEK that was at hand (`hit`) or had to be unwrapped first (`miss`).',
    alert:
      'None. Many misses long after a start: raise `envelope.dekCacheSize` or `envelope.dekCacheTimeout`.',
  },
  foreignDecrypts: {
    name: 'kmsplugin_foreign_decrypts_total',
    type: 'counter',
    labels: ['format', 'code'],
    meaning: 'Decrypts of values that another plugin made, by the format that `decode` lists.',
    alert:
      'None while values are rewritten. No increase since every value was rewritten and every kube-apiserver was restarted: take the format out of `decode`.',
  },
  foreignLastDecrypt: {
    name: 'kmsplugin_foreign_last_decrypt_timestamp_seconds',
    type: 'gauge',
    labels: ['format'],
    meaning:
      'When a value of that format was last asked for, in seconds since 1970; 0: not since the plugin started.',
    alert: 'None: `time() - …` says for how long the format was not needed.',
  },
  dekCacheSize: {
    name: 'kmsplugin_dek_cache_size',
    type: 'gauge',
    labels: [],
    meaning: 'Unwrapped DEKs that are held for opening.',
    alert: 'None. Always at `envelope.dekCacheSize`: the cache is too small.',
  },
  dekSeals: {
    name: 'kmsplugin_dek_seals',
    type: 'gauge',
    labels: [],
    meaning: 'Values that the current sealing DEK has sealed.',
    alert: 'None. It stays below `envelope.dekMaxSeals`.',
  },
  dekRenewals: {
    name: 'kmsplugin_dek_renewals_total',
    type: 'counter',
    labels: ['key'],
    meaning: 'Sealing DEKs that were wrapped, verified and published.',
    alert:
      'Far more than one in `envelope.dekMaxAge` with `envelope.dek: reused`: someone seals without end.',
  },
  probes: {
    name: 'kmsplugin_probe_total',
    type: 'counter',
    labels: ['key', 'outcome'],
    meaning: 'Background probes of a key by what they found.',
    alert: 'None: see the next two.',
  },
  probeHealthy: {
    name: 'kmsplugin_probe_healthy',
    type: 'gauge',
    labels: ['key'],
    meaning: 'Whether the last probe of the key succeeded: 1 or 0.',
    alert:
      '0 for 2 minutes. Of the primary: soon nothing new can be sealed. Of another key: its old values cannot be read.',
  },
  probeTimestamp: {
    name: 'kmsplugin_probe_last_timestamp_seconds',
    type: 'gauge',
    labels: ['key'],
    meaning: 'When the last probe of the key ended, in seconds since 1970.',
    alert: '`time() - …` above four times `health.probeInterval`.',
  },
  keyIdHash: {
    name: 'kmsplugin_key_id_hash_info',
    type: 'gauge',
    labels: ['key_id_hash'],
    meaning:
      'Always 1. The label is SHA-256 of the key id that Status reports, as in the metrics of kube-apiserver (`apiserver_envelope_encryption_key_id_hash_total`).',
    alert: 'Two values over all nodes for 15 minutes: a rotation stopped half way.',
  },
  hsmChildRestarts: {
    name: 'kmsplugin_hsm_child_restarts_total',
    type: 'counter',
    labels: ['key'],
    meaning: 'How often the process that holds the PKCS#11 module was replaced.',
    alert: 'More than 3 in 10 minutes: the module hangs or crashes.',
  },
  hsmTokenUp: {
    name: 'kmsplugin_hsm_token_up',
    type: 'gauge',
    labels: ['key', 'token'],
    meaning:
      'Whether a token of a key with several `tokens` is asked (1), or is set aside or has not answered yet (0).',
    alert: '0 for 5 minutes: the other tokens do its work. The log says why it was set aside.',
  },
  credentialExpiry: {
    name: 'kmsplugin_credential_expiry_timestamp_seconds',
    type: 'gauge',
    labels: ['key'],
    meaning:
      'When the token ends with which a KMS lets us in, in seconds since 1970; absent for one without end, and for backends other than `vault`.',
    alert: '`… - time() < 60` for 5 minutes: it is neither renewed nor replaced. The log says why.',
  },
  credentialReplacements: {
    name: 'kmsplugin_credential_replacements_total',
    type: 'counter',
    labels: ['key', 'how'],
    meaning: 'Tokens with which a KMS lets us in that were obtained (`login`) or prolonged (`renewal`).',
    alert: 'More than 10 of `login` in 10 minutes: tokens are refused soon after they are given.',
  },
  buildInfo: {
    name: 'kmsplugin_build_info',
    type: 'gauge',
    labels: ['version', 'node'],
    meaning: 'Always 1. The labels are the versions of the plugin and of Node.js.',
    alert: 'None.',
  },
  logLinesDropped: {
    name: 'kmsplugin_log_lines_dropped_total',
    type: 'counter',
    labels: [],
    meaning: 'Log lines that were lost because the reader of stderr is stuck or gone, or the disk is full.',
    alert: 'Any increase: the log has holes.',
  },
} as const satisfies Record<string, MetricRow>

/**
 * What prom-client's default metrics tell that matters here, under the prefix of the plugin, so that one pattern
 * finds everything and no other exporter's `process_…` collides. The rest of the defaults is not exported.
 *
 * `lag_seconds` comes before its `max` and `p99`: prom-client measures all three when the first is read.
 */
export const processMetrics = [
  {
    name: 'kmsplugin_process_resident_memory_bytes',
    type: 'gauge',
    labels: [],
    meaning: 'Resident memory size in bytes.',
    alert: 'Above 80 % of the memory limit, or growing for a day.',
  },
  {
    name: 'kmsplugin_process_open_fds',
    type: 'gauge',
    labels: [],
    meaning: 'Number of open file descriptors.',
    alert: 'Above 80 % of the next.',
  },
  {
    name: 'kmsplugin_process_max_fds',
    type: 'gauge',
    labels: [],
    meaning: 'Maximum number of open file descriptors.',
    alert: 'None.',
  },
  {
    name: 'kmsplugin_process_start_time_seconds',
    type: 'gauge',
    labels: [],
    meaning: 'Start time of the process since unix epoch in seconds.',
    alert: 'More than 3 changes in 10 minutes: it crashes.',
  },
  {
    name: 'kmsplugin_nodejs_eventloop_lag_seconds',
    type: 'gauge',
    labels: [],
    meaning: 'Lag of event loop in seconds.',
    alert: 'None: it is one sample, taken after the scrape before.',
  },
  {
    name: 'kmsplugin_nodejs_eventloop_lag_max_seconds',
    type: 'gauge',
    labels: [],
    meaning: 'The maximum recorded event loop delay.',
    alert:
      'Above 0.5 in three scrapes in a row: requests wait for the processor. Some 0.01 of it is the clock.',
  },
  {
    name: 'kmsplugin_nodejs_eventloop_lag_p99_seconds',
    type: 'gauge',
    labels: [],
    meaning: 'The 99th percentile of the recorded event loop delays.',
    alert: 'Above 0.1 for 15 minutes.',
  },
] as const satisfies readonly MetricRow[]

/** Every metric of /metrics, in its order there. */
export const metricRows: readonly MetricRow[] = [...Object.values(ownMetrics), ...processMetrics]
