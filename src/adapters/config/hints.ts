/** What did the operator mean by this name? */
import { closestMatch } from 'leven'
import { shown } from './mistake.js'

/** The known name that `name` is a misspelling of, if one is near: case, `-` and `_` do not count. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const byPlainName = new Map(known.map((candidate) => [plain(candidate), candidate]))
  // Two letters swapped are a distance of 2; short names allow fewer slips, or anything would match.
  const maxDistance = 1 + Math.floor(name.length / 3)
  const match = closestMatch(plain(name.slice(0, 60)), [...byPlainName.keys()], { maxDistance })
  return match === undefined ? undefined : byPlainName.get(match)
}

/** The text for a key that does not exist at its place. */
export function unknownKey(name: string, known: readonly string[]): string {
  const near = nearest(name, known)
  const hint = near === undefined ? `known here: ${known.join(', ')}` : `did you mean "${near}"?`
  return `unknown key "${shown(name)}"; ${hint}`
}

function plain(name: string): string {
  return name.toLowerCase().replace(/[-_]/g, '')
}
