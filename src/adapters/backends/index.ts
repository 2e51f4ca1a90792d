/** THE registration table: one line per backend. Loaded on demand, so a native module that is not configured is not needed. */
import type { Backend } from './backend.js'

export const backends = {
  local: async () => (await import('./local/index.js')).local,
  pkcs11: async () => (await import('./pkcs11/index.js')).pkcs11,
} satisfies Record<string, () => Promise<Backend<never>>>

export type BackendName = keyof typeof backends
