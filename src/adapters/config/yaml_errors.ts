/**
 * What does an error of the YAML parser say to an operator? A table of our own: the parser's messages quote the file,
 * and a file may hold a secret in the wrong place.
 */
import type { ErrorCode } from 'yaml'

export const yamlErrorTexts = {
  ALIAS_PROPS: 'aliases (*name) are not allowed; repeat the value',
  BAD_ALIAS: 'aliases (*name) are not allowed; repeat the value',
  BAD_COLLECTION_TYPE: 'a tag and its value do not fit; remove the tag',
  BAD_DIRECTIVE: 'lines that begin with % are not allowed; remove the line',
  BAD_DQ_ESCAPE: 'this \\ escape does not exist in double quotes; use single quotes or \\\\',
  BAD_INDENT: 'the indentation does not fit the lines around it',
  BAD_PROP_ORDER: 'an anchor or tag stands in the wrong place; remove it',
  BAD_SCALAR_START: 'a value cannot begin with @ or `; put it in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'a second "key: value" on one line; put it on its own line, or quote the value',
  BLOCK_IN_FLOW: 'an indented block cannot stand inside [ ] or { }',
  DUPLICATE_KEY: 'this key occurs twice; keep one',
  IMPOSSIBLE: 'not readable as YAML',
  KEY_OVER_1024_CHARS: 'a key is longer than 1,024 characters; a line break or a quote is missing',
  MISSING_CHAR: 'a character is missing: a closing quote, bracket or comma, or the colon after a key',
  MULTILINE_IMPLICIT_KEY: 'a key runs over several lines; a closing quote or a colon is missing',
  MULTIPLE_ANCHORS: 'an anchor stands in the wrong place; remove it',
  MULTIPLE_DOCS: 'a second document begins here; the file holds one, so remove the line of dashes',
  MULTIPLE_TAGS: 'a tag stands in the wrong place; remove it',
  NON_STRING_KEY: 'a list or mapping cannot be a key; a { or [ may need quotes',
  RESOURCE_EXHAUSTION: 'nested too deeply',
  TAB_AS_INDENT: 'a tab cannot indent; use spaces',
  TAG_RESOLVE_FAILED: 'tags (!name) are not allowed; remove it, or quote a value that begins with !',
  UNEXPECTED_TOKEN:
    'something stands here that YAML does not expect; quote the value if it has special characters',
} as const satisfies Record<ErrorCode, string>
