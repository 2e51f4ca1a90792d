/** What do the rows of a table say of one key, and what is to be told of them? */
import type { ConfigProblem } from '../../../ports/config.js'
import type { PeerFlag, Values } from './flag.js'
import { nameOf, type Given, type Table } from './given.js'
import type { Peer } from './peer.js'

/** A row that counts for this key. */
export interface ReadRow {
  readonly row: PeerFlag
  readonly given: Given | undefined
}

export interface ReadTable {
  /** By dotted paths; of several rows for one path the first that was given counts, else the first. */
  readonly values: Values
  readonly rows: readonly ReadRow[]
  readonly problems: readonly ConfigProblem[]
  readonly notices: readonly ConfigProblem[]
  readonly env: Readonly<Record<string, string>>
}

/** @param index Of the key, where there are several. */
export function readRows(peer: Peer, table: Table, mode: string, index: number): ReadTable {
  const counting = table
    .filter(([{ only }]) => only === undefined || only === mode)
    .map(([row, given]) => ({ row, given: ofKey(row, given, index) }))
  const values: Record<string, unknown> = {}
  const problems: ConfigProblem[] = []
  const notices: ConfigProblem[] = elsewhere(peer, table, mode)
  const env: Record<string, string> = {}
  const sayingFirst = counting.toSorted(
    (a, b) => Number(b.given !== undefined) - Number(a.given !== undefined),
  )
  for (const { row, given } of sayingFirst) {
    const text = textOf(row, given)
    const path = given?.spelled ?? nameOf(row, peer.style)
    if (text === undefined) {
      if (row.required !== undefined) problems.push({ path, text: row.required })
      continue
    }
    const secret = row.kind === 'secret' ? hidden(row, given, env) : undefined
    try {
      const { values: said = {}, notice = secret?.notice } = row.read(secret?.reference ?? text, mode)
      for (const [name, value] of Object.entries(said)) values[name] ??= value
      if (notice !== undefined) notices.push({ path, text: notice })
    } catch (thrown) {
      problems.push({ path, text: thrown instanceof Error ? thrown.message : 'cannot be read' })
    }
  }
  return { values, rows: counting, problems, notices, env }
}

/** The value for one key. */
function ofKey({ kind }: PeerFlag, given: Given | undefined, index: number): Given | undefined {
  if (given === undefined || (kind !== 'list' && kind !== 'repeated')) return given
  const text = given.texts[index]
  return text === undefined ? undefined : { ...given, texts: [text] }
}

/** An empty value is none. */
function textOf({ fallback, keepsOurs }: PeerFlag, given: Given | undefined): string | undefined {
  const text = given?.texts.at(-1) ?? ''
  if (text !== '') return text
  return keepsOurs === true ? undefined : fallback
}

/** What was given and does not count in this mode. */
function elsewhere({ mode: deciding, style }: Peer, table: Table, mode: string): ConfigProblem[] {
  if (deciding === undefined || !deciding.values.includes(mode)) return []
  return table.flatMap(([{ only }, given]) => {
    if (given === undefined || only === undefined || only === mode) return []
    return [{ path: given.spelled, text: `has no effect with ${style.dash}${deciding.flag} ${mode}` }]
  })
}

/** The reference that stands for a secret; one from the command line is put where that reference leads. */
function hidden(
  row: PeerFlag,
  given: Given | undefined,
  env: Record<string, string>,
): { reference: string; notice?: string } {
  if (given?.from === 'env') return { reference: `env:${given.spelled}` }
  const [variable = ''] = row.env ?? []
  env[variable] = given?.texts.at(-1) ?? ''
  const notice = `stands on the command line, where everybody on the node can read it (ps): set ${variable} in the environment, or use a configuration with file:`
  return { reference: `env:${variable}`, notice }
}
