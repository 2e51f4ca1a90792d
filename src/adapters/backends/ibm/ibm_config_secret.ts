/** Which API key stands in the config file of IBM's plug-in? It is the one literal secret that is read from a config file. */
import { isAlias, isNode, Lexer, parseDocument, Parser, visit, type Document } from 'yaml'
import { KmsError } from '../../../ports/errors.js'
import { readTrustedFile } from '../remote/trusted_file.js'

const WHAT = 'the API key of IBM Cloud'
const KEY = 'SERVER_CONFIG.API_KEY'

/** The file has three short mappings. */
const MAX_FILE_BYTES = 65_536
const MAX_DEPTH = 32

/**
 * The text at `SERVER_CONFIG.API_KEY`, without white space around it.
 *
 * @throws {KmsError} `ERR_CONFIG_INVALID`: a file that others may use or that is no such YAML (core schema, no aliases,
 * no tags), or no text of one line there. The message never quotes the file.
 */
export async function readIbmConfigApiKey(path: string): Promise<string> {
  const refused = (why: string) => new KmsError('ERR_CONFIG_INVALID', `${WHAT} in ${path} ${why}`)
  const bytes = await readTrustedFile(path, WHAT, 'us')
  const isTooLong = bytes.length > MAX_FILE_BYTES
  const text = isTooLong ? '' : bytes.toString('utf8')
  bytes.fill(0)
  if (isTooLong) throw refused(`cannot be read: the file has more than ${MAX_FILE_BYTES} bytes`)
  if (isTooDeep(text)) throw refused(`cannot be read: the file is nested deeper than ${MAX_DEPTH} levels`)
  const document = parse(text)
  // The texts of the library quote the line.
  if (document.errors.length > 0 || document.warnings.length > 0 || hasForbiddenNodes(document)) {
    throw refused('cannot be read: the file is no plain YAML; aliases and tags are not taken')
  }
  const value = document.getIn(KEY.split('.'))
  if (value === undefined) throw refused(`is not there: the file has no ${KEY}`)
  const apiKey = typeof value === 'string' ? value.trim() : ''
  if (apiKey === '' || /[\p{Cc}\ufffd]/u.test(apiKey)) {
    throw refused(`must be one line of text in quotes at ${KEY}`)
  }
  return apiKey
}

function parse(text: string): Document.Parsed {
  return parseDocument(text, {
    version: '1.2',
    schema: 'core',
    merge: false,
    resolveKnownTags: false,
    stringKeys: true,
    uniqueKeys: true,
    prettyErrors: false,
  })
}

/** Before anything recurses into the collections. */
function isTooDeep(text: string): boolean {
  const parser = new Parser()
  for (const lexeme of new Lexer().lex(text)) {
    // The tokens themselves are not wanted: the generator runs for its stack.
    Array.from(parser.next(lexeme))
    if (parser.stack.length > MAX_DEPTH) return true
  }
  return false
}

function hasForbiddenNodes(document: Document.Parsed): boolean {
  let found = false
  visit(document, {
    Node: (_key, node) => {
      if (isAlias(node) || (isNode(node) && node.tag !== undefined)) found = true
    },
  })
  return found
}
