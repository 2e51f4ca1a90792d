/** What does a value of a KMS v2 provider say without any key? */
import { createHash } from 'node:crypto'
import type { StoredValue } from '../../ports/foreign.js'
import {
  ANNOTATION,
  ANNOTATIONS_MAX_BYTES,
  DEK_SOURCE_MAX_BYTES,
  DEK_SOURCE_TYPES,
  dekSourceType,
  ENCRYPTED_OBJECT,
  KEY_ID_MAX_BYTES,
  type EncryptedObject,
} from './encrypted_object.js'
import { readMessage, type Message } from './protobuf.js'
import { printable, utf8, type Report } from './report.js'
import { addPlugin, splitAnyway, type ExplainScheme, type SchemeContext } from './scheme.js'
import type { Bytes } from './wire.js'

export const explainKmsV2: ExplainScheme = (value, nameAt, report, context) => {
  const split = splitAnyway(value, nameAt, 'provider name', report)
  if (split === undefined) return report.finish('A value of a KMS v2 provider')
  const provider = printable(split.name)
  report.add('provider name', provider)

  const object = readMessage(split.payload.bytes, split.payload.at, ENCRYPTED_OBJECT)
  addBreak('the EncryptedObject', object, report)
  const keyId = addKeyId(object, report, context)
  addDekSourceType(object, report)
  const annotations = readAnnotations(object.every('annotations'))
  const plugin = addDekSource(object, keyId, annotations.values, report, context)
  addData(object, report)
  addAnnotations(annotations, report)
  addOddities('the EncryptedObject', object, report)
  return report.finish(`Encrypted by kube-apiserver with the KMS v2 provider "${provider}"${plugin}`)
}

/** @returns The key id, or `undefined` where there is none to compare with. */
function addKeyId(object: EncryptedObject, report: Report, context: SchemeContext): string | undefined {
  const field = object.bytes('keyID')
  if (field === undefined || field.bytes.length === 0) {
    if (object.broken === undefined) report.problem('the key id is missing')
    return undefined
  }
  if (field.bytes.length > KEY_ID_MAX_BYTES) {
    report.problem(`the key id at byte ${field.at} is longer than ${KEY_ID_MAX_BYTES} bytes`)
  }
  const keyId = utf8(field.bytes)
  if (keyId === undefined) {
    report.problem(`the key id at byte ${field.at} is not UTF-8`)
    return undefined
  }
  report.addKeyId('key id', keyId, context.keyNames)
  // GetHashIfNotEmpty in kmsv2/envelope.go: the label key_id_hash of the metrics and logs.
  report.add('key id hash', `sha256:${createHash('sha256').update(field.bytes).digest('hex')}`)
  return keyId
}

function addDekSourceType(object: EncryptedObject, report: Report): void {
  const number = dekSourceType(object)
  if (number === undefined) return
  const type = DEK_SOURCE_TYPES[number]
  report.add('DEK source type', type === undefined ? `unknown (${number})` : `${type.name} (${number})`)
  if (type === undefined) report.problem(`DEK source type ${number} is unknown`)
  else report.add('DEK source meaning', type.meaning)
}

/** @returns How the summary goes on: which plugin made the DEK source. */
function addDekSource(
  object: EncryptedObject,
  outerKeyId: string | undefined,
  annotations: StoredValue['annotations'],
  report: Report,
  context: SchemeContext,
): string {
  const source = object.bytes('encryptedDEKSource')
  if (source === undefined || source.bytes.length === 0) {
    if (object.broken === undefined) report.problem('the encrypted DEK source is missing')
    return ''
  }
  const length = source.bytes.length
  report.add('encrypted DEK source bytes', length)
  if (length > DEK_SOURCE_MAX_BYTES) {
    report.problem(
      `the encrypted DEK source at byte ${source.at} is longer than ${DEK_SOURCE_MAX_BYTES} bytes`,
    )
  }
  const stored: StoredValue = { ciphertext: source.bytes, keyId: outerKeyId, annotations }
  const plugin = addPlugin('the encrypted DEK source', stored, report, context)
  const envelope = context.describeEnvelope(source.bytes)
  if (envelope !== undefined && outerKeyId !== undefined && outerKeyId !== envelope.keyId) {
    report.problem(
      `the key id beside the envelope at byte ${source.at} is not the one inside: parts of two values were mixed`,
    )
  }
  return ` and ${plugin}`
}

function addData(object: EncryptedObject, report: Report): void {
  const data = object.bytes('encryptedData')
  if (data === undefined || data.bytes.length === 0) {
    if (object.broken === undefined) report.problem('the encrypted data is missing')
    return
  }
  const length = data.bytes.length
  report.add('encrypted data bytes', length)
  const overheadBytes = DEK_SOURCE_TYPES[dekSourceType(object) ?? -1]?.overheadBytes
  if (overheadBytes === undefined) return
  if (length < overheadBytes) {
    report.problem(
      `the encrypted data at byte ${data.at} is shorter than the ${overheadBytes} bytes that encryption adds`,
    )
  } else {
    report.add('plaintext bytes', length - overheadBytes)
  }
}

interface Annotations {
  /** Those before the first that breaks. */
  readonly values: StoredValue['annotations']
  readonly messages: readonly { readonly at: number; readonly message: Message<'key' | 'value'> }[]
}

/** Stops at the first annotation that breaks: one problem is enough, and odd bytes can hold thousands. */
function readAnnotations(entries: readonly Bytes[]): Annotations {
  const values: [string, Uint8Array][] = []
  const messages: { at: number; message: Message<'key' | 'value'> }[] = []
  for (const { bytes, at } of entries) {
    const message = readMessage(bytes, at, ANNOTATION)
    messages.push({ at, message })
    const key = utf8(message.bytes('key')?.bytes ?? new Uint8Array())
    if (key === undefined || message.broken !== undefined) break
    values.push([key, message.bytes('value')?.bytes ?? new Uint8Array()])
  }
  return { values: Object.fromEntries(values), messages }
}

function addAnnotations({ messages }: Annotations, report: Report): void {
  const keys: string[] = []
  let totalBytes = 0
  for (const { at, message } of messages) {
    addBreak('an annotation', message, report)
    addOddities('an annotation', message, report)
    const key = message.bytes('key')
    const text = utf8(key?.bytes ?? new Uint8Array())
    if (text === undefined) report.problem(`the annotation key at byte ${key?.at ?? at} is not UTF-8`)
    if (text === undefined || message.broken !== undefined) break
    keys.push(text)
    totalBytes += (key?.bytes.length ?? 0) + (message.bytes('value')?.bytes.length ?? 0)
  }
  report.add('annotation keys', keys.length === 0 ? 'none' : printable(keys.join(', ')))
  if (totalBytes > ANNOTATIONS_MAX_BYTES) {
    report.problem(`the annotations are longer than ${ANNOTATIONS_MAX_BYTES} bytes`)
  }
}

function addBreak(what: string, message: Message<string>, report: Report): void {
  if (message.broken !== undefined) {
    report.problem(`${what} breaks at byte ${message.broken.at}: ${message.broken.why}`)
  }
}

function addOddities(what: string, message: Message<string>, report: Report): void {
  for (const name of message.repeated)
    report.note(`${what} holds ${name} more than once; the last one counts`)
  if (message.unknown.length > 0) {
    report.note(`${what} holds fields that this version does not know: ${message.unknown.join(', ')}`)
  }
}
