/**
 * Which values does the YAML text hold, and on which lines?
 *
 * Rules: YAML 1.2 core schema, one document, unique keys, no aliases and no tags, bounded depth.
 */
import {
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  parseDocument,
  Parser,
  visit,
  type Document,
} from 'yaml'
import type { ConfigProblem } from '../../ports/config.js'
import { yamlErrorTexts } from './yaml_errors.js'

/** Deeper than any config needs; the parser recurses, and thousands of levels abort the process. */
const MAX_DEPTH = 32

export interface ParsedYaml {
  /** A plain object; values are whatever stood there. */
  readonly root: Readonly<Record<string, unknown>>
  /** 1-based line of a key or list item; `undefined` for what is not in the file. */
  lineOf(path: readonly string[]): number | undefined
}

export type YamlResult = { readonly parsed: ParsedYaml } | { readonly problems: readonly ConfigProblem[] }

export function parseYaml(text: string): YamlResult {
  if (isTooDeep(text)) return { problems: [{ path: '', text: `nested deeper than ${MAX_DEPTH} levels` }] }
  const lines = new LineCounter()
  const document = parseDocument(text, {
    version: '1.2',
    schema: 'core',
    merge: false,
    resolveKnownTags: false,
    stringKeys: true,
    uniqueKeys: true,
    prettyErrors: false,
    lineCounter: lines,
  })
  const problems = [...syntaxProblems(document, lines), ...forbiddenNodes(document, lines)]
  if (problems.length > 0) return { problems }
  if (!isMap(document.contents)) return { problems: [rootProblem(document)] }
  const root = document.toJS({ maxAliasCount: 0 }) as Readonly<Record<string, unknown>>
  return { parsed: { root, lineOf: (path) => lineOf(document, lines, path) } }
}

/** Counts the open collections as the text is read, before anything recurses into them. */
function isTooDeep(text: string): boolean {
  const parser = new Parser()
  for (const lexeme of new Lexer().lex(text)) {
    // The tokens themselves are not wanted: the generator runs for its stack.
    Array.from(parser.next(lexeme))
    if (parser.stack.length > MAX_DEPTH) return true
  }
  return false
}

function syntaxProblems(document: Document.Parsed, lines: LineCounter): ConfigProblem[] {
  return [...document.errors, ...document.warnings]
    .filter(({ code }) => code !== 'TAG_RESOLVE_FAILED') // Found below, with all other tags.
    .map(({ code, pos }) => ({ path: '', line: lines.linePos(pos[0]).line, text: yamlErrorTexts[code] }))
}

function forbiddenNodes(document: Document.Parsed, lines: LineCounter): ConfigProblem[] {
  const problems: ConfigProblem[] = []
  visit(document, {
    Node: (_key, node) => {
      const code = isAlias(node) ? 'BAD_ALIAS' : node.tag === undefined ? undefined : 'TAG_RESOLVE_FAILED'
      if (code === undefined) return
      const { line } = lines.linePos(node.range?.[0] ?? 0)
      problems.push({ path: '', line, text: yamlErrorTexts[code] })
    },
  })
  return problems
}

function rootProblem(document: Document.Parsed): ConfigProblem {
  const isEmpty =
    document.contents === null || (isScalar(document.contents) && document.contents.value === null)
  const text = isEmpty
    ? 'the file is empty; it needs "primary" and "keys"'
    : 'must be a mapping, such as "keys: …"'
  return { path: '', ...(isEmpty ? {} : { line: 1 }), text }
}

function lineOf(document: Document.Parsed, lines: LineCounter, path: readonly string[]): number | undefined {
  let node: unknown = document.contents
  let offset: number | undefined
  for (const name of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && key.value === name)
      offset = isNode(pair?.key) ? pair.key.range?.[0] : undefined
      node = pair?.value
    } else if (isSeq(node)) {
      node = node.items[Number(name)]
      offset = isNode(node) ? node.range?.[0] : undefined
    } else {
      return undefined
    }
    if (offset === undefined) return undefined
  }
  return offset === undefined ? undefined : lines.linePos(offset).line
}
