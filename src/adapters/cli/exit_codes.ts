/** What does the exit code of the program say? Numbers of 64 and above are those of BSD's sysexits.h. */
import type { Fault, KmsError } from '../../ports/errors.js'

export const EXIT = {
  ok: 0,
  /** The command did its work and found something wrong: a check, a status, a damaged value. */
  problem: 1,
  /** EX_USAGE */
  usage: 64,
  /** EX_UNAVAILABLE: the backend, the plugin or a key cannot be had. */
  unavailable: 69,
  /** EX_SOFTWARE: a bug of ours. */
  internal: 70,
  /** EX_CONFIG */
  config: 78,
} as const

/** One row per fault; `ERR_CONFIG_INVALID` alone is told apart by its code. */
const byFault = {
  caller: EXIT.internal,
  data: EXIT.unavailable,
  operator: EXIT.unavailable,
  backend: EXIT.unavailable,
  plugin: EXIT.internal,
} as const satisfies Record<Fault, number>

export function exitCodeOf(error: KmsError): number {
  return error.code === 'ERR_CONFIG_INVALID' ? EXIT.config : byFault[error.fault]
}
