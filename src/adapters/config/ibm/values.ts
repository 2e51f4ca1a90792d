/** How is a single value of IBM's file written, and what stands for it in ours? */
import { bool, integer, textOf, type Form, type Scalar } from '../forms.js'
import { apiKeyIn, isReference } from '../secrets.js'

export interface Translated {
  /** What stands in our file; `undefined`: nothing. */
  readonly value?: Scalar
  /** What differs from what the file says: one line that completes "<key> …", nothing secret. */
  readonly notice?: string
}

/**
 * @param value Whatever stood in the YAML, neither empty nor a collection.
 * @param file Absolute path of the file.
 * @throws {Error} With one line that completes "<key> …" and never quotes the value.
 */
export type Reading = (value: unknown, file: string) => Translated

/** Large enough for any number that was meant. */
const wholeNumber = integer(0, 2 ** 31 - 1)

/** Taken as it is; the rest of the check is that of our own setting. */
export function text(example: string): Reading {
  return (value) => ({ value: textOf(value, example) })
}

export function choice<T extends Scalar>(form: Form<T>): Reading {
  return (value) => ({ value: form.read(value) })
}

/** @param written How a number reads in our file. */
export function number(max: number, written: (amount: number) => Scalar, why: string): Reading {
  return (value) => {
    const given = wholeNumber.read(value)
    if (given <= max) return { value: written(given) }
    return { value: written(max), notice: `is more than ${max}, so ${max} is used: ${why}` }
  }
}

/** @param notice Said when it is on. */
export function toggle(on: Scalar, off: Scalar, notice?: string): Reading {
  return (value) => {
    const isOn = bool.read(value)
    return { value: isOn ? on : off, ...(isOn && notice !== undefined ? { notice } : {}) }
  }
}

/** Checked and told; nothing in our file stands for it. */
export function withoutEffect(read: (value: unknown) => unknown, why: string): Reading {
  return (value) => {
    read(value)
    return { notice: `has no effect: ${why}` }
  }
}

/** As Go takes it: a port without a host is a port of all interfaces. */
export const listenAddress: Reading = (value) => {
  const address = textOf(value, ':20358')
  if (address === '') throw new Error('must be a colon and a port, or a host before it: ":20358"')
  if (!address.startsWith(':')) return { value: address }
  return {
    value: `0.0.0.0${address}`,
    notice: `listens on all interfaces, as the IBM plug-in does, since probes without a host ask at the address of the node; to listen on loopback alone write "127.0.0.1${address}" here and "host: 127.0.0.1" in the probes of the pod`,
  }
}

/** The literal never leaves the file: what stands for it says where it is. */
export const apiKey: Reading = (value, file) => {
  const given = textOf(value, 'file:/etc/kmsplugin/api-key')
  if (given.trim() === '')
    throw new Error('is empty; write the API key, or file: and the path of a file that holds it')
  if (isReference(given)) return { value: given }
  return {
    value: apiKeyIn(file),
    notice:
      'is a secret in the clear: this file must have mode 0600; better, write file: and the absolute path of a file that holds the key alone',
  }
}
