/** What does docs/metrics.md say? The table of metrics as Markdown. */
import type { MetricRow } from './metrics_table.js'
import type { PeerRow } from './peer_metrics/peer.js'

/** One table of metrics under the names of another plugin. */
export interface PeerTable {
  readonly name: string
  readonly rows: readonly PeerRow[]
}

/** The whole file, ending in a newline; the same rows always give the same text. */
export function metricsDocument(rows: readonly MetricRow[], peers: readonly PeerTable[]): string {
  const own = table(
    ['Name', 'Type', 'Labels', 'Meaning', 'Alert'],
    rows.map((row) => [...cellsOf(row), row.alert]),
  )
  const others = peers.map(({ name, rows: theirs }) => {
    return `### ${name}\n\n${table(['Name', 'Type', 'Labels', 'Meaning'], theirs.map(cellsOf))}`
  })
  return [HEAD + '\n' + own, LABELS, PEERS, ...others].join('\n\n') + '\n'
}

const HEAD = `# Metrics

\`GET /metrics\` on \`health.address\` answers in the text format of Prometheus. This file is made from
\`src/adapters/observability/metrics_table.ts\`; a test compares both with what the program exports.
`

const LABELS = `## Labels

- \`api\`: \`v1\` or \`v2\`, the version of the KMS API.
- \`operation\`: of a request \`encrypt\`, \`decrypt\`, \`status\` (v2) or \`version\` (v1); of a call to a backend \`wrap\`,
  \`unwrap\` or \`currentKeyId\`.
- \`code\`, \`outcome\`: \`OK\` or a code of [errors.md](errors.md). An operation of \`kmsplugin_requests_total\` shows every code
  from its first request on, at 0, so that \`increase()\` sees the first failure.
- \`key\`: a name under \`keys\` of the config file.
- \`token\`: its place in the list \`tokens\`, from 0, and its label, serial number or slot: \`0:k8s-a\`.
- \`result\`: \`hit\` or \`miss\`.
- \`how\`: \`login\` or \`renewal\`.
- \`key_id_hash\`: \`sha256:\` and 64 hexadecimal digits.

In the alerts, \`…\` stands for the metric of the row.`

const PEERS = `## Metrics of other plugins

With \`health.metricsOf\` naming a plugin that was replaced, these are exported beside ours, with its names, types, labels
and buckets, so that its dashboards and alerts go on. What they can tell is what ours tell; new alerts are better written on
ours. Not there: the metrics of the Go runtime.`

function cellsOf({ name, type, labels, meaning }: PeerRow): string[] {
  return [code(name), type, labels.map(code).join(', '), meaning]
}

/** Columns as wide as their widest cell, as the formatter wants them. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  const lines = cells.map((row) => line(row.map((cell, column) => cell.padEnd(widths[column] ?? 0))))
  const rule = line(widths.map((width) => '-'.repeat(width)))
  return [lines[0], rule, ...lines.slice(1)].join('\n')
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

function code(text: string): string {
  return `\`${text}\``
}
