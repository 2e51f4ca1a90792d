/** How far does a field reach that nobody here knows? A later version of the API may send some. */
import { MalformedError, type Reader } from './reader.js'
import { FIXED32, FIXED64, GROUP_START, LENGTH_DELIMITED, VARINT } from './tags.js'

/** How many groups may stand in each other, as in Google's C++ and Java. */
export const GROUPS_MAX = 100

/** Passes over the value behind `tag`. @throws {MalformedError} */
export function skipField(reader: Reader, tag: number, openGroups = 0): void {
  switch (tag % 8) {
    case VARINT:
      reader.varint()
      return
    case FIXED64:
      reader.pass(8)
      return
    case LENGTH_DELIMITED:
      reader.pass(reader.varint())
      return
    case GROUP_START:
      skipGroup(reader, tag, openGroups + 1)
      return
    case FIXED32:
      reader.pass(4)
      return
    default:
      throw new MalformedError('a group ends that did not begin, or a wire type is not defined')
  }
}

function skipGroup(reader: Reader, startTag: number, openGroups: number): void {
  if (openGroups > GROUPS_MAX) throw new MalformedError('groups stand too deep in each other')
  // The end of a group has the number of its start, and the wire type after it.
  for (let tag = reader.tag(); tag !== startTag + 1; tag = reader.tag()) skipField(reader, tag, openGroups)
}
