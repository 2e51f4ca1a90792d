/** Formats of plugins that do not exist, small enough to see through. */
import { KmsError } from '../../src/ports/errors.js'
import type { ForeignDecoder, Sign, StoredValue } from '../../src/ports/foreign.js'

interface ToyOptions {
  readonly prefix?: string
  readonly sign?: Sign
  readonly isReusable?: boolean
}

/** `toy:` and what the key itself encrypted. */
export function toyFormat(
  format: string,
  { prefix = `${format}:`, sign = 'bytes', isReusable = false }: ToyOptions = {},
): ForeignDecoder & { readonly plans: StoredValue[] } {
  const start = Buffer.from(prefix)
  const plans: StoredValue[] = []
  const knows = ({ ciphertext, keyId, annotations }: StoredValue): boolean => {
    if (sign === 'annotation') return Object.hasOwn(annotations, `${format}.example.org`)
    if (sign === 'keyId') return keyId === format
    return start.equals(ciphertext.subarray(0, start.length))
  }
  return {
    format,
    plans,
    recognize: (value) => (knows(value) ? sign : undefined),
    plan: (value) => {
      plans.push(value)
      const bytes = value.ciphertext.subarray(start.length)
      if (bytes.length === 0) throw new KmsError('ERR_MALFORMED_ENVELOPE', 'nothing follows the prefix')
      return {
        questions: [{ bytes }],
        isReusable,
        finish: ([answer]) => Buffer.from(answer ?? []),
      }
    },
  }
}

/** `nest:`, one byte for the length of a value of another format, that value, and bytes to add its plaintext to. */
export function nestedFormat(): ForeignDecoder {
  return {
    format: 'nest',
    recognize: ({ ciphertext }) =>
      Buffer.from(ciphertext).toString('latin1').startsWith('nest:') ? 'bytes' : undefined,
    plan: ({ ciphertext }) => {
      const [length = 0] = ciphertext.subarray(5)
      const inner = ciphertext.subarray(6, 6 + length)
      return {
        questions: [{ ciphertext: inner, keyId: undefined, annotations: {} }],
        isReusable: true,
        finish: ([answer]) => Buffer.concat([answer ?? Buffer.alloc(0), ciphertext.subarray(6 + length)]),
      }
    },
  }
}
