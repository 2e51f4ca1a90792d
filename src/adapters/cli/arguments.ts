/** Which flags are there, and what did the user pass to one command? */
import { parseArgs } from 'node:util'
import { closestMatch } from 'leven'

/** Every flag of the program; a command names those it takes. */
export const flags = {
  config: { type: 'string', value: 'FILE' },
  socket: { type: 'string', value: 'PATH' },
  key: { type: 'string', value: 'NAME' },
  json: { type: 'boolean', value: '' },
} as const satisfies Record<string, { type: 'string' | 'boolean'; value: string }>

export type FlagName = keyof typeof flags

export interface Arguments {
  /** What stands beside the flags, in order. */
  readonly words: readonly string[]
  readonly config?: string
  readonly socket?: string
  readonly key?: string
  readonly json: boolean
  readonly help: boolean
  readonly version: boolean
}

/** The command line cannot be understood. The message is one line, for the user. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Flags that every command takes. */
const everywhere = {
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const

/** @throws {UsageError} On an unknown flag, a missing or needless value, or more than `maxWords` words. */
export function parseArguments(
  argv: readonly string[],
  taken: readonly FlagName[],
  maxWords: number,
): Arguments {
  const options = {
    ...Object.fromEntries(taken.map((name) => [name, { type: flags[name].type }])),
    ...everywhere,
  }
  refuseUnknown(argv, options)
  const { values, positionals } = parseStrictly(argv, options)
  const surplus = positionals[maxWords]
  if (surplus !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(surplus)}`)
  return {
    words: positionals,
    ...textFlags(values),
    json: values['json'] === true,
    help: values['help'] === true,
    version: values['version'] === true,
  }
}

/** `; did you mean "<nearest>"?`, or nothing where no name is near. */
export function suggestion(word: string, names: readonly string[]): string {
  const nearest = closestMatch(word, names, { maxDistance: 2 })
  return nearest === undefined ? '' : `; did you mean "${nearest}"?`
}

type Options = Record<string, { type: 'string' | 'boolean'; short?: string }>
type Values = Record<string, string | boolean | (string | boolean)[] | undefined>

/** The strict parser names an unknown flag only in its prose, so the flags are looked at first. */
function refuseUnknown(argv: readonly string[], options: Options): void {
  const names = Object.keys(options)
  const shorts = Object.values(options).map(({ short }) => short)
  const { tokens } = parseArgs({
    args: [...argv],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  for (const token of tokens) {
    if (token.kind !== 'option' || names.includes(token.name) || shorts.includes(token.name)) continue
    const near = suggestion(
      `--${token.name}`,
      names.map((name) => `--${name}`),
    )
    throw new UsageError(`unknown flag ${JSON.stringify(token.rawName)}${near}`)
  }
}

function parseStrictly(
  argv: readonly string[],
  options: Options,
): { values: Values; positionals: readonly string[] } {
  try {
    return parseArgs({ args: [...argv], options, strict: true, allowPositionals: true })
  } catch (thrown) {
    // Node's first line says which flag lacks its value or has one too many.
    const [line] = thrown instanceof Error ? thrown.message.split('\n') : []
    throw new UsageError(line ?? 'the arguments cannot be parsed', { cause: thrown })
  }
}

/** An empty value, as of an unset variable in a script, is a mistake rather than a default. */
function textFlags(values: Values): { config?: string; socket?: string; key?: string } {
  const texts = Object.entries(values).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  )
  for (const [name, value] of texts) {
    if (value === '') throw new UsageError(`--${name} is empty`)
  }
  return Object.fromEntries(texts)
}
