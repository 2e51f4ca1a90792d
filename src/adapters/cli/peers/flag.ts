/** What is one flag of another plugin, and what does its value mean in our layout? */
import { goBool, goDurationMs, goInteger } from './go_values.js'

/**
 * How the program reads the value. `list`: comma-separated and repeated, `repeated`: once for each value; both have
 * one value for each key. `secret`: a text that must not be shown.
 */
export type Kind = 'text' | 'secret' | 'switch' | 'number' | 'duration' | 'list' | 'repeated'

/** By dotted paths of our layout; `key.` stands for the entry under `keys`. */
export type Values = Readonly<Record<string, unknown>>

export interface Said {
  readonly values?: Values
  /** What differs from what the flag says: one line that completes "<flag>: …", nothing secret. */
  readonly notice?: string
}

/**
 * @param text As it was given, never empty.
 * @param mode The value of the peer's deciding flag, such as the auth method.
 * @throws {Error} With one line that completes "<flag>: …" and never quotes the value.
 */
export type Reading = (text: string, mode: string) => Said

/** A row of a peer's table. */
export interface PeerFlag {
  /** Without dashes; absent for a variable that has no flag. */
  readonly name?: string
  /** Its variables, the one that wins first. */
  readonly env?: readonly string[]
  readonly kind: Kind
  /** What holds there when nothing is given; read as if it had been given, unless {@link keepsOurs}. */
  readonly fallback?: string
  /** Our own default holds when nothing is given. */
  readonly keepsOurs?: boolean
  /** The flag counts only in this mode. */
  readonly only?: string
  /** Why nothing is not enough, as it completes "<flag>: …". */
  readonly required?: string
  readonly verdict: 'works' | 'warned' | 'refused'
  /** Paths of our layout that it sets. */
  readonly becomes: readonly string[]
  /** For the reference: Markdown, beside {@link becomes}. */
  readonly meaning: string
  readonly read: Reading
}

type Named = Pick<PeerFlag, 'name' | 'env' | 'kind' | 'fallback' | 'keepsOurs' | 'only' | 'required'>

/** One that works: its value stands at the first of these paths as it is, unless `read` says otherwise. */
export function works(
  flag: Named,
  becomes: string | readonly string[],
  meaning = '',
  read?: Reading,
): PeerFlag {
  const paths = typeof becomes === 'string' ? [becomes] : becomes
  const [path = ''] = paths
  return {
    ...flag,
    verdict: 'works',
    becomes: paths,
    meaning,
    read: read ?? ((text) => ({ values: { [path]: text } })),
  }
}

/** One that is accepted with a warning; a switch that is off says nothing. */
export function idle(flag: Named, why: string): PeerFlag {
  const read: Reading = (text) => {
    if (flag.kind === 'number') goInteger(text)
    if (flag.kind === 'duration') goDurationMs(text)
    return isOff(flag, text) ? {} : { notice: `has no effect: ${why}` }
  }
  return { ...flag, keepsOurs: true, verdict: 'warned', becomes: [], meaning: `No effect: ${why}.`, read }
}

/** One that would change what is protected, or cannot be done; a switch that is off says nothing. */
export function refused(flag: Named, why: string): PeerFlag {
  const read: Reading = (text) => {
    if (isOff(flag, text)) return {}
    throw new Error(`is refused: ${why}`)
  }
  return { ...flag, keepsOurs: true, verdict: 'refused', becomes: [], meaning: `Refused: ${why}.`, read }
}

function isOff({ kind }: Named, text: string): boolean {
  return kind === 'switch' && !goBool(text)
}
