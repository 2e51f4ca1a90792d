/** Which error did the system answer? */

/** Stands in a message where there is no code. */
export const UNKNOWN_ERROR = 'unknown error'

/** As in `ENOENT`; `undefined` for what is no error of the system. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
