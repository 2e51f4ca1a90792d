import type { KeyId } from './key_id.js'
import type { CallOptions } from './key_wrapper.js'

/** What kube-apiserver asks of us, whichever version of the KMS API it speaks. */
export interface KmsService {
  /**
   * Seals `plaintext` (the caller keeps and wipes it) and answers only what can be opened again.
   *
   * Fails with `ERR_REQUEST_TOO_LARGE` before any key is asked when the ciphertext would be longer than
   * `maxCiphertextBytes`.
   */
  encrypt(plaintext: Uint8Array, maxCiphertextBytes: number, options: CallOptions): Promise<EncryptResult>

  /**
   * Opens a ciphertext of {@link encrypt}, or of another plugin whose format a key of the configuration decodes.
   *
   * @returns Bytes that the caller owns and wipes.
   */
  decrypt(request: DecryptRequest, options: CallOptions): Promise<Uint8Array>

  /**
   * The last known truth, from memory: asks nobody and waits for nothing.
   *
   * @throws {KmsError} `ERR_STARTING` before the first proof, the code of the fault when an operator must act, and
   * on an outage when the configuration says so.
   */
  status(): ServiceStatus
}

export interface EncryptResult {
  readonly ciphertext: Uint8Array
  /** Equals the key id of {@link KmsService.status}, or kube-apiserver refuses the result. */
  readonly keyId: KeyId
}

export interface DecryptRequest {
  readonly ciphertext: Uint8Array
  /** KMS v2 says which key id it stored; v1 sends the ciphertext alone. */
  readonly keyId?: string
  /** Stored by KMS v2. We write none; other plugins do. */
  readonly annotations?: Readonly<Record<string, Uint8Array>>
}

export interface ServiceStatus {
  readonly keyId: KeyId
  /** `undefined` when healthy; else one line of ASCII for kube-apiserver's healthz, free of secrets. */
  readonly problem?: string
}
