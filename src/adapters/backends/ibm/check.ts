/** What should an operator know about the root key before relying on it? Wraps nothing and changes nothing. */
import { asKmsError } from '../../../ports/errors.js'
import type { Finding } from '../../../ports/operations.js'
import type { BackendDeps } from '../backend.js'
import { IbmKmsClient } from './client.js'
import { assertUsable, keyMetadataIn, states, type KeyMetadata } from './key_metadata.js'
import type { IbmSettings } from './settings.js'

type Level = Finding['level']

export async function checkIbmKey(settings: IbmSettings, deps: BackendDeps): Promise<readonly Finding[]> {
  const subject = `keys.${deps.key}.keyId`
  const client = new IbmKmsClient(settings, deps)
  try {
    const deadlineMs = deps.clock.nowMs() + 2 * deps.callTimeoutMs
    const key = keyMetadataIn(await client.metadata(settings.keyId, { deadlineMs }), client.service)
    return [verdict(key, client.service, deps, subject), ...warnings(key, settings, deps.key)]
  } catch (error) {
    return [{ level: 'error', subject, text: asKmsError(error).message }]
  } finally {
    client.close()
  }
}

function verdict(key: KeyMetadata, service: string, { isPrimary }: BackendDeps, subject: string): Finding {
  const evidence = [
    row('state', states[key.state] ?? String(key.state), 'active', key.state === 1),
    row('deleted', String(key.isDeleted), 'false', !key.isDeleted),
    row('extractable', String(key.isExtractable), 'false', !key.isExtractable),
  ]
  try {
    assertUsable(key, service, isPrimary)
    const ring = key.keyRing === undefined ? '' : ` in key ring ${key.keyRing}`
    const text = `root key ${key.id}${ring} at ${service}; the role Reader on this key is all that the service id of the API key needs`
    return { level: 'ok', subject, text, evidence }
  } catch (error) {
    return { level: 'error', subject, text: asKmsError(error).message, evidence }
  }
}

/** Setting, whether it applies, what to say. */
function warnings(key: KeyMetadata, settings: IbmSettings, name: string): Finding[] {
  const rows: readonly (readonly [string, boolean, string, Level?])[] = [
    [
      'keyId',
      key.id !== settings.keyId,
      `${settings.keyId} is an alias: whoever moves it to another key takes old values out of reach; write keyId: ${key.id}`,
    ],
    [
      'keyId',
      key.versionId === undefined,
      'the service tells no versions of this key: a rotation is not noticed, so kube-apiserver does not rewrite its data after one',
    ],
    [
      'keyId',
      key.expirationDate !== undefined,
      `the key expires at ${key.expirationDate ?? ''} and seals nothing afterwards; have a new root key as primary before`,
    ],
    [
      'keyId',
      key.isSetForDeletion,
      'one of two people has asked to delete this key; cancel it with `ibmcloud kp key cancel-delete`',
      'error',
    ],
    [
      'keyId',
      !key.hasDualAuthDelete,
      'one person can delete this key; a dual authorization deletion policy makes it take two',
    ],
    [
      'keyRing',
      settings.keyRing !== undefined && key.keyRing !== undefined && settings.keyRing !== key.keyRing,
      `the key is in key ring ${key.keyRing ?? ''}`,
    ],
  ]
  return rows
    .filter(([, applies]) => applies)
    .map(([setting, , text, level = 'warning']) => ({ level, subject: `keys.${name}.${setting}`, text }))
}

function row(attribute: string, value: string, wanted: string, isGood: boolean) {
  return { name: attribute, value, wanted, verdict: isGood ? 'ok' : 'refused' }
}
