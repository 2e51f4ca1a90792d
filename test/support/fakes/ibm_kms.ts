/** What the fake IBM KMS does with a key, and how it says that it does not. */
import type { FakeAnswer } from './fake_server.js'
import { currentVersion, makeVersion, seal, unseal, type FakeKey } from './ibm_keys.js'

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const AAD_TEXT_MAX = 255
const TOO_EARLY_MS = 30_000
const ROTATION_PAUSE_MS = 3_600_000

/** An error answer of the service, thrown. */
export class Refusal extends Error {
  readonly answer: FakeAnswer

  constructor(status: number, errorMsg: string, code?: string, message = '', field?: string) {
    super(errorMsg)
    this.answer = kmsError(status, errorMsg, code, message, field)
  }
}

export function kmsError(
  status: number,
  errorMsg: string,
  code?: string,
  message = '',
  field?: string,
): FakeAnswer {
  const moreInfo = 'https://cloud.ibm.com/apidocs/key-protect'
  const target = field === undefined ? {} : { target: { type: 'field', name: field } }
  const reasons = code === undefined ? {} : { reasons: [{ code, message, status, moreInfo, ...target }] }
  const hint = code === undefined ? '' : `: Please see \`reasons\` for more details (${code})`
  return {
    status,
    body: {
      metadata: { collectionType: 'application/vnd.ibm.kms.error+json', collectionTotal: 1 },
      resources: [{ errorMsg: `${errorMsg}${hint}`, ...reasons }],
    },
  }
}

export function metadataOf(key: FakeKey, tellsVersions: boolean): object {
  const { id, creationDate } = currentVersion(key)
  return {
    metadata: { collectionType: 'application/vnd.ibm.kms.key+json', collectionTotal: 1 },
    resources: [
      {
        type: 'application/vnd.ibm.kms.key+json',
        id: key.id,
        name: 'a name that says nothing',
        aliases: [...key.aliases],
        state: key.state,
        extractable: key.extractable,
        imported: false,
        keyRingID: key.ring,
        ...(tellsVersions && !key.extractable ? { keyVersion: { id, creationDate } } : {}),
        ...(key.expirationDate === undefined ? {} : { expirationDate: key.expirationDate }),
        dualAuthDelete: key.dualAuth,
        deleted: key.state === 5,
      },
    ],
  }
}

export function versionsOf(key: FakeKey): object {
  return {
    metadata: {
      collectionType: 'application/vnd.ibm.kms.key.version+json',
      collectionTotal: key.versions.length,
    },
    resources: key.versions.map(({ id, creationDate }) => ({ id, creationDate })).reverse(),
  }
}

interface Asked {
  readonly key: FakeKey
  readonly body: unknown
  readonly nowMs: number
  readonly tellsVersions: boolean
}

