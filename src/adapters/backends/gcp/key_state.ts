/** May this key be used, and which of its versions wraps? */
import { KmsError, type KmsErrorCode } from '../../../ports/errors.js'
import { objectAt, textAt, type JsonObject } from '../remote/json_answer.js'
import { versionNumber } from './key_name.js'

/** What a state means, but for ENABLED, and what to do. By CryptoKeyVersionState. */
const states: Readonly<Record<string, readonly [KmsErrorCode, string]>> = {
  DISABLED: ['ERR_KEY_DISABLED', 'is disabled; run gcloud kms keys versions enable'],
  DESTROY_SCHEDULED: [
    'ERR_KEY_PENDING_DELETION',
    'will be destroyed: run gcloud kms keys versions restore at once, then gcloud kms keys versions enable',
  ],
  DESTROYED: [
    'ERR_KEY_NOT_FOUND',
    'was destroyed for ever; what only it opens is lost but for backups of the data',
  ],
  PENDING_EXTERNAL_DESTRUCTION: ['ERR_KEY_NOT_FOUND', 'is being destroyed at the external key manager'],
  EXTERNAL_DESTRUCTION_FAILED: [
    'ERR_KEY_NOT_FOUND',
    'was given up; its external key manager did not confirm it',
  ],
  PENDING_GENERATION: ['ERR_BACKEND_UNAVAILABLE', 'is being made; it works in a moment'],
  PENDING_IMPORT: ['ERR_KEY_UNUSABLE', 'waits for its import; finish the import job'],
  IMPORT_FAILED: ['ERR_KEY_UNUSABLE', 'could not be imported; make another version primary'],
  GENERATION_FAILED: ['ERR_KEY_UNUSABLE', 'could not be made; make another version primary'],
}

/** @param name Of the version. */
export function stateError(name: string, state: string): readonly [KmsErrorCode, string] {
  const [code, text] = (Object.hasOwn(states, state) ? states[state] : undefined) ?? [
    'ERR_KEY_UNUSABLE',
    'is in a state that this plugin does not know; look at it in the console',
  ]
  return [code, `says that ${name} ${text}`]
}

export interface Primary {
  readonly version: number
  readonly protectionLevel: string
  readonly algorithm: string
}

/**
 * The primary version of a key, from the answer to a read of the key.
 *
 * @throws {KmsError} `ERR_CONFIG_INVALID`: the service calls it otherwise; `ERR_KEY_*`, `ERR_BACKEND_UNAVAILABLE`:
 * what the state of the version means; `ERR_BACKEND_RESPONSE`.
 */
export function primaryOf(key: string, answer: JsonObject, service: string): Primary {
  const fail = (code: KmsErrorCode, text: string) => new KmsError(code, `${service} ${text}`)
  const name = textAt(answer, 'name')
  if (name === undefined)
    throw fail('ERR_BACKEND_RESPONSE', 'answered otherwise than its API says: a key without name')
  if (name !== key) {
    const its = /^[A-Za-z0-9/_.:-]{1,400}$/.test(name) ? name : 'something else'
    throw fail(
      'ERR_CONFIG_INVALID',
      `calls this key ${its}; write that as keyName, since key ids are made of it`,
    )
  }
  if (textAt(answer, 'purpose') !== 'ENCRYPT_DECRYPT') {
    throw fail(
      'ERR_KEY_UNUSABLE',
      `says that ${key} is not for symmetric encryption; make one with --purpose=encryption`,
    )
  }
  const primary = objectAt(answer, 'primary')
  const primaryName = textAt(primary, 'name')
  if (primaryName === undefined) {
    throw fail(
      'ERR_KEY_DISABLED',
      `says that ${key} has no primary version; run gcloud kms keys set-primary-version`,
    )
  }
  const version = versionNumber(key, primaryName)
  if (version === undefined) {
    throw fail(
      'ERR_BACKEND_RESPONSE',
      'answered otherwise than its API says: a primary version of another key',
    )
  }
  const state = textAt(primary, 'state') ?? ''
  if (state !== 'ENABLED') {
    throw fail(...stateError(primaryName, state))
  }
  return {
    version,
    protectionLevel: textAt(primary, 'protectionLevel') ?? 'unknown',
    algorithm: textAt(primary, 'algorithm') ?? 'unknown',
  }
}
