/** The shape of everything that wraps round a backend: retries, time limits, metrics, the canary. */
import type { BackendOperation } from '../ports/metrics.js'
import type { CallOptions, KeyWrapper } from '../ports/key_wrapper.js'

/** Runs one call that may leave the process; `call` may be run with other options, several times or not at all. */
export type Layer = <T>(
  operation: BackendOperation,
  options: CallOptions,
  call: (options: CallOptions) => Promise<T>,
) => Promise<T>

/** `inner` with `layer` round each of its calls. */
export function withLayer(inner: KeyWrapper, layer: Layer): KeyWrapper {
  const decryptNative = inner.decryptNative?.bind(inner)
  return {
    backend: inner.backend,
    recognizes: (keyId) => inner.recognizes(keyId),
    close: async () => inner.close(),
    currentKeyId: async (options) => layer('currentKeyId', options, async (o) => inner.currentKeyId(o)),
    wrap: async (dek, options) => layer('wrap', options, async (o) => inner.wrap(dek, o)),
    unwrap: async (wrapped, options) => layer('unwrap', options, async (o) => inner.unwrap(wrapped, o)),
    ...(decryptNative !== undefined && {
      decryptNative: async (ciphertext, options) =>
        layer('decryptNative', options, async (o) => decryptNative(ciphertext, o)),
    }),
  }
}
