/** Which configuration does a command use, and what does the user hear when it is wrong? */
import type { Config, ConfigProblem } from '../../ports/config.js'
import type { Invocation } from './command.js'
import { oneLine } from './text.js'

const DEFAULT_CONFIG = '/etc/kmsplugin/kmsplugin-config.yaml'

/** The flag of every command that cannot do without a configuration. */
export const configFlag = [
  'config',
  `configuration; default: $KMSPLUGIN_CONFIG, else ${DEFAULT_CONFIG}`,
] as const

/** The file that was asked for by flag or environment; `undefined` when nobody asked for one. */
export function chosenConfig({ args, io }: Invocation): string | undefined {
  const fromEnv = io.env['KMSPLUGIN_CONFIG']
  return args.config ?? (fromEnv === '' ? undefined : fromEnv)
}

/** The file that {@link loadConfig} reads. */
export function configPath(invocation: Invocation): string {
  return chosenConfig(invocation) ?? DEFAULT_CONFIG
}

export interface LoadedConfig {
  readonly config: Config
  readonly notices: readonly ConfigProblem[]
}

/** @returns `undefined` after every problem was told on stderr; the command then exits with `EXIT.config`. */
export async function loadConfig(invocation: Invocation): Promise<LoadedConfig | undefined> {
  const { loaded, problems } = await readConfig(invocation)
  for (const problem of problems) invocation.io.stderr(`${problem}\n`)
  return loaded
}

/** Loads without telling anyone; problems are lines such as `file:line: path: text`. */
export async function readConfig(
  invocation: Invocation,
): Promise<{ loaded: LoadedConfig | undefined; problems: readonly string[] }> {
  const file = configPath(invocation)
  const source = await invocation.services.configSource()
  const result = await source.load(file)
  if (!('config' in result)) {
    return { loaded: undefined, problems: result.problems.map((problem) => lineAbout(file, problem)) }
  }
  invocation.debug = result.config.log.level === 'debug' || result.config.log.level === 'trace'
  return { loaded: result, problems: [] }
}

/** @param words Between the place and the path, such as `warning`. */
export function lineAbout(
  file: string,
  { path, line, text }: ConfigProblem,
  words: readonly string[] = [],
): string {
  const place = line === undefined ? file : `${file}:${line}`
  return oneLine([place, ...words, ...(path === '' ? [] : [path]), text].join(': '))
}
