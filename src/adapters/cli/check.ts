/** `kmsplugin check`: would the plugin work here? */
import type { ConfigProblem } from '../../ports/config.js'
import type { Finding } from '../../ports/operations.js'
import type { Command } from './command.js'
import { EXIT } from './exit_codes.js'
import { configFlag, readConfig } from './load_config.js'
import { columns, json, jsonFlag } from './text.js'

/** How a level reads in a column that is looked over in a hurry. */
const levelText = { ok: 'ok', warning: 'warning', error: 'ERROR' } as const satisfies Record<
  Finding['level'],
  string
>

export const check: Command = {
  name: 'check',
  synopsis: '[--config FILE] [--json]',
  summary: 'look at everything that the plugin needs before it is started; changes nothing',
  description:
    'Looks at permissions and KEK attributes, and proves the primary key by wrapping and unwrapping a DEK.\n' +
    'One line per finding: ok, warning or ERROR, what was looked at, and what was found.\n' +
    'Exit codes: 0 no error found, 1 an error found, 78 configuration invalid.',
  examples: ['kmsplugin check --config /etc/kmsplugin/kmsplugin-config.yaml', 'kmsplugin check --json'],
  flags: [configFlag, jsonFlag],
  maxWords: 0,
  async run(invocation) {
    const { args, io, services } = invocation
    const { loaded, problems } = await readConfig(invocation)
    for (const problem of problems) io.stderr(`${problem}\n`)
    if (loaded === undefined) {
      if (args.json) io.stdout(report(problems.map((text) => ({ level: 'error', subject: 'config', text }))))
      return EXIT.config
    }
    const preflight = await services.preflight(loaded.config)
    const findings = [...loaded.notices.map(asFinding), ...(await preflight.run())]
    io.stdout(args.json ? report(findings) : asText(findings))
    return hasError(findings) ? EXIT.problem : EXIT.ok
  },
}

function asFinding({ path, line, text }: ConfigProblem): Finding {
  const place = line === undefined ? path : `${path}, line ${line}`
  return { level: 'warning', subject: 'config', text: `${place}: ${text}` }
}

function asText(findings: readonly Finding[]): string {
  const lines = columns(findings.map(({ level, subject, text }) => [levelText[level], subject, text]))
  return [lines, ...findings.map(evidenceTable)].join('')
}

/** The attributes behind a finding; empty where there are none. */
function evidenceTable({ subject, evidence = [] }: Finding): string {
  if (evidence.length === 0) return ''
  const rows = evidence.map(({ name, value, wanted, verdict }) => [name, value, wanted, verdict])
  return `\n${subject}\n${columns([['attribute', 'value', 'wanted', 'verdict'], ...rows])}`
}

function report(findings: readonly Finding[]): string {
  return json({ ok: !hasError(findings), findings })
}

function hasError(findings: readonly Finding[]): boolean {
  return findings.some(({ level }) => level === 'error')
}
