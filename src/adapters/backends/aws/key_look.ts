/** What does DescribeKey say about the KEK, and can it be used? */
import type { KeyMetadata } from '@aws-sdk/client-kms'
import { KmsError, type KmsErrorCode } from '../../../ports/errors.js'
import { malformed } from '../remote/json_answer.js'
import { isKeyArn, isMultiRegion } from './key_reference.js'

/** The KEK as it was at one moment. */
export interface KeyLook {
  readonly arn: string
  /** Which of its key materials wraps now; `undefined` where the service has no such ids. */
  readonly materialId: string | undefined
  readonly state: string
  readonly isEnabled: boolean
  readonly usage: string
  readonly spec: string
  readonly origin: string
  readonly isMultiRegion: boolean
}

/** @throws {KmsError} `ERR_BACKEND_RESPONSE` when the answer names no key. */
export function keyLook(metadata: KeyMetadata | undefined, service: string): KeyLook {
  const arn = metadata?.Arn
  if (metadata === undefined || arn === undefined || !isKeyArn(arn)) {
    throw malformed(service, 'a description without the ARN of a key')
  }
  return {
    arn,
    materialId: metadata.CurrentKeyMaterialId,
    state: metadata.KeyState ?? 'unknown',
    isEnabled: metadata.Enabled === true,
    usage: metadata.KeyUsage ?? 'unknown',
    spec: metadata.KeySpec ?? 'unknown',
    origin: metadata.Origin ?? 'unknown',
    isMultiRegion: metadata.MultiRegion === true,
  }
}

/**
 * What is taken to be true of a key that we may use and not look at: what it is not, its own operations say.
 *
 * @param materialId Of the last blob that opened.
 */
export function unseen(arn: string, materialId: string | undefined): KeyLook {
  const known = { arn, materialId, isEnabled: true, isMultiRegion: isMultiRegion(arn) }
  return { ...known, state: 'unknown', usage: USAGE, spec: SPEC, origin: 'unknown' }
}

/** States in which a key does not encrypt, and what to do. */
const states: Readonly<Record<string, readonly [KmsErrorCode, string]>> = {
  Creating: ['ERR_BACKEND_UNAVAILABLE', 'is still being created; wait'],
  Disabled: ['ERR_KEY_DISABLED', 'is disabled; enable it (aws kms enable-key)'],
  PendingDeletion: [
    'ERR_KEY_PENDING_DELETION',
    'is scheduled for deletion; cancel that at once (aws kms cancel-key-deletion), then enable it (aws kms enable-key)',
  ],
  PendingReplicaDeletion: [
    'ERR_KEY_PENDING_DELETION',
    'is scheduled for deletion as soon as its replicas are gone; cancel that at once (aws kms cancel-key-deletion), then enable it',
  ],
  PendingImport: [
    'ERR_KEY_UNUSABLE',
    'has no key material: it was never imported, has expired or was deleted; import the same material again',
  ],
  Unavailable: [
    'ERR_BACKEND_UNAVAILABLE',
    'is in a custom key store that is not connected; look at the store (aws kms describe-custom-key-stores)',
  ],
}

/** The primary region is being moved, which `Enabled` does not show as such; keys work meanwhile. */
const WORKS_AS_WELL = 'Updating'

const USAGE = 'ENCRYPT_DECRYPT'
const SPEC = 'SYMMETRIC_DEFAULT'

/** @throws {KmsError} When the KEK cannot wrap now: `ERR_KEY_*`, `ERR_BACKEND_UNAVAILABLE`. */
export function assertUsable(key: KeyLook): void {
  if (key.usage !== USAGE || key.spec !== SPEC) {
    throw new KmsError(
      'ERR_KEY_UNUSABLE',
      `the KEK ${key.arn} is a ${key.spec} key for ${key.usage}; name a ${SPEC} key for ${USAGE}`,
    )
  }
  const row = states[key.state]
  if (row !== undefined) throw new KmsError(row[0], `the KEK ${key.arn} ${row[1]}`)
  if (!key.isEnabled && key.state !== WORKS_AS_WELL) {
    throw new KmsError('ERR_KEY_UNUSABLE', `the KEK ${key.arn} is not enabled: its state is ${key.state}`)
  }
}
