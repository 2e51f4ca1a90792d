/** The command line: which command was asked for, and with which exit code does it end? */
import { basename } from 'node:path'
import { asKmsError } from '../../ports/errors.js'
import { parseArguments, suggestion, UsageError, type Arguments } from './arguments.js'
import { check } from './check.js'
import type { CliIo, CliServices, Command, Invocation } from './command.js'
import { config } from './config.js'
import { EXIT, exitCodeOf } from './exit_codes.js'
import { inspect } from './inspect.js'
import { keygen } from './keygen.js'
import { peerCommands } from './peers/index.js'
import { serve } from './serve.js'
import { status } from './status.js'
import { oneLine } from './text.js'
import { commandHelp, generalHelp } from './usage.js'

export type { CliIo, CliServices, Served } from './command.js'

/** Every command, in the order of the help. */
export const commands: readonly Command[] = [serve, check, status, keygen, inspect, config, ...peerCommands]

/**
 * The command line of a call of `program`: a link that has the name of another plugin, as the pods of that plugin
 * call it, stands for the command of that name. So does the path of its program as the first argument: pods hand it to
 * the launcher that starts the image of aws-encryption-provider.
 *
 * @param program The path by which the program was called.
 */
export function calledBy(program: string, argv: readonly string[]): readonly string[] {
  const name = foreignName(program)
  if (name !== undefined) return [name, ...argv]
  const [first = '', ...rest] = argv
  const handed = first.startsWith('/') ? foreignName(first) : undefined
  return handed === undefined ? argv : [handed, ...rest]
}

function foreignName(path: string): string | undefined {
  const name = basename(path)
  return commands.find((command) => command.foreign !== undefined && command.name === name)?.name
}

/**
 * Runs one command. Never rejects: whatever goes wrong is one line on stderr and an exit code.
 *
 * @param argv The arguments behind the program's name.
 * @returns The exit code; the caller ends the process once stdout is written.
 */
export async function runCli(argv: readonly string[], io: CliIo, services: CliServices): Promise<number> {
  const [name, ...rest] = argv
  const command = commands.find((candidate) => candidate.name === name)
  let invocation: Invocation | undefined
  try {
    if (command === undefined) return withoutCommand(name, io, services)
    const args = argumentsOf(command, rest)
    if (args.help) return told(io, commandHelp(command))
    if (args.version) return told(io, versionText(services))
    invocation = { args, io, services, debug: false }
    return await command.run(invocation)
  } catch (thrown) {
    if (thrown instanceof UsageError) return misused(io, thrown, command)
    return failed(io, thrown, invocation?.debug ?? false)
  }
}

function argumentsOf({ foreign, flags, maxWords }: Command, argv: readonly string[]): Arguments {
  if (foreign !== undefined) return foreign.parse(argv)
  return parseArguments(
    argv,
    flags.map(([flag]) => flag),
    maxWords,
  )
}

function withoutCommand(word: string | undefined, io: CliIo, services: CliServices): number {
  if (word === '--help' || word === '-h') return told(io, generalHelp(commands))
  if (word === '--version') return told(io, versionText(services))
  if (word === undefined) throw new UsageError('a command is missing')
  if (word.startsWith('-')) throw new UsageError(`${JSON.stringify(word)} stands before a command`)
  const near = suggestion(
    word,
    commands.map(({ name }) => name),
  )
  throw new UsageError(`unknown command ${JSON.stringify(word)}${near}`)
}

function misused(io: CliIo, error: UsageError, command: Command | undefined): number {
  const help = command === undefined ? 'kmsplugin --help' : `kmsplugin ${command.name} --help`
  io.stderr(`kmsplugin: ${oneLine(error.message)}\nTry ${help}\n`)
  return EXIT.usage
}

function failed(io: CliIo, thrown: unknown, debug: boolean): number {
  const error = asKmsError(thrown)
  io.stderr(`kmsplugin: ${oneLine(error.message)} (${error.code})\n`)
  const exitCode = exitCodeOf(error)
  if (exitCode === EXIT.internal && debug && thrown instanceof Error) {
    for (const line of (thrown.stack ?? '').split('\n')) io.stderr(`${oneLine(line)}\n`)
  }
  return exitCode
}

function versionText({ version }: CliServices): string {
  return `kmsplugin ${version}\n`
}

function told(io: CliIo, text: string): number {
  io.stdout(text)
  return EXIT.ok
}
