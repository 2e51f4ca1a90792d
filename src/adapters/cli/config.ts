/** `kmsplugin config`: what does the configuration say? */
import { suggestion, UsageError } from './arguments.js'
import type { Command, Invocation } from './command.js'
import { EXIT } from './exit_codes.js'
import { configFlag, configPath, lineAbout, loadConfig } from './load_config.js'
import { json, oneLine } from './text.js'

const actions: ReadonlyMap<string, (invocation: Invocation) => Promise<number>> = new Map([
  ['print', print],
  ['validate', validate],
  ['schema', schema],
])

export const config: Command = {
  name: 'config',
  synopsis: 'print|validate|schema [--config FILE]',
  summary: 'show the effective configuration, check it, or print its JSON Schema',
  description:
    'print: the effective configuration as YAML, every default filled in, secrets masked. A file in the\n' +
    'layout of the IBM KMS plug-in is printed in our own.\n' +
    'validate: every mistake at once, as file:line: path: text; also warnings, which leave it valid.\n' +
    'schema: JSON Schema (draft 2020-12) of our own layout, for editors.\n' +
    'Exit codes: 0 valid, 78 configuration invalid.',
  examples: [
    'kmsplugin config print',
    'kmsplugin config validate --config ./kmsplugin-config.yaml',
    'kmsplugin config schema > kmsplugin-config.schema.json',
  ],
  flags: [configFlag],
  maxWords: 1,
  async run(invocation) {
    const names = [...actions.keys()]
    const [word] = invocation.args.words
    if (word === undefined) throw new UsageError(`config needs one of ${names.join(', ')}`)
    const action = actions.get(word)
    if (action === undefined) {
      throw new UsageError(`unknown action ${JSON.stringify(word)}${suggestion(word, names)}`)
    }
    return action(invocation)
  },
}

async function print(invocation: Invocation): Promise<number> {
  const loaded = await loadConfig(invocation)
  if (loaded === undefined) return EXIT.config
  const source = await invocation.services.configSource()
  const yaml = source.print(loaded.config)
  invocation.io.stdout(yaml.endsWith('\n') ? yaml : `${yaml}\n`)
  return EXIT.ok
}

async function validate(invocation: Invocation): Promise<number> {
  const loaded = await loadConfig(invocation)
  if (loaded === undefined) return EXIT.config
  const { io } = invocation
  const file = configPath(invocation)
  for (const notice of loaded.notices) io.stderr(`${lineAbout(file, notice, ['warning'])}\n`)
  io.stdout(`${oneLine(file)}: valid\n`)
  return EXIT.ok
}

async function schema(invocation: Invocation): Promise<number> {
  const source = await invocation.services.configSource()
  invocation.io.stdout(json(await source.schema()))
  return EXIT.ok
}
