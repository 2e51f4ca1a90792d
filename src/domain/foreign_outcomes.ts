/** What is said of a value that several keys were asked for? */
import { asKmsError, KmsError } from '../ports/errors.js'

/** What all keys that can open the value agree on. One that could not be asked might not have agreed. */
export function agreed(format: string, outcomes: readonly PromiseSettledResult<Uint8Array>[]): Uint8Array {
  const opened = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  const thrown = outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [outcome.reason as unknown] : [],
  )
  const [first, ...others] = opened
  if (first === undefined) throw worstOf(thrown)
  const outage = thrown.map(asKmsError).find(({ fault }) => fault === 'backend')
  const isClear = others.every((other) => Buffer.compare(first, other) === 0)
  for (const other of others) other.fill(0)
  if (outage === undefined && isClear) return first
  first.fill(0)
  if (outage !== undefined) throw outage
  const text = `${opened.length} keys open the value to different bytes, and nothing in it tells whose it is; list ${format} under one of them`
  throw new KmsError('ERR_CONFIG_INVALID', text)
}

/** That of the key whose value it is, if one could not look; else the last word on the value. */
export function worstOf(thrown: readonly unknown[]): KmsError {
  const failures = thrown.map(asKmsError)
  const isUnknown = ({ code }: KmsError) => code === 'ERR_KEY_UNKNOWN'
  return (
    failures.find((error) => error.fault !== 'data' && !isUnknown(error)) ??
    failures.find(({ fault }) => fault === 'data') ??
    failures[0] ??
    new KmsError('ERR_INTERNAL', 'a value without a key that decodes it')
  )
}
