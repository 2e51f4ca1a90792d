/** One thing that `check` has to say; where it belongs is added by check.ts. */
import type { Finding } from '../../../ports/operations.js'

export type Line = readonly [level: Finding['level'], text: string]
