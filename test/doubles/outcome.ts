/** Turns a call into what became of it, so that tests compare codes. */
import { KmsError } from '../../src/ports/errors.js'
import type { Outcome } from '../../src/ports/metrics.js'

/** `OK`, or the code of the `KmsError`; anything else that is thrown is a bug and is thrown on. */
export async function outcomeOf(call: Promise<unknown>): Promise<Outcome> {
  try {
    await call
    return 'OK'
  } catch (error) {
    return codeOf(error)
  }
}

/** The same for what answers at once. */
export function outcomeNow(call: () => unknown): Outcome {
  try {
    call()
    return 'OK'
  } catch (error) {
    return codeOf(error)
  }
}

function codeOf(error: unknown): Outcome {
  if (error instanceof KmsError) return error.code
  throw error
}
