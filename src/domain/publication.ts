/** The one truth that Encrypt and Status share: which key id seals now, and the proved DEK behind it. */
import type { KeyId } from '../ports/key_id.js'
import type { Logger } from '../ports/logger.js'
import type { Metrics } from '../ports/metrics.js'
import type { Dek } from './dek.js'

/**
 * Rule: a key id is published together with a DEK that its KEK has wrapped and unwrapped, in one assignment. So
 * Status never names a key that cannot seal, and Encrypt never answers with a key id that Status does not name:
 * kube-apiserver throws such an answer away (pkg/server/options/encryptionconfig/config.go).
 */
export class Publication {
  readonly #key: string
  readonly #logger: Logger
  readonly #metrics: Metrics
  #dek: Dek | undefined

  /** @param key The configured name of the primary key, for logs. */
  constructor(key: string, logger: Logger, metrics: Metrics) {
    this.#key = key
    this.#logger = logger
    this.#metrics = metrics
  }

  /** The DEK that was proved last; `undefined` before the first proof. */
  get dek(): Dek | undefined {
    return this.#dek
  }

  get keyId(): KeyId | undefined {
    return this.#dek?.wrapped.keyId
  }

  /** @param dek Wrapped by the primary KEK and verified. */
  publish(dek: Dek): void {
    const before = this.keyId
    this.#dek = dek
    this.#metrics.dekRenewed(this.#key)
    this.#metrics.dekSeals(dek.seals)
    const keyId = dek.wrapped.keyId
    if (keyId === before) return
    this.#metrics.keyIdPublished(keyId, before)
    this.#logger.info(before === undefined ? 'primary key proved' : 'primary key rotated', {
      key: this.#key,
      keyId,
      ...(before === undefined ? {} : { previousKeyId: before }),
    })
  }
}