/** By their name in the URL. */
export const actions: Readonly<Record<string, (asked: Asked) => FakeAnswer>> = {
  wrap({ key, body, tellsVersions }) {
    assertState(key, [1])
    const fields = fieldsOf(body ?? {}, ['plaintext', 'aad'])
    const given = fields['plaintext']
    if (given !== undefined && (typeof given !== 'string' || !BASE64.test(given))) {
      throw fieldError('plaintext', 'a base64 encoded key material: illegal base64 data')
    }
    const plaintext = given === undefined ? makeVersion().material : Buffer.from(given, 'base64')
    const version = currentVersion(key)
    return {
      status: 200,
      body: {
        ...(given === undefined ? { plaintext: plaintext.toString('base64') } : {}),
        ciphertext: seal(version, plaintext, aadOf(fields)),
        ...(tellsVersions ? { keyVersion: { id: version.id } } : {}),
      },
    }
  },

  unwrap({ key, body, tellsVersions }) {
    assertState(key, [1, 3])
    if (body === undefined) throw badRequest('NO_BODY_ERR', 'Missing body in request')
    const fields = fieldsOf(body, ['ciphertext', 'aad'])
    const { ciphertext } = fields
    if (typeof ciphertext !== 'string' || ciphertext === '' || !BASE64.test(ciphertext)) {
      throw fieldError(
        'ciphertext',
        'the original base64 encoded ciphertext from the wrap operation: illegal base64 data',
      )
    }
    const aad = aadOf(fields)
    const opened = unseal(key, ciphertext, aad)
    if (opened === undefined) {
      const message = 'The provided ciphertext is invalid or corrupted'
      throw new Refusal(422, 'Unprocessable Entity', 'UNPROCESSABLE_CIPHERTEXT_ERR', message)
    }
    const newest = currentVersion(key)
    const rewrapped = {
      ciphertext: seal(newest, opened.plaintext, aad),
      rewrappedKeyVersion: { id: newest.id },
    }
    return {
      status: 200,
      body: {
        plaintext: opened.plaintext.toString('base64'),
        ...(tellsVersions ? { keyVersion: { id: opened.version.id } } : {}),
        ...(opened.version === newest ? {} : rewrapped),
      },
    }
  },

  rotate({ key, body, nowMs }) {
    assertState(key, [1, 3])
    fieldsOf(body ?? {}, ['payload'])
    if (nowMs - key.rotatedMs < ROTATION_PAUSE_MS) {
      throw conflict('KEY_ROTATION_NOT_PERMITTED', 'This root key has been rotated within the last hour')
    }
    key.versions.push(makeVersion())
    key.rotatedMs = nowMs
    return { status: 204 }
  },

  disable: ({ key, nowMs }) => moved(key, [1], 2, nowMs),

  enable({ key, nowMs }) {
    if (key.state === 2) assertRested(key, nowMs)
    return moved(key, [2], 1, nowMs)
  },

  delete({ key, nowMs }) {
    if (key.state === 5) throw deleted()
    return moved(key, [1, 2, 3], 5, nowMs)
  },

  restore({ key, nowMs }) {
    if (key.state === 5) assertRested(key, nowMs)
    moved(key, [5], 1, nowMs)
    return { status: 201, body: metadataOf(key, true) }
  },
}

function moved(key: FakeKey, from: readonly number[], to: number, nowMs: number): FakeAnswer {
  assertState(key, from)
  key.state = to
  key.changedMs = nowMs
  return { status: 204 }
}

function assertRested(key: FakeKey, nowMs: number): void {
  if (nowMs - key.changedMs >= TOO_EARLY_MS) return
  throw conflict('REQ_TOO_EARLY_ERR', 'The key was updated recently. Please wait and try again.')
}

function assertState(key: FakeKey, allowed: readonly number[]): void {
  if (key.extractable) {
    throw badRequest('KEY_ROOT_REQ_ERR', 'Requested action can only be completed with a root key.')
  }
  if (allowed.includes(key.state)) return
  if (key.state === 5) throw deleted()
  if (key.state === 3) {
    throw badRequest(
      'KEY_EXPIRED_ERR',
      'The action could not be performed on the key because the key is expired.',
    )
  }
  // With the blank that IBM's documentation shows.
  throw conflict(' KEY_ACTION_INVALID_STATE_ERR', 'Key is not in a valid state')
}

function deleted(): Refusal {
  const message = 'Key has already been deleted. Please delete references to this key.'
  return new Refusal(410, 'Gone', 'KEY_DELETED_ERR', message)
}

function conflict(code: string, message: string): Refusal {
  return new Refusal(409, 'Conflict: Action could not be performed on key', code, message)
}

function badRequest(code: string, message: string): Refusal {
  return new Refusal(400, 'Bad Request: Action could not be performed on key', code, message)
}

function fieldError(field: string, wanted: string): Refusal {
  const message = `The field '${field}' must be: ${wanted}`
  return new Refusal(400, 'Bad Request', 'INVALID_FIELD_ERR', message, field)
}

function fieldsOf(body: unknown, known: readonly string[]): Record<string, unknown> {
  const fields = typeof body === 'object' && body !== null && !Array.isArray(body) ? body : undefined
  if (fields === undefined) throw badRequest('BAD_BODY_ERR', 'Invalid body data was passed')
  const unknown = Object.keys(fields).find((name) => !known.includes(name))
  if (unknown !== undefined)
    throw badRequest('BAD_BODY_ERR', `Invalid body data was passed: json: unknown field "${unknown}"`)
  return fields as Record<string, unknown>
}

function aadOf(fields: Record<string, unknown>): string[] {
  const aad = fields['aad'] ?? []
  const isList =
    Array.isArray(aad) && aad.every((text) => typeof text === 'string' && text.length <= AAD_TEXT_MAX)
  if (!isList) throw fieldError('aad', `a list of texts of at most ${AAD_TEXT_MAX} characters`)
  return aad as string[]
}
