/** What did the user say of a flag, on the command line or else in the environment? */
import type { PeerFlag } from './flag.js'
import type { GoStyle, Scanned } from './scan.js'

export interface Given {
  readonly texts: readonly string[]
  /** As the user knows it: the flag with its dashes, or the variable. */
  readonly spelled: string
  readonly from: 'flag' | 'env'
}

/** Every row with what was said of it. */
export type Table = readonly (readonly [row: PeerFlag, given: Given | undefined])[]

export type Env = Readonly<Record<string, string | undefined>>

/**
 * The command line wins over the environment, even with nothing behind the `=`. A variable that is set to nothing is
 * not set: a pod that takes it from an optional Secret has it so.
 */
export function givenOf(row: PeerFlag, scanned: Scanned, env: Env, { dash }: GoStyle): Given | undefined {
  const texts = row.name === undefined ? undefined : scanned.values.get(row.name)
  if (texts !== undefined) return { texts, spelled: `${dash}${row.name ?? ''}`, from: 'flag' }
  const variable = row.env?.find((name) => (env[name] ?? '') !== '')
  if (variable === undefined) return undefined
  return { texts: [env[variable] ?? ''], spelled: variable, from: 'env' }
}

/** The name by which a message speaks of a flag that nobody gave. */
export function nameOf({ name, env = [] }: PeerFlag, { dash }: GoStyle): string {
  return name === undefined ? (env[0] ?? '') : `${dash}${name}`
}
