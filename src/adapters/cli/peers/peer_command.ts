/** `kmsplugin <other plugin> FLAGS…`: runs in the place of that plugin. */
import type { Config, ConfigProblem, ConfigSource } from '../../../ports/config.js'
import type { Arguments } from '../arguments.js'
import type { Command, Invocation } from '../command.js'
import { EXIT } from '../exit_codes.js'
import { lineAbout } from '../load_config.js'
import type { PeerFlag } from './flag.js'
import { nameOf } from './given.js'
import type { Peer } from './peer.js'
import { printed } from './print.js'
import { settingsOf } from './reference.js'
import { scan } from './scan.js'
import { translate, type Document } from './translate.js'
import { wrapped } from './wrapped.js'

export function peerCommand(peer: Peer): Command {
  return {
    name: peer.name,
    synopsis: 'FLAGS…',
    summary: peer.summary,
    description:
      'Takes the flags and variables of that plugin, with one dash or two, and serves on its socket; what\n' +
      'it stored is read. docs/peers.md has the table, and what differs.\n' +
      'Exit codes: 0 stopped as asked, 64 a flag that does not exist, 69 a socket is in use, 78 a value\n' +
      'that is wrong or refused.',
    examples: [
      `kmsplugin ${peer.name} \\\n    ${peer.example}`,
      `kmsplugin ${peer.name} --print-config FLAGS…`,
    ],
    flags: [],
    maxWords: 0,
    foreign: { parse: (argv) => parse(peer, argv), help: () => help(peer) },
    run: async (invocation) => run(peer, invocation),
  }
}

function parse(peer: Peer, argv: readonly string[]): Arguments {
  const { help, version } = scan(argv, peer.rows, peer.style)
  return { words: argv, json: false, help, version }
}

async function run(peer: Peer, invocation: Invocation): Promise<number> {
  const { args, io, services } = invocation
  const scanned = scan(args.words, peer.rows, peer.style)
  const { documents, notices, env, ...translation } = translate(peer, scanned, io.env)
  const source = await services.configSource()
  const read = await readAll(source, documents, translation.problems)
  const [first, ...others] = read.configs
  if (read.problems.length > 0 || first === undefined) {
    for (const problem of read.problems) io.stderr(`${lineAbout(peer.name, problem)}\n`)
    return EXIT.config
  }
  if (scanned.printConfig) {
    for (const notice of notices) io.stderr(`${lineAbout(peer.name, notice, ['warning'])}\n`)
    const yaml = [first, ...others].map((config) => source.print(config))
    io.stdout(printed(peer.name, yaml, Object.keys(env)))
    return EXIT.ok
  }
  invocation.debug = first.log.level === 'debug'
  return services.serve({ configs: [first, ...others], origin: peer.name, notices, env })
}

/** @param told What is known to be wrong already: nothing more is said of the same flag. */
async function readAll(
  source: ConfigSource,
  documents: readonly Document[],
  told: readonly ConfigProblem[],
): Promise<{ configs: readonly Config[]; problems: readonly ConfigProblem[] }> {
  const results = await Promise.all(documents.map(async ({ root, placeOf }) => source.read(root, placeOf)))
  const found = results.flatMap(({ problems }) => problems)
  const more = found.filter(({ path }) => !told.some((problem) => problem.path === path))
  const problems = new Map([...told, ...more].map((problem) => [`${problem.path} ${problem.text}`, problem]))
  const configs = results.flatMap((result) => ('config' in result ? [result.config] : []))
  return { configs, problems: [...problems.values()] }
}

const COLUMNS = 92

function help(peer: Peer): string {
  const { dash } = peer.style
  const lines = [
    'Flags (in brackets the variables and the default; `=>` what it becomes):',
    ...peer.rows.flatMap((row) => rowHelp(row, peer)),
    `  ${dash}print-config`,
    '      print the same as a configuration of kmsplugin, and end',
    '  -h, --help, --version',
  ]
  return `${lines.join('\n')}\n`
}

function rowHelp(row: PeerFlag, peer: Peer): readonly string[] {
  const { env = [], name, fallback, meaning } = row
  const beside = [...(name === undefined ? [] : env), ...(fallback === undefined ? [] : [fallback])]
  const head = `${nameOf(row, peer.style)}${beside.length === 0 ? '' : ` [${beside.join(', ')}]`}`
  const settings = settingsOf(row, peer).join(', ')
  const said = [settings === '' ? '' : `=> ${settings}.`, meaning.replaceAll('`', '')].filter(
    (text) => text !== '',
  )
  return [
    ...wrapped(head, COLUMNS).map((line) => `  ${line}`),
    ...wrapped(said.join(' '), COLUMNS).map((line) => `      ${line}`),
  ]
}
