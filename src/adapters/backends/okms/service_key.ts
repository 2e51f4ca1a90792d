/** What is the service key that the settings name, and can it be used? */
import { KmsError, type KmsErrorCode } from '../../../ports/errors.js'
import { malformed, objectAt, textAt, type JsonObject } from '../remote/json_answer.js'

export interface ServiceKey {
  /** In small letters. */
  readonly id: string
  readonly name: string
  /** `oct`, `RSA`, `EC`. */
  readonly type: string
  readonly operations: readonly string[]
  /** In bits; `undefined` where the service does not say. */
  readonly size: number | undefined
  /** `SOFTWARE`, `HSM`, `MANAGED_HSM`. */
  readonly protectionLevel: string
  /** `undefined` where the service does not say: the API promises no attribute. Then a call tells. */
  readonly state: string | undefined
}

/** @throws {KmsError} `ERR_BACKEND_RESPONSE` when it is no service key. */
export function serviceKeyIn(body: JsonObject, service: string): ServiceKey {
  const id = (textAt(body, 'id') ?? '').toLowerCase()
  const name = textAt(body, 'name')
  const { size, operations } = body
  if (!/^[0-9a-f-]{36}$/.test(id) || name === undefined) throw malformed(service, 'a key without id or name')
  return {
    id,
    name,
    type: wordAt(body, 'type') ?? '',
    operations: Array.isArray(operations) ? operations.filter((one) => typeof one === 'string') : [],
    size: typeof size === 'number' ? size : undefined,
    protectionLevel: wordAt(body, 'protectionLevel') ?? '',
    state: wordAt(objectAt(body, 'attributes'), 'state'),
  }
}

interface StateRow {
  readonly code: KmsErrorCode
  readonly text: string
}

/** As the API names them; `active` and what is not known are no reason to refuse. */
const refusedStates: Readonly<Record<string, StateRow>> = {
  pre_active: {
    code: 'ERR_KEY_DISABLED',
    text: 'is not active yet; activate it with `okms keys activate`',
  },
  deactivated: {
    code: 'ERR_KEY_DISABLED',
    text: 'is deactivated; activate it again with `okms keys activate`, and let nobody delete it while values are under it',
  },
  compromised: {
    code: 'ERR_KEY_UNUSABLE',
    text: 'was deactivated as compromised; make a new key and let `primary` name it. Where the service lets you, activate this one until every value is rewritten',
  },
  destroyed: {
    code: 'ERR_KEY_NOT_FOUND',
    text: 'is destroyed, for ever: values under it are lost; restore them from elsewhere',
  },
  destroyed_compromised: {
    code: 'ERR_KEY_NOT_FOUND',
    text: 'was compromised and is destroyed, for ever: values under it are lost; restore them from elsewhere',
  },
}

/** Whether a key in this state may still open old values; nobody documents it, so the service is asked. */
const mayStillOpen = new Set(['deactivated', 'compromised'])

/** What is wrong with the state of the key, if anything. */
export function stateError(key: ServiceKey, service: string): KmsError | undefined {
  const { state = '' } = key
  // Else a state named `constructor` would find what every object has.
  const row = Object.hasOwn(refusedStates, state) ? refusedStates[state] : undefined
  return row === undefined ? undefined : new KmsError(row.code, `${what(key, service)} ${row.text}`)
}

/**
 * @param mustWrap Not only open what was wrapped before.
 * @throws {KmsError} `ERR_KEY_UNUSABLE`, `ERR_KEY_DISABLED` or `ERR_KEY_NOT_FOUND`, unless the key can be used.
 */
export function assertUsable(key: ServiceKey, service: string, mustWrap: boolean): void {
  const wrong = stateError(key, service)
  if (wrong !== undefined && (mustWrap || !mayStillOpen.has(key.state ?? ''))) throw wrong
  if (key.type !== 'oct') {
    const text = `${what(key, service)} is of type ${key.type}; make a symmetric key (type oct)`
    throw new KmsError('ERR_KEY_UNUSABLE', text)
  }
  const missing = ['encrypt', 'decrypt'].filter((one) => !key.operations.includes(one))
  if (missing.length === 0) return
  const text = `${what(key, service)} may not ${missing.join(' and ')}; make a key with the operations encrypt and decrypt`
  throw new KmsError('ERR_KEY_UNUSABLE', text)
}

function what(key: ServiceKey, service: string): string {
  return `key ${key.id} of ${service}`
}

/** A word of the API; whatever it is, it fits a message. */
function wordAt(parent: JsonObject, name: string): string | undefined {
  const text = textAt(parent, name)
  return text !== undefined && /^[A-Za-z_]{1,32}$/.test(text) ? text : undefined
}
