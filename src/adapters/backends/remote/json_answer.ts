/** What does the body of an answer say? Every value is checked when it is taken out. */
import { KmsError } from '../../../ports/errors.js'
import type { HttpAnswer } from './http_client.js'

export type JsonObject = Readonly<Record<string, unknown>>

/**
 * The body as a JSON object; wipes the bytes.
 *
 * @param service In messages: `Vault at https://vault:8200`.
 * @throws {KmsError} `ERR_BACKEND_RESPONSE` when it is none. The text never quotes the body.
 */
export function jsonObject({ status, body }: HttpAnswer, service: string): JsonObject {
  const found = objectIn(body)
  body.fill(0)
  if (found !== undefined) return found
  throw malformed(service, `status ${status} with a body that is no JSON object`)
}

/** As {@link jsonObject}, for answers that need not be JSON, such as those of a proxy in between; `{}` then. */
export function jsonObjectIfAny({ body }: HttpAnswer): JsonObject {
  const found = objectIn(body)
  body.fill(0)
  return found ?? {}
}

/** @throws {KmsError} `ERR_BACKEND_RESPONSE` that says what of an answer is not as the service's own API has it. */
export function malformed(service: string, what: string): KmsError {
  return new KmsError('ERR_BACKEND_RESPONSE', `${service} answered otherwise than its API says: ${what}`)
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The object at this name, `{}` where there is none. */
export function objectAt(parent: JsonObject, name: string): JsonObject {
  const value = parent[name]
  return isObject(value) ? value : {}
}

/** The text at this name; `undefined` where there is none. */
export function textAt(parent: JsonObject, name: string): string | undefined {
  const value = parent[name]
  return typeof value === 'string' ? value : undefined
}

/**
 * Bytes in standard base64 with padding (RFC 4648 section 4), in the one way to write them; `undefined` for anything
 * else. The caller owns and wipes them.
 */
export function base64At(parent: JsonObject, name: string): Buffer | undefined {
  return bytesAt(parent, name, 'base64')
}

/**
 * As {@link base64At}, in base64url (RFC 4648 section 5). Without padding, as JOSE writes it, or with it, as some
 * services do.
 */
export function base64UrlAt(parent: JsonObject, name: string): Buffer | undefined {
  const bytes = bytesAt(parent, name, 'base64url')
  if (bytes !== undefined) return bytes
  const [, text, padding = ''] = /^([^=]+)(==?)$/.exec(textAt(parent, name) ?? '') ?? []
  const isPadded = text !== undefined && (text.length + padding.length) % 4 === 0
  return isPadded ? bytesAt({ text }, 'text', 'base64url') : undefined
}

function bytesAt(parent: JsonObject, name: string, encoding: 'base64' | 'base64url'): Buffer | undefined {
  const text = textAt(parent, name)
  if (text === undefined) return undefined
  const bytes = Buffer.from(text, encoding)
  if (bytes.toString(encoding) === text) return bytes
  bytes.fill(0)
  return undefined
}

function objectIn(body: Buffer): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'))
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
