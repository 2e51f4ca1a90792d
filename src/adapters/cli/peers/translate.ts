/** What does a whole command line of another plugin say in our layout, and which flag stands for which setting? */
import type { ConfigProblem } from '../../../ports/config.js'
import { givenOf, nameOf, type Env, type Table } from './given.js'
import type { Peer } from './peer.js'
import { readRows, type ReadRow } from './read_rows.js'
import type { Scanned } from './scan.js'

export type Root = Readonly<Record<string, unknown>>

export interface Document {
  /** What a file in our layout would hold. */
  readonly root: Root
  /** The flag behind a path of it. */
  readonly placeOf: (path: readonly string[]) => string | undefined
}

export interface Translation {
  /** One for each key. */
  readonly documents: readonly Document[]
  readonly problems: readonly ConfigProblem[]
  /** Each once. */
  readonly notices: readonly ConfigProblem[]
  /** Secrets of the command line, under the variables that the documents refer to. */
  readonly env: Readonly<Record<string, string>>
}

/** Two plugins would wait for each other. */
function socketProblems(peer: Peer, sockets: readonly unknown[]): ConfigProblem[] {
  if (peer.pairs === undefined || new Set(sockets).size === sockets.length) return []
  return [
    { path: `${peer.style.dash}${peer.pairs[1]}`, text: 'names one socket twice: each key needs its own' },
  ]
}

export function translate(peer: Peer, scanned: Scanned, env: Env): Translation {
  const table: Table = peer.rows.map((row) => [row, givenOf(row, scanned, env, peer.style)])
  const textOf = (flag: string) => table.find(([{ name }]) => name === flag)?.[1]?.texts.at(-1)
  const mode = modeOf(peer, textOf)
  const problems = [...modeProblems(peer, mode), ...conflictsOf(peer, textOf), ...pairProblems(peer, table)]
  // Without these there is no telling what the other flags would mean.
  if (problems.length > 0) return { documents: [], problems, notices: [], env: {} }
  const count = pairsOf(peer, table)
  const read = Array.from({ length: count }, (_, index) => readRows(peer, table, mode, index))
  return {
    documents: read.map(({ values, rows }, index) => {
      const key = peer.pairs === undefined ? peer.key : `${peer.key}-${index + 1}`
      const all = { ...peer.always(mode), ...values, ...(index > 0 ? { 'health.address': '' } : {}) }
      return {
        root: { ...nested(all, key), primary: key },
        placeOf: (path) => placeOf(path, key, rows, peer),
      }
    }),
    problems: unique([
      ...socketProblems(
        peer,
        read.map(({ values }) => values['server.socket']),
      ),
      ...read.flatMap((one) => one.problems),
    ]),
    notices: unique([
      ...ignoredWords(peer, scanned),
      ...read.flatMap(({ notices }) => notices),
      ...surplus(peer, table, count),
    ]),
    env: Object.assign({}, ...read.map((one) => one.env)) as Readonly<Record<string, string>>,
  }
}

type TextOf = (flag: string) => string | undefined

function modeOf({ mode }: Peer, textOf: TextOf): string {
  return mode === undefined ? '' : (textOf(mode.flag) ?? '').toLowerCase()
}

function modeProblems({ mode, style, rows }: Peer, given: string): ConfigProblem[] {
  if (mode === undefined || mode.values.includes(given)) return []
  const row = rows.find(({ name }) => name === mode.flag)
  const text = given === '' ? 'is missing; one of' : 'must be one of'
  return [{ path: row === undefined ? '' : nameOf(row, style), text: `${text} ${mode.values.join(', ')}` }]
}

function conflictsOf({ conflicts = [], style }: Peer, textOf: TextOf): ConfigProblem[] {
  return conflicts
    .filter(({ isThere }) => isThere(textOf))
    .map(({ flag, text }) => ({ path: `${style.dash}${flag}`, text }))
}

/** How many values a flag of a pair has. */
function countOf(table: Table, flag: string): number {
  const [row, given] = table.find(([{ name }]) => name === flag) ?? []
  return given === undefined ? (row?.fallback === undefined ? 0 : 1) : given.texts.length
}

function pairsOf({ pairs }: Peer, table: Table): number {
  return pairs === undefined ? 1 : countOf(table, pairs[0])
}

function pairProblems({ pairs, style: { dash } }: Peer, table: Table): ConfigProblem[] {
  if (pairs === undefined) return []
  const [keys, sockets] = pairs.map((flag) => countOf(table, flag))
  if (keys === 0) return [{ path: `${dash}${pairs[0]}`, text: 'is missing' }]
  if (keys === sockets) return []
  const text = `${keys} of them and ${sockets} of ${dash}${pairs[1]}: each needs one of the other`
  return [{ path: `${dash}${pairs[0]}`, text }]
}

/** A value more than there are keys. */
function surplus(peer: Peer, table: Table, count: number): ConfigProblem[] {
  return table
    .filter(([{ kind }, given]) => kind === 'repeated' && (given?.texts.length ?? 0) > count)
    .map(([row]) => ({
      path: nameOf(row, peer.style),
      text: `only the first ${count} count: there are no more keys`,
    }))
}

function ignoredWords({ name, style }: Peer, { firstIgnored }: Scanned): ConfigProblem[] {
  if (firstIgnored === undefined) return []
  const text = style.atWord === 'stops' ? 'this and what follows is ignored' : 'is ignored'
  return [{ path: `argument ${firstIgnored}`, text: `is no flag; ${text}, as ${name} does` }]
}

/** Dotted paths as mappings in one another, `key.` below `keys.<name>`. */
function nested(values: Readonly<Record<string, unknown>>, key: string): Root {
  const root: Record<string, unknown> = {}
  for (const [path, value] of Object.entries(values)) {
    const names = path.startsWith('key.') ? ['keys', key, ...path.split('.').slice(1)] : path.split('.')
    let here = root
    for (const name of names.slice(0, -1)) here = (here[name] ??= {}) as Record<string, unknown>
    here[names.at(-1) ?? ''] = value
  }
  return root
}

function placeOf(
  path: readonly string[],
  key: string,
  rows: readonly ReadRow[],
  { style }: Peer,
): string | undefined {
  const [section, name, ...inner] = path
  const dotted =
    section === 'keys' && name === key && inner.length > 0 ? ['key', ...inner].join('.') : path.join('.')
  const about = (becomes: string) => becomes === dotted || `${dotted}.`.startsWith(`${becomes}.`)
  const candidates = rows.filter(({ row }) => row.becomes.some(about))
  const inside = rows.filter(({ row }) => row.becomes.some((becomes) => becomes.startsWith(`${dotted}.`)))
  const best =
    [...candidates, ...inside].find(({ given }) => given !== undefined) ?? candidates[0] ?? inside[0]
  return best === undefined ? undefined : (best.given?.spelled ?? nameOf(best.row, style))
}

function unique(problems: readonly ConfigProblem[]): readonly ConfigProblem[] {
  return [...new Map(problems.map((problem) => [`${problem.path} ${problem.text}`, problem])).values()]
}
