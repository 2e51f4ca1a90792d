/**
 * In which form did the user hand us a value: as etcd holds it, or as some tool printed it?
 *
 * Rule: bytes that begin like a stored value are taken as they are. Else the first decoding that yields such a
 * beginning counts, else the first that the text has the form of.
 */
import { fromHexdump } from './hexdump.js'
import { UsageError } from './arguments.js'

export interface DecodedInput {
  readonly bytes: Uint8Array
  readonly form: 'raw' | 'hexdump' | 'hex' | 'base64' | 'etcdctl JSON'
}

/** What a value in etcd begins with: encrypted, protobuf, JSON. */
const BEGINNINGS = ['k8s:enc:', 'k8s\0', '{'].map((text) => Buffer.from(text, 'latin1'))

/** Longer than any key of kube-apiserver. */
const KEY_LINE_MAX_BYTES = 4096

const NEWLINE = 0x0a
const SLASH = 0x2f
const OPENING_BRACE = 0x7b

/**
 * Undoes `hexdump -C`, `xxd`, `xxd -p`, `etcdctl get` with its key line, `--hex` or `-w json`, base64 and base64url.
 *
 * @throws {UsageError} On JSON of etcdctl that does not hold exactly one value.
 */
export function decodeInput(raw: Uint8Array): DecodedInput {
  const whole: DecodedInput = { bytes: raw, form: 'raw' }
  if (beginsLikeAValue(raw)) return fromEtcdctlJson(raw) ?? whole
  const value = withoutKeyLine(raw)
  if (value !== undefined) return { bytes: value, form: 'raw' }

  const dump = fromHexdump(Buffer.from(raw).toString('latin1'))
  if (dump !== undefined) return { bytes: withoutKeyLine(dump) ?? dump, form: 'hexdump' }

  const text = asciiText(raw)
  if (text === undefined) return whole
  const decoded = [fromHex(text), fromBase64(text)].filter((form) => form !== undefined)
  return decoded.find(({ bytes }) => beginsLikeAValue(bytes)) ?? decoded[0] ?? whole
}

function beginsLikeAValue(bytes: Uint8Array): boolean {
  return BEGINNINGS.some((beginning) => beginning.equals(bytes.subarray(0, beginning.length)))
}

/** `etcdctl get KEY` prints the key on a line of its own before the value. */
function withoutKeyLine(raw: Uint8Array): Uint8Array | undefined {
  const end = raw[0] === SLASH ? raw.subarray(0, KEY_LINE_MAX_BYTES).indexOf(NEWLINE) : -1
  const value = raw.subarray(end + 1)
  return end >= 0 && beginsLikeAValue(value) ? value : undefined
}

/** The text without white space and quotes round it; `undefined` for bytes that are not ASCII. */
function asciiText(raw: Uint8Array): string | undefined {
  if (raw.some((byte) => byte > 0x7e)) return undefined
  const text = Buffer.from(raw).toString('latin1').replace(/\s/g, '')
  return text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text
}

function fromHex(text: string): DecodedInput | undefined {
  const digits = text.replace(/0x|\\x/gi, '')
  if (digits.length === 0 || digits.length % 2 !== 0 || !/^[0-9a-f]+$/i.test(digits)) return undefined
  return { bytes: Buffer.from(digits, 'hex'), form: 'hex' }
}

/** RFC 4648 sections 4 and 5, with or without padding. */
function fromBase64(text: string): DecodedInput | undefined {
  const digits = text.replace(/={1,2}$/, '')
  if (digits.length === 0 || digits.length % 4 === 1) return undefined
  if (!/^[A-Za-z0-9+/]+$/.test(digits) && !/^[A-Za-z0-9_-]+$/.test(digits)) return undefined
  return { bytes: Buffer.from(digits, 'base64'), form: 'base64' }
}

interface EtcdctlJson {
  readonly header?: { readonly cluster_id?: unknown } | null
  readonly kvs?: unknown
  readonly apiVersion?: unknown
}

/** `undefined` for JSON that is itself a stored object. */
function fromEtcdctlJson(raw: Uint8Array): DecodedInput | undefined {
  const document = parseJson(raw)
  if (document?.header?.cluster_id === undefined || document.apiVersion !== undefined) return undefined
  const pairs: readonly unknown[] = Array.isArray(document.kvs) ? document.kvs : []
  if (pairs.length !== 1) {
    throw new UsageError(`the JSON of etcdctl holds ${pairs.length} values; inspect takes exactly one`)
  }
  const { value } = { ...(pairs[0] as { value?: unknown } | null) }
  // etcdctl leaves an empty value out.
  return { bytes: Buffer.from(typeof value === 'string' ? value : '', 'base64'), form: 'etcdctl JSON' }
}

function parseJson(raw: Uint8Array): EtcdctlJson | undefined {
  if (raw[0] !== OPENING_BRACE) return undefined
  try {
    return JSON.parse(Buffer.from(raw).toString('utf8')) as EtcdctlJson
  } catch {
    return undefined
  }
}
