/** What does `kmsplugin check` say about a key in AWS KMS? */
import { asKmsError } from '../../../ports/errors.js'
import type { Finding } from '../../../ports/operations.js'
import type { BackendDeps } from '../backend.js'
import { AwsKmsClient } from './client.js'
import { assertUsable, type KeyLook } from './key_look.js'
import { isAlias, isKeyArn } from './key_reference.js'
import type { AwsSettings } from './settings.js'

/** Our identity is not looked up: that is another service, and another right. */
export async function checkAws(
  settings: AwsSettings,
  deps: BackendDeps,
  makeClient = () => new AwsKmsClient(settings, deps),
): Promise<readonly Finding[]> {
  const subject = `keys.${deps.key}.keyId`
  const client = makeClient()
  const options = () => ({ signal: AbortSignal.timeout(2 * deps.callTimeoutMs) })
  try {
    const key = await client.describe(options())
    const isRotated = await client.isRotated(key.arn, options())
    return [stateOf(key, isRotated, subject), ...warnings(key, settings, subject)]
  } catch (error) {
    const { code, message: text } = asKmsError(error)
    // Whoever names the key by its ARN can do without; what that costs is said at the start.
    const isNeeded = code !== 'ERR_ACCESS_DENIED' || !isKeyArn(settings.keyId)
    return [{ level: isNeeded ? 'error' : 'warning', subject, text }]
  } finally {
    await client.close()
  }
}

function stateOf(key: KeyLook, isRotated: boolean | undefined, subject: string): Finding {
  try {
    assertUsable(key)
  } catch (error) {
    return { level: 'error', subject, text: asKmsError(error).message }
  }
  const parts = [
    `state ${key.state}`,
    key.spec,
    `origin ${key.origin}`,
    key.isMultiRegion ? 'multi-Region' : 'one region',
    isRotated === undefined ? undefined : isRotated ? 'rotated by AWS' : 'not rotated by AWS',
  ]
  return {
    level: 'ok',
    subject,
    text: `${key.arn}: ${parts.filter((part) => part !== undefined).join(', ')}`,
  }
}

function warnings(key: KeyLook, { keyId }: AwsSettings, subject: string): Finding[] {
  const texts: string[] = []
  if (isAlias(keyId)) {
    texts.push(
      `${keyId} is an alias: whoever may move it makes old values unreadable until the old key is an entry as well; name ${key.arn}`,
    )
  }
  if (key.origin === 'EXTERNAL') {
    texts.push(
      'its key material was imported: it can expire or be deleted, and only your own copy brings it back; keep that copy',
    )
  }
  if (key.isMultiRegion) {
    texts.push(
      'it is a multi-Region key: a replica has another ARN, so it is another KEK here; a node that opens must name the same ARN',
    )
  }
  return texts.map((text) => ({ level: 'warning', subject, text }))
}
