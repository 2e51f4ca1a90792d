/** What does a command line of another plugin become, without any file, backend or process? */
import type { PeerFlag } from '../../../../src/adapters/cli/peers/flag.js'
import type { Peer } from '../../../../src/adapters/cli/peers/peer.js'
import { scan } from '../../../../src/adapters/cli/peers/scan.js'
import { translate, type Root } from '../../../../src/adapters/cli/peers/translate.js'

export interface SaidByFlags {
  /** One for each key. */
  readonly roots: readonly Root[]
  /** `flag: text` of each. */
  readonly problems: readonly string[]
  readonly notices: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

export function said(
  peer: Peer,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): SaidByFlags {
  const { documents, problems, notices, env: added } = translate(peer, scan(argv, peer.rows, peer.style), env)
  const line = ({ path, text }: { path: string; text: string }) => `${path}: ${text}`
  return {
    roots: documents.map(({ root }) => root),
    problems: problems.map(line),
    notices: notices.map(line),
    env: added,
  }
}

/** What stands at a dotted path of the first document; `key.` is its entry under `keys`. */
export function at({ roots: [root = {}] }: SaidByFlags, path: string): unknown {
  const dotted = path.replace(/^key\./, `keys.${String(root['primary'])}.`)
  return dotted.split('.').reduce<unknown>((here, name) => {
    if (typeof here !== 'object' || here === null) return undefined
    return (here as Readonly<Record<string, unknown>>)[name]
  }, root)
}

/** How a message names the row. */
export function shown({ name, env: [variable = ''] = [] }: PeerFlag, { style: { dash } }: Peer): string {
  return name === undefined ? variable : `${dash}${name}`
}
