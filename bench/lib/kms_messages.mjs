/** The few protobuf messages of the KMS API that the benchmark writes and reads, by the field numbers of proto/. */

export const METHOD = {
  v2Status: '/v2.KeyManagementService/Status',
  v2Encrypt: '/v2.KeyManagementService/Encrypt',
  v2Decrypt: '/v2.KeyManagementService/Decrypt',
  v1Encrypt: '/v1beta1.KeyManagementService/Encrypt',
  v1Decrypt: '/v1beta1.KeyManagementService/Decrypt',
}

/** As long as kube-apiserver's. */
const UID = '8b0c9d1e-5f52-4a4c-9d53-0f4f2f6c7a11'

/** A message of length-delimited fields: `[number, Buffer or text]` each; what is absent is left out. */
export function message(...fields) {
  return Buffer.concat(
    fields.flatMap(([number, value]) => {
      const bytes = Buffer.from(value ?? '')
      return bytes.length === 0 ? [] : [Buffer.of((number << 3) | 2), varint(bytes.length), bytes]
    }),
  )
}

/** The length-delimited fields of a message by number; the last of each wins. */
export function fieldsOf(bytes) {
  const fields = []
  for (let at = 0; at < bytes.length;) {
    const number = bytes[at] >> 3
    if ((bytes[at] & 7) !== 2) throw new Error('a field of the KMS API that is not length-delimited')
    let length = 0
    let shift = 0
    do {
      at += 1
      length |= (bytes[at] & 0x7f) << shift
      shift += 7
    } while (bytes[at] > 0x7f)
    fields[number] = bytes.subarray(at + 1, at + 1 + length)
    at += 1 + length
  }
  return fields
}

export const v2 = {
  encrypt: (plaintext) => message([1, plaintext], [2, UID]),
  /** The request that opens what an Encrypt answered. */
  decrypt: (encryptAnswer) => {
    const [, ciphertext, keyId] = fieldsOf(encryptAnswer)
    return message([1, ciphertext], [2, UID], [3, keyId])
  },
  decrypted: (plaintext) => message([1, plaintext]),
}

export const v1 = {
  encrypt: (plain) => message([1, 'v1beta1'], [2, plain]),
  decrypt: (encryptAnswer) => message([1, 'v1beta1'], [2, fieldsOf(encryptAnswer)[1]]),
  decrypted: (plain) => message([1, plain]),
}

function varint(value) {
  const bytes = []
  for (; value > 0x7f; value >>>= 7) bytes.push((value & 0x7f) | 0x80)
  return Buffer.from([...bytes, value])
}
