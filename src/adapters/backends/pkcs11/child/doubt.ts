/** Bytes did not open, and the answer may mean bad bytes or a bad device. What does a failed proof of the device say? */
import { HsmError } from './cryptoki.js'
import { isUnsupported } from './strategies/strategy.js'

export function isAmbiguous(error: unknown): error is HsmError {
  return error instanceof HsmError && error.code === 'ERR_UNWRAP_AMBIGUOUS'
}

/**
 * Returns where the proof could not be had: a key that is gone or may not do it says nothing about the device.
 *
 * @throws {HsmError} that the device is ill, or that nobody is logged in.
 */
export function assertNoProof(error: unknown, doubt: HsmError): void {
  if (!(error instanceof HsmError) || error.recovery === 'login') throw error
  if (error.code.startsWith('ERR_KEY_') || error.code === 'ERR_ACCESS_DENIED' || isUnsupported(error)) return
  const text = `${doubt.message}; nor does the key open what is good (${error.message})`
  throw new HsmError('ERR_BACKEND_UNAVAILABLE', text, 'replace', error.rv)
}

/** The key was proved, and the answer of the token to these bytes is the same. */
export function badBytes({ message, rv }: HsmError): HsmError {
  return new HsmError(
    'ERR_DECRYPTION_FAILED',
    `${message}; the key opens what is good, so these bytes are bad`,
    'none',
    rv,
  )
}
