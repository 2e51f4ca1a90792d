import type { KmsErrorCode } from './errors.js'

/** What the last probe of one key found. */
export interface KeyHealth {
  /** The configured name. */
  readonly key: string
  readonly primary: boolean
  /** `untested`: a key that only opens old values and whose wrapped DEKs were not seen since the start. */
  readonly outcome: 'OK' | 'untested' | KmsErrorCode
  /** Milliseconds since the last probe of this key finished; `undefined` before the first. */
  readonly ageMs?: number
}

/** What /readyz and /healthz say. */
export interface HealthReport {
  /** Only the primary decides; of several plugins in one process, those of all of them. */
  readonly ready: boolean
  readonly keys: readonly KeyHealth[]
}

export interface HealthSource {
  report(): HealthReport
}
