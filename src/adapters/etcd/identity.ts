/**
 * What do values say that are not encrypted?
 *
 * Rule: these values may hold a Secret in the clear, so nothing but their type and their sizes is shown.
 */
import type { Explanation } from '../../ports/operations.js'
import { readMessage } from './protobuf.js'
import { utf8, type Report } from './report.js'

/** staging/src/k8s.io/apimachinery/pkg/runtime/serializer/protobuf: the mark before a runtime.Unknown. */
const PROTOBUF_MARK = Buffer.from('k8s\0', 'latin1')

/** runtime.Unknown (staging/src/k8s.io/apimachinery/pkg/runtime/generated.proto). */
const UNKNOWN = {
  typeMeta: { number: 1, type: 'bytes' },
  raw: { number: 2, type: 'bytes' },
  contentEncoding: { number: 3, type: 'bytes' },
  contentType: { number: 4, type: 'bytes' },
} as const

const TYPE_META = { apiVersion: { number: 1, type: 'bytes' }, kind: { number: 2, type: 'bytes' } } as const

/** The form of every API version and kind; what has another form may be content, and is not shown. */
const TYPE_NAME = /^[A-Za-z0-9][A-Za-z0-9./-]{0,252}$/

export function isProtobuf(value: Uint8Array): boolean {
  return PROTOBUF_MARK.equals(value.subarray(0, PROTOBUF_MARK.length))
}

export function isJson(value: Uint8Array): boolean {
  return value[0] === 0x7b
}

export function explainProtobuf(value: Uint8Array, report: Report): Explanation {
  report.add('encoding', 'protobuf')
  const at = PROTOBUF_MARK.length
  const unknown = readMessage(value.subarray(at), at, UNKNOWN)
  if (unknown.broken !== undefined) {
    report.problem(`the runtime.Unknown breaks at byte ${unknown.broken.at}: ${unknown.broken.why}`)
  }
  const typeMeta = unknown.bytes('typeMeta')
  const raw = unknown.bytes('raw')
  if (unknown.broken === undefined && (typeMeta === undefined || raw === undefined)) {
    report.problem(`the runtime.Unknown from byte ${at} on lacks its type or its object`)
  }
  const type = readMessage(typeMeta?.bytes ?? new Uint8Array(), typeMeta?.at ?? at, TYPE_META)
  if (type.broken !== undefined) {
    report.problem(`the type breaks at byte ${type.broken.at}: ${type.broken.why}`)
  }
  const kind = addType(textOf(type.bytes('apiVersion')?.bytes), textOf(type.bytes('kind')?.bytes), report)
  if (raw !== undefined) report.add('object bytes', raw.bytes.length)
  return report.finish(`Not encrypted: ${kind} in the clear, as protobuf`)
}

export function explainJson(value: Uint8Array, report: Report): Explanation {
  report.add('encoding', 'JSON')
  const type = parseType(value)
  // The parser's own message quotes the text, which may be a Secret.
  if (type === undefined) report.problem('the text that begins at byte 0 is not JSON to its end')
  const kind = addType(type?.apiVersion, type?.kind, report)
  return report.finish(`Not encrypted: ${kind} in the clear, as JSON`)
}

/** @returns The kind, for the summary. */
function addType(apiVersion: unknown, kind: unknown, report: Report): string {
  if (isTypeName(apiVersion)) report.add('object API version', apiVersion)
  if (!isTypeName(kind)) return 'an object of unknown kind'
  report.add('object kind', kind)
  return `a ${kind}`
}

function isTypeName(text: unknown): text is string {
  return typeof text === 'string' && TYPE_NAME.test(text)
}

function textOf(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : utf8(bytes)
}

function parseType(value: Uint8Array): { apiVersion?: unknown; kind?: unknown } | undefined {
  const text = utf8(value)
  if (text === undefined) return undefined
  try {
    return JSON.parse(text) as { apiVersion?: unknown; kind?: unknown }
  } catch {
    return undefined
  }
}
