/** What do `--help` and a usage error print? */
import { flags } from './arguments.js'
import type { Command } from './command.js'
import { EXIT } from './exit_codes.js'
import { columns } from './text.js'

export function generalHelp(commands: readonly Command[]): string {
  return [
    'kmsplugin: Kubernetes KMS plugin. Seals what kube-apiserver gives it under a key that stays in an HSM or KMS.\n',
    `Usage:\n${indented(columns(commands.map(({ name, synopsis }) => [`kmsplugin ${name}`, synopsis])))}`,
    `Commands:\n${indented(columns(commands.map(({ name, summary }) => [name, summary])))}`,
    `Flags of every command:\n${indented(columns(everywhere))}`,
    `Exit codes:\n${indented(columns(exitCodes))}`,
    'Example:\n  kmsplugin check --config /etc/kmsplugin/kmsplugin-config.yaml\n',
  ].join('\n')
}

export function commandHelp(command: Command): string {
  const { foreign } = command
  const own = command.flags.map(([name, text]) => [`--${name} ${flags[name].value}`.trimEnd(), text])
  return [
    `kmsplugin ${command.name}: ${command.summary}\n`,
    `Usage:\n  kmsplugin ${command.name} ${command.synopsis}\n`,
    `${command.description}\n`,
    foreign === undefined ? `Flags:\n${indented(columns([...own, ...everywhere]))}` : foreign.help(),
    `Examples:\n${indented(command.examples.map((line) => `${line}\n`).join(''))}`,
  ].join('\n')
}

/** Flags of every command. */
export const everywhere = [
  ['-h, --help', 'this text'],
  ['--version', 'the version of the program'],
]

const exitCodes = [
  [String(EXIT.ok), 'ok'],
  [String(EXIT.problem), 'the command found a problem'],
  [String(EXIT.usage), 'wrong usage'],
  [String(EXIT.unavailable), 'backend, key or plugin unavailable'],
  [String(EXIT.internal), 'internal error'],
  [String(EXIT.config), 'configuration invalid'],
]

function indented(lines: string): string {
  return lines.replace(/^(?=.)/gm, '  ')
}
