/** What is another plugin, seen as its command line? */
import type { PeerFlag, Values } from './flag.js'
import type { GoStyle } from './scan.js'

export interface Peer {
  /** Of the command, and of its program. */
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** Where it is from, for the reference. */
  readonly home: string
  readonly style: GoStyle
  readonly rows: readonly PeerFlag[]
  /** The name under `keys`; where there may be several, the first of `aws-1`, `aws-2`, … */
  readonly key: string
  /** The flag whose value decides which others count, with what it may be. */
  readonly mode?: { readonly flag: string; readonly values: readonly string[] }
  /** Flags of which each key has one; as many of the first as of the second. */
  readonly pairs?: readonly [string, string]
  /** What every configuration has, whatever the flags say. */
  readonly always: (mode: string) => Values
  /** Flags that cannot stand together, as lines that complete "<flag>: …". */
  readonly conflicts?: readonly Conflict[]
  /** A command line to copy, behind the name. */
  readonly example: string
  /** Markdown for the reference: what differs beside the flags. */
  readonly differs: readonly string[]
}

export interface Conflict {
  readonly flag: string
  /** Whether it is there; `textOf` answers what was given of a flag. */
  readonly isThere: (textOf: (flag: string) => string | undefined) => boolean
  readonly text: string
}
