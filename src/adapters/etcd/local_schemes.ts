/**
 * What do values say that kube-apiserver encrypted with a key from its own configuration?
 *
 * One row a scheme; the shapes are those of staging/src/k8s.io/apiserver/pkg/storage/value/encrypt/{aes,secretbox}.
 */
import { splitName } from './prefix.js'
import { printable } from './report.js'
import { GCM_OVERHEAD_BYTES, splitAnyway, type ExplainScheme } from './scheme.js'

interface LocalScheme {
  readonly title: string
  /** Shortest payload: what encryption adds to an empty value. */
  readonly minBytes: number
  /** The payload is a multiple of this. */
  readonly blockBytes: number
  /** How long the plaintext can be, from the length of the payload. */
  readonly plaintextBytes: (payloadBytes: number) => string
}

/** IV of one block, then whole blocks; PKCS #7 padding (RFC 5652 section 6.3) takes 1 to 16 bytes. */
export const explainAesCbc = explainLocal({
  title: 'AES-CBC',
  minBytes: 32,
  blockBytes: 16,
  plaintextBytes: (payloadBytes) => `${payloadBytes - 32} to ${payloadBytes - 17}`,
})

/** Nonce 12, ciphertext, tag 16. */
export const explainAesGcm = explainLocal({
  title: 'AES-GCM',
  minBytes: GCM_OVERHEAD_BYTES,
  blockBytes: 1,
  plaintextBytes: (payloadBytes) => String(payloadBytes - GCM_OVERHEAD_BYTES),
})

/** Nonce 24, then the box: tag 16 and ciphertext. */
export const explainSecretbox = explainLocal({
  title: 'XSalsa20-Poly1305 (secretbox)',
  minBytes: 40,
  blockBytes: 1,
  plaintextBytes: (payloadBytes) => String(payloadBytes - 40),
})

function explainLocal(scheme: LocalScheme): ExplainScheme {
  const fits = (payloadBytes: number): boolean =>
    payloadBytes >= scheme.minBytes && payloadBytes % scheme.blockBytes === 0

  return (value, nameAt, report) => {
    const title = `Encrypted by kube-apiserver itself with ${scheme.title}`
    const split =
      splitName(value, nameAt, (bytes, at) => (fits(bytes.length) ? { bytes, at } : undefined)) ??
      splitAnyway(value, nameAt, 'key name', report)
    if (split === undefined) return report.finish(title)

    const { bytes, at } = split.payload
    report.add('key name', printable(split.name))
    report.add('encrypted data bytes', bytes.length)
    if (fits(bytes.length)) report.add('plaintext bytes', scheme.plaintextBytes(bytes.length))
    else report.problem(`the data at byte ${at} has ${bytes.length} bytes, which ${scheme.title} never makes`)
    return report.finish(`${title} under the key "${printable(split.name)}"; no KMS plugin is involved`)
  }
}
