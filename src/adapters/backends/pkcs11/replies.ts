/** Is what the HSM process said a message of ours? A vendor's library may have trampled on its memory. */
import { errorCodes, type KmsErrorCode } from '../../../ports/errors.js'
import {
  CHECK_VALUE_BYTES,
  type FromHsm,
  type HsmFailure,
  type HsmResult,
  type KekIdentity,
} from './messages.js'

const TEXT_MAX_LENGTH = 1000

/** The message in `value`, every field checked; `undefined` for anything else. */
export function parseReply(value: unknown): FromHsm | undefined {
  if (!isRecord(value)) return undefined
  switch (value['type']) {
    case 'askLogin':
    case 'loginStarted':
    case 'loggedIn':
      return { type: value['type'] }
    case 'pinRefused': {
      const { fingerprint, text } = value
      return isText(fingerprint) && isText(text) ? { type: 'pinRefused', fingerprint, text } : undefined
    }
    case 'barred':
    case 'notTried': {
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
      return isCount(id) && isResult(result) ? { type: 'done', id, result } : undefined
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

function isResult(value: unknown): value is HsmResult {
  return (
    isRecord(value) &&
    isIdentity(value['identity']) &&
    (value['others'] === undefined ||
      (Array.isArray(value['others']) && value['others'].every(isIdentity))) &&
    value['bytes'] instanceof Uint8Array &&
    isRecord(value['facts']) &&
    Object.values(value['facts']).every((fact) => typeof fact === 'boolean' || isText(fact))
  )
}

function isIdentity(value: unknown): value is KekIdentity {
  if (!isRecord(value)) return false
  const { ckaId, checkValue } = value
  return (
    ckaId instanceof Uint8Array &&
    ckaId.length > 0 &&
    checkValue instanceof Uint8Array &&
    checkValue.length === CHECK_VALUE_BYTES
  )
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
