/** Where are our credentials? The order is that of Google's Application Default Credentials. */
import { stat } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { KmsError } from '../../../ports/errors.js'

export interface CredentialsPlace {
  /** Absolute. */
  readonly path: string
  /** Which setting or habit says so, for messages. */
  readonly named: string
}

type Env = Readonly<Record<string, string | undefined>>

/**
 * @param setting `file:/path`, or `undefined`.
 * @returns `undefined`: in no file, so the metadata server of the machine is asked.
 * @throws {KmsError} `ERR_CONFIG_INVALID`.
 */
export async function credentialsPlace(
  setting: string | undefined,
  env: Env,
): Promise<CredentialsPlace | undefined> {
  if (setting !== undefined) return { path: setting.slice('file:'.length), named: 'credentials' }
  const fromEnv = env['GOOGLE_APPLICATION_CREDENTIALS'] ?? ''
  if (fromEnv !== '') {
    const named = 'GOOGLE_APPLICATION_CREDENTIALS'
    if (isAbsolute(fromEnv)) return { path: fromEnv, named }
    throw new KmsError('ERR_CONFIG_INVALID', `${named} must be the absolute path of a file`)
  }
  const path = wellKnownPath(env)
  if (path === undefined || (await versionOf(path)) === ABSENT) return undefined
  return { path, named: 'gcloud auth application-default login' }
}

const ABSENT = 'absent'

/** Differs whenever the file was written or replaced; what is wrong with it is said when it is read. */
export async function versionOf(path: string): Promise<string> {
  const stats = await stat(path, { bigint: true }).catch(() => undefined)
  return stats === undefined ? ABSENT : [stats.dev, stats.ino, stats.size, stats.mtimeNs].join(':')
}

function wellKnownPath(env: Env): string | undefined {
  const { CLOUDSDK_CONFIG: config = '', HOME: home = '' } = env
  const folder = config !== '' ? config : home === '' ? '' : join(home, '.config', 'gcloud')
  return isAbsolute(folder) ? join(folder, 'application_default_credentials.json') : undefined
}
