/** Is what the HSM process said a message of ours? A vendor's library may have trampled on its memory. */
import { errorCodes, type KmsErrorCode } from '../../../ports/errors.js'
import { mechanismNames } from './shared/mechanisms.js'
import {
  CHECK_VALUE_BYTES,
  MAC_CHECK_VALUE_BYTES,
  RSA_CHECK_VALUE_BYTES,
  type Evidence,
  type FromHsm,
  type HsmAnswer,
  type HsmFailure,
  type Inspection,
  type KekIdentity,
  type Sealing,
} from './shared/messages.js'

const TEXT_MAX_LENGTH = 1000

const checkValueBytes: Readonly<Record<string, number>> = {
  'AES-256': CHECK_VALUE_BYTES,
  'RSA-2048': RSA_CHECK_VALUE_BYTES,
  'RSA-3072': RSA_CHECK_VALUE_BYTES,
  'RSA-4096': RSA_CHECK_VALUE_BYTES,
}

/** The message in `value`, every field checked; `undefined` for anything else. */
export function parseReply(value: unknown): FromHsm | undefined {
  if (!isRecord(value)) return undefined
  switch (value['type']) {
    case 'askLogin': {
      const { tokenIdentity } = value
      return isText(tokenIdentity) ? { type: 'askLogin', tokenIdentity } : undefined
    }
    case 'loginStarted':
      return { type: 'loginStarted' }
    case 'loggedIn':
      return value['untried'] === true ? { type: 'loggedIn', untried: true } : { type: 'loggedIn' }
    case 'pinRefused': {
      const { fingerprint, text } = value
      return isText(fingerprint) && isText(text) ? { type: 'pinRefused', fingerprint, text } : undefined
    }
    case 'loginRefused':
    case 'barred':
    case 'notTried':
    case 'noPin': {
      const { type, text } = value
      return isText(text) ? { type, text } : undefined
    }
    case 'capacity': {
      const { calls } = value
      return isCount(calls) && calls > 0 ? { type: 'capacity', calls } : undefined
    }
    case 'failed':
      return isFailure(value['failure']) ? { type: 'failed', failure: value['failure'] } : undefined
    case 'done': {
      const { id, result } = value
      return isCount(id) && isAnswer(result) ? { type: 'done', id, result } : undefined
    }
    case 'error': {
      const { id, failure } = value
      return isCount(id) && isFailure(failure) ? { type: 'error', id, failure } : undefined
    }
    default:
      return undefined
  }
}

function isFailure(value: unknown): value is HsmFailure {
  return (
    isRecord(value) && isCode(value['code']) && isText(value['text']) && typeof value['replace'] === 'boolean'
  )
}

function isAnswer(value: unknown): value is HsmAnswer {
  return (
    isRecord(value) &&
    (value['identity'] === undefined || isIdentity(value['identity'])) &&
    (value['others'] === undefined || isListOf(value['others'], isIdentity)) &&
    value['bytes'] instanceof Uint8Array &&
    (value['sealing'] === undefined || isSealing(value['sealing'])) &&
    (value['inspection'] === undefined || isInspection(value['inspection']))
  )
}

function isSealing(value: unknown): value is Sealing {
  if (!isRecord(value)) return false
  const { mechanism, why, companionCheck } = value
  if (companionCheck !== undefined && !isBytes(companionCheck, MAC_CHECK_VALUE_BYTES)) return false
  return (mechanism === 'none' || mechanismNames.some((name) => name === mechanism)) && isText(why)
}

function isInspection(value: unknown): value is Inspection {
  if (!isRecord(value)) return false
  const { token, tokenIdentity, tokenWarnings, evidence } = value
  if (tokenIdentity !== undefined && !isText(tokenIdentity)) return false
  return isText(token) && isListOf(tokenWarnings, isText) && isListOf(evidence, isEvidence)
}

function isEvidence(value: unknown): value is Evidence {
  return isRecord(value) && ['attribute', 'value', 'wanted', 'verdict'].every((name) => isText(value[name]))
}

function isListOf<T>(value: unknown, isOne: (one: unknown) => one is T): value is T[] {
  return Array.isArray(value) && value.every(isOne)
}

function isIdentity(value: unknown): value is KekIdentity {
  if (!isRecord(value)) return false
  const { keyType, ckaId, checkValue } = value
  return (
    isText(keyType) &&
    ckaId instanceof Uint8Array &&
    ckaId.length > 0 &&
    isBytes(checkValue, checkValueBytes[keyType])
  )
}

function isBytes(value: unknown, length: number | undefined): value is Uint8Array {
  return value instanceof Uint8Array && value.length === length
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function isCode(value: unknown): value is KmsErrorCode {
  return typeof value === 'string' && Object.hasOwn(errorCodes, value)
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= TEXT_MAX_LENGTH
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
