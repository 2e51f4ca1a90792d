/**
 * What does a value of a KMS v1 provider say without any key?
 *
 * The payload is a 16-bit big-endian length, that many bytes from the plugin's EncryptResponse, and the data under
 * its own DEK (staging/src/k8s.io/apiserver/pkg/storage/value/encrypt/envelope/envelope.go).
 */
import type { StoredValue } from '../../ports/foreign.js'
import { splitName } from './prefix.js'
import { printable } from './report.js'
import { addPlugin, GCM_OVERHEAD_BYTES, splitAnyway, type ExplainScheme } from './scheme.js'

const LENGTH_BYTES = 2

interface KmsV1Payload {
  readonly wrappedDek: Uint8Array
  readonly dataBytes: number
}

export const explainKmsV1: ExplainScheme = (value, nameAt, report, context) => {
  const split = splitName(value, nameAt, parsePayload)
  if (split === undefined) {
    // Nothing parses: say what is wrong behind the first colon.
    const first = splitAnyway(value, nameAt, 'provider name', report)
    if (first !== undefined) {
      report.add('provider name', printable(first.name))
      report.problem(whyNot(first.payload.bytes, first.payload.at))
    }
    return report.finish('A value of a KMS v1 provider')
  }

  const provider = printable(split.name)
  const { wrappedDek, dataBytes } = split.payload
  report.add('provider name', provider)
  report.add('encrypted DEK bytes', wrappedDek.length)
  report.add('encrypted data bytes', dataBytes)
  report.add('data cipher', 'AES-GCM, or AES-CBC where Kubernetes before 1.25 wrote it')
  const stored: StoredValue = { ciphertext: wrappedDek, keyId: undefined, annotations: {} }
  const plugin = addPlugin('the encrypted DEK', stored, report, context)
  return report.finish(`Encrypted by kube-apiserver with the KMS v1 provider "${provider}" and ${plugin}`)
}

function parsePayload(bytes: Uint8Array): KmsV1Payload | undefined {
  const length = readLength(bytes)
  if (length === undefined || length === 0) return undefined
  const dataBytes = bytes.length - LENGTH_BYTES - length
  if (dataBytes < GCM_OVERHEAD_BYTES) return undefined
  return { wrappedDek: bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length), dataBytes }
}

/** What keeps {@link parsePayload} from reading `bytes`. */
function whyNot(bytes: Uint8Array, at: number): string {
  const length = readLength(bytes)
  if (length === undefined) return `the length of the encrypted DEK at byte ${at} is cut off`
  if (length === 0) return `the encrypted DEK at byte ${at} is empty`
  const left = bytes.length - LENGTH_BYTES
  return (
    `the encrypted DEK at byte ${at + LENGTH_BYTES} is ${length} bytes long and data of at least ` +
    `${GCM_OVERHEAD_BYTES} bytes follows it, but ${left} are left`
  )
}

function readLength(bytes: Uint8Array): number | undefined {
  const [high, low] = bytes
  return high === undefined || low === undefined ? undefined : high * 256 + low
}
