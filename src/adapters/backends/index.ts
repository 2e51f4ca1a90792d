/** THE registration table: one line per backend. Loaded on demand, so a native module that is not configured is not needed. */
import { erased, type AnyBackend } from './backend.js'

export const backends = {
  aws: async () => erased((await import('./aws/index.js')).aws),
  azure: async () => erased((await import('./azure/index.js')).azure),
  gcp: async () => erased((await import('./gcp/index.js')).gcp),
  ibm: async () => erased((await import('./ibm/index.js')).ibm),
  kmip: async () => erased((await import('./kmip/index.js')).kmip),
  local: async () => erased((await import('./local/index.js')).local),
  okms: async () => erased((await import('./okms/index.js')).okms),
  pkcs11: async () => erased((await import('./pkcs11/index.js')).pkcs11),
  vault: async () => erased((await import('./vault/index.js')).vault),
} satisfies Record<string, () => Promise<AnyBackend>>

export type BackendName = keyof typeof backends

export function isBackendName(name: string): name is BackendName {
  return Object.hasOwn(backends, name)
}
